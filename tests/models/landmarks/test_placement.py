"""Placement: lips move as one with the pose, by what its motion and its distance from the references' mean tell."""

from __future__ import annotations

import pytest
import torch

from lipsmith.face.landmarks import NUM_JAW, NUM_POSE
from lipsmith.models.landmarks.expected import NUM_STEADY
from lipsmith.models.landmarks.placement import Placement, pose_features

STEADY = 4.0


def moving(frames: int = 25) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pose `(1, T, 74, 2)` and references `(1, 5, 131, 2)`."""
    random = torch.Generator().manual_seed(frames)
    return torch.rand(1, frames, NUM_POSE, 2, generator=random), torch.rand(1, 5, 131, 2, generator=random)


def placement() -> Placement:
    """Return a map with random weights."""
    network = Placement()
    network.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    return network


@pytest.mark.parametrize("frames", [1, 2, 25])
def test_lips_move_as_one_and_jaw_points_by_themselves(frames: int) -> None:
    moved = placement()(*moving(frames), STEADY)
    assert moved.shape == (1, frames, 57, 2)
    torch.testing.assert_close(moved[:, :, NUM_JAW:], moved[:, :, -1:].expand(-1, -1, 40, -1))
    assert (moved[:, :, 0] - moved[:, :, 1]).abs().min() > 0


def test_a_head_that_stays_where_the_references_are_moves_nothing() -> None:
    _, references = moving()
    pose = references[:, :, :NUM_POSE].mean(1, keepdim=True).expand(-1, 25, -1, -1)
    torch.testing.assert_close(placement()(pose, references, STEADY), torch.zeros(1, 25, 57, 2), atol=1e-5, rtol=0)


def test_eyes_and_reference_mouths_move_nothing() -> None:
    pose, references = moving()
    blinking, talking = pose.clone(), references.clone()
    blinking[:, :, NUM_STEADY:] += 0.1
    talking[:, :, NUM_POSE:] += 0.1
    torch.testing.assert_close(
        pose_features(blinking, talking, STEADY), pose_features(pose, references, STEADY), atol=0, rtol=0
    )


def test_quick_and_slow_motion_are_told_apart() -> None:
    _, references = moving()
    still = references[:, :, :NUM_POSE].mean(1, keepdim=True).expand(-1, 200, -1, -1)
    time = torch.arange(200)[None, :, None, None] / 25
    nod, tremble = (still + 0.01 * torch.sin(2 * torch.pi * hertz * time) for hertz in (0.2, 3.0))
    for pose, share in ((nod, 0), (tremble, 1)):
        quick, slow = pose_features(pose, references, STEADY)[0, 50:150].chunk(2, dim=-1)
        assert (quick.std(0).mean() > 3 * slow.std(0).mean()) == bool(share)
