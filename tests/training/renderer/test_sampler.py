"""Batches of the renderer: their frames, and the references of each target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from landmark_clips import talking_clip
from lipsmith.data.clips import read_manifest
from lipsmith.face.landmarks import NUM_POSE, outer_lip_opening
from lipsmith.face.references import costs
from lipsmith.training.renderer.sampler import (
    TRUE,
    Footage,
    Pictures,
    SuccessiveFootage,
    fixed_batches,
    moved_content,
)
from renderer_clips import SIZE, SMALL


@pytest.fixture
def footage(data: Path) -> Footage:
    """Footage whose first point is the frame's number within its clip."""
    footage = Footage(data, read_manifest(data, "train"), 2, torch.device("cpu"))
    footage.points[:, :, 0, 0] = torch.arange(60.0).repeat(2)[:, None]
    return footage


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbers(pictures: Pictures) -> Tensor:
    return pictures.points[..., 0, 0]


def test_pool_and_lips_come_from_the_other_part_of_the_clip(footage: Footage) -> None:
    sides = set()
    for seed in range(20):
        batch = footage.draw(replace(SMALL, clips=8), generator(seed))
        shown = torch.cat([numbers(batch.pool), numbers(batch.lips)], 1)
        wanted = numbers(batch.targets)
        before = shown.amax(1) < wanted.amin(1)
        assert (before | (shown.amin(1) > wanted.amax(1))).all()
        sides |= set(before.tolist())
    assert sides == {True, False}


def test_batches_have_the_documented_shapes(footage: Footage) -> None:
    batch = footage.draw(SMALL, generator())
    assert batch.pool.images.shape == (2, 3, 3, SIZE, SIZE)
    assert batch.pool.sketches.shape == (2, 3, 1, SIZE, SIZE)
    assert batch.targets.sketches.shape == (2, 2, 5, SIZE, SIZE)
    assert batch.mel.shape == (2, 2, 1, 80, 16)
    assert batch.chosen.shape == (2, 2, 2)
    assert batch.targets.images.amax() <= 1


def test_pictures_are_the_requested_frames(footage: Footage) -> None:
    pictures = footage.pictures(torch.tensor([0, 20, 59]))
    brightness = pictures.images[:, :, SIZE // 2 + 4 :].mean((1, 2, 3)) * 255
    torch.testing.assert_close(brightness, torch.tensor([0.0, 60.0, 177.0]), atol=4, rtol=0)


def test_neighbors_stop_at_the_ends_of_the_clip(footage: Footage) -> None:
    first, second = footage.pictures(torch.tensor([59, 60]), TRUE, 1).sketches
    assert torch.equal(first[2], first[1])
    assert torch.equal(second[0], second[1])


def test_the_nearest_references_are_chosen(footage: Footage) -> None:
    batch = footage.draw(replace(SMALL, nearest_share=1.0, moved_share=0.0, pool=6), generator())
    # The first point, which moves by hundreds of crops per frame, decides.
    apart = (numbers(batch.targets)[:, :, None] - numbers(batch.pool)[:, None]).abs()
    chosen = apart.gather(2, batch.chosen)
    for best, each in zip(chosen.flatten(0, 1), apart.flatten(0, 1), strict=True):
        assert (best.sort().values <= each.round().unique()[:2] + 1e-3).all()


def test_training_chooses_references_like_dubbing(footage: Footage) -> None:
    footage.still[:] = footage.still + 0.05 * torch.rand(footage.still.shape, generator=generator())
    footage.still[:, 1] += 1
    targets, pool = torch.tensor([[0, 25, 50]]), torch.arange(5, 45, 4)[None]
    points, still = footage.points[:, TRUE].numpy(), footage.still.numpy()
    ours = costs(points[targets[0]], points[pool[0]], still[targets[0]], still[pool[0]])
    np.testing.assert_allclose(footage.costs(targets, pool)[0].numpy(), ours, rtol=1e-3, atol=3e-3)


def test_a_target_never_gets_the_same_reference_twice(footage: Footage) -> None:
    batch = footage.draw(replace(SMALL, pool=6, targets=3), generator())
    frames = numbers(batch.pool).gather(1, batch.chosen.flatten(1)).reshape(batch.chosen.shape)
    assert (frames.sort(dim=2).values.diff(dim=2) > 0.5).all()


def test_scarce_references_are_mouths_open_alike(footage: Footage) -> None:
    footage.points[:, TRUE, 0, 0] = torch.arange(60.0).repeat(2)
    few = set()
    for seed in range(12):
        batch = footage.draw(replace(SMALL, clips=8, pool=24, scarce_share=1.0), generator(seed))
        for pool, lips in zip(batch.pool.points, batch.lips.points, strict=True):
            shown = torch.cat([pool, lips])
            few.add(len(shown[:, 0, 0].unique()))
            openings = outer_lip_opening(shown.numpy())
            assert np.ptp(openings) <= 0.75 * np.ptp(outer_lip_opening(footage.points[:, TRUE].numpy()))
    assert 1 in few
    assert max(few) > 4


def test_only_a_share_of_the_clips_is_scarce(footage: Footage) -> None:
    batch = footage.draw(replace(SMALL, clips=64, pool=12, targets=1, scarce_share=0.25), generator())
    single = sum(len(numbers.unique()) == 1 for numbers in numbers(batch.pool))
    assert 0 < single < 32


def test_the_validation_pool_comes_from_the_first_half(data: Path) -> None:
    footage = Footage(data, read_manifest(data, "val"), 2, torch.device("cpu"))
    footage.points[:, :, 0, 0] = torch.arange(60.0)[:, None]
    ((record, batch),) = fixed_batches(footage, SMALL)
    assert record.identity == "v8"
    assert numbers(batch.pool).max() < 30
    assert numbers(batch.targets).min() >= 35


def test_a_frame_costs_nothing_as_its_own_reference(data: Path) -> None:
    footage = Footage(data, read_manifest(data, "train"), 2, torch.device("cpu"))
    frames = torch.arange(60)[None]
    assert footage.costs(frames, frames)[0].diagonal().max() < 1e-6


def test_a_validation_pool_smaller_than_the_references_is_used_whole(data: Path) -> None:
    footage = Footage(data, read_manifest(data, "val"), 2, torch.device("cpu"))
    many = replace(SMALL, model=replace(SMALL.model, references=40), pool=40)
    ((_, batch),) = fixed_batches(footage, many)
    assert batch.chosen.shape[2] == batch.pool.images.shape[1] == 30


def test_successive_targets_stay_on_their_side_of_the_clip(data: Path) -> None:
    footage = SuccessiveFootage(data, read_manifest(data, "train"), 0, torch.device("cpu"))
    footage.points[:, :, 0, 0] = torch.arange(60.0).repeat(2)[:, None]
    for seed in range(10):
        batch = footage.draw(replace(SMALL, clips=8, targets=5), generator(seed))
        shown, wanted = numbers(batch.pool), numbers(batch.targets)
        assert (wanted.diff(dim=1) == 1).all()
        assert ((shown.amax(1) < wanted[:, 0]) | (shown.amin(1) > wanted[:, -1])).all()


def test_references_by_ranks_are_the_same_for_all_targets(data: Path) -> None:
    footage = Footage(data, read_manifest(data, "val"), 2, torch.device("cpu"))
    (_, nearest), (_, batch) = (
        next(fixed_batches(footage, replace(SMALL, model=replace(SMALL.model, ranks=ranks)))) for ranks in (0, 9)
    )
    assert batch.pool.images.shape[1] == SMALL.model.references == 2
    assert (batch.chosen.sort(dim=2).values == torch.arange(2)).all()
    assert torch.equal(numbers(batch.pool), numbers(nearest.pool)[:, [7, 22]])


def test_moved_content_keeps_the_pose() -> None:
    points = talking_clip(0, "a").landmarks
    moved = moved_content(points, points[:, NUM_POSE:].mean(0), np.random.default_rng(0))
    np.testing.assert_array_equal(moved[:, :NUM_POSE], points[:, :NUM_POSE])
    assert 0.001 < np.abs(moved - points)[:, NUM_POSE:].mean() < 0.05
