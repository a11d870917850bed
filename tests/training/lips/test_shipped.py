"""The shipped lip detector finds the lips of the demo's face where the mesh does."""

from __future__ import annotations

import numpy as np
import torch

from lipsmith.face import FaceTracker
from lipsmith.face.crop import apply, crop_image, fit_transforms
from lipsmith.face.landmarks import select
from lipsmith.training.lips.task import load_lip_detector
from lipsmith.training.losses.lips import LIPS
from synthetic import face_at

PIXELS = 128


def test_it_finds_the_lips_of_a_face() -> None:
    picture = face_at(0.0)
    [face] = FaceTracker().track(picture).faces
    points = select(face.mesh)[None].astype(np.float64)
    transforms = fit_transforms(points)
    lips = torch.from_numpy(apply(transforms, points)[0, LIPS]).float()
    crop = torch.from_numpy(crop_image(picture, transforms[0], PIXELS)).permute(2, 0, 1)[None].float() / 255
    for move in ((0.0, 0.0), (0.02, -0.02)):
        found = load_lip_detector("lips").detect(crop, lips.mean(0)[None] + torch.tensor([move]))[0]
        assert PIXELS * (found - lips).abs().mean() < 1.5
