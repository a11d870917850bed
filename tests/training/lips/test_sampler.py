"""Windows of mouths: augmented ones show the same lips at the moved points."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from landmark_clips import talking_clip
from lipsmith.models.lip_detector import SPAN
from lipsmith.training.lips.sampler import _MIRRORED_LIPS, MouthFootage, Mouths
from renderer_clips import SIZE, prepared

HERE = torch.device("cpu")


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> MouthFootage:
    clips = [talking_clip(seed, f"p{seed}") for seed in range(2)]
    return MouthFootage(prepared(tmp_path_factory.mktemp("prepared"), clips), "train", HERE)


def test_a_plain_window_is_centered_on_the_lips(footage: MouthFootage) -> None:
    mouths = footage.mouths(torch.tensor([3, 60]), (12, 16))
    assert mouths.windows.shape == (2, 3, 12, 16)
    assert torch.allclose(mouths.points.mean(1), torch.zeros(2, 2), atol=1e-6)
    lips = footage.lips[torch.tensor([3, 60])]
    assert torch.allclose(mouths.points - mouths.points[:, :1], lips - lips[:, :1], atol=1e-6)


def test_points_lie_where_the_window_shows_them(footage: MouthFootage, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 96
    axis = (np.arange(SIZE) + 0.5) / SIZE * 255
    footage.crops[..., 0] = torch.from_numpy(np.broadcast_to(axis, (SIZE, SIZE)).round().astype(np.uint8))
    footage.crops[..., 1] = torch.from_numpy(np.broadcast_to(axis[:, None], (SIZE, SIZE)).round().astype(np.uint8))
    frames = torch.arange(0, 48, 6)
    random = torch.Generator().manual_seed(2)
    monkeypatch.setattr("lipsmith.training.lips.sampler._altered", lambda windows, _: windows)
    plain, mouths = (footage.mouths(frames, (3 * size // 4, size), moved) for moved in (None, random))
    shown, lips = _shown(mouths), footage.lips[frames]
    assert (_shown(plain) - lips).abs().max() < 0.01
    flipped = lips[:, _MIRRORED_LIPS]
    error = torch.minimum((shown - lips).abs().amax((1, 2)), (shown - flipped).abs().amax((1, 2)))
    assert error.max() < 0.01
    assert ((shown - lips).abs().amax((1, 2)) > 0.02).any()  # some are mirrored


def _shown(mouths: Mouths) -> torch.Tensor:
    """The positions `(B, 40, 2)` that the colors of the windows name at the points."""
    grid = (mouths.points / torch.tensor(SPAN))[:, None] * 2
    return torch.nn.functional.grid_sample(mouths.windows, grid, align_corners=False)[:, :2, 0].mT
