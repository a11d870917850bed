"""Prepared clips with pictures for tests of the renderer's training, and a small training config."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from landmark_clips import write_clips
from lipsmith.data.clips import PreparedClip
from lipsmith.inference.model_folder import write_config
from lipsmith.inference.weights import WEIGHTS, write_tensors
from lipsmith.media import VideoWriter
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.network import Renderer
from lipsmith.training.renderer.config import LossWeights, RendererTraining

N = TypeVar("N", bound=nn.Module)
SIZE = 32
SMALL = RendererTraining(
    model=RendererConfig(face_size=SIZE, top=12, full=4, fine=4, coarse=8, references=2, lips=2),
    weights=LossWeights(warped=0, content=0, style=0),
    steps=4,
    clips=2,
    targets=2,
    pool=3,
    warmup=1,
    gan_from=0.5,
    discriminator_channels=4,
    validate_every=2,
    log_every=1,
    checkpoint_minutes=0.0,
)


def crops(clip: PreparedClip) -> NDArray[np.uint8]:
    """Return pictures whose brightness is the frame's number."""
    count = clip.record.frames
    images = np.full((count, SIZE, SIZE, 3), 40, np.uint8)
    images[:, SIZE // 2 :] = 3 * np.arange(count, dtype=np.uint8)[:, None, None, None]
    return images


def prepared(root: Path, clips: list[PreparedClip]) -> Path:
    write_clips(root, clips)
    for clip in clips:
        with VideoWriter(root / f"{clip.record.clip}.mp4", SIZE, SIZE, 25.0) as film:
            for image, time in zip(crops(clip), clip.times, strict=True):
                film.write(image, float(time))
    return root


def enlivened(network: N) -> N:
    """Replace the network's zero parameters by random ones, so that every part has an effect."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, 0, 0.05)
    return network


def write_model(folder: Path) -> Path:
    """Write a model folder that holds nothing but a renderer with random weights."""
    torch.manual_seed(0)
    folder.mkdir()
    weights = {f"renderer.{name}": value for name, value in Renderer(SMALL.model).state_dict().items()}
    write_tensors(folder / WEIGHTS, weights)
    about = {"name": "tiny", "face_size": SIZE, "references_per_frame": 2, "lips": 2, "window": 5}
    write_config(folder, about | {"renderer": asdict(SMALL.model)})
    return folder
