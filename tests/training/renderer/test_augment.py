"""Augmentation of geometry and light: pixels and points move equally."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lipsmith.face.landmarks import MIRROR
from lipsmith.training.renderer.augment import augment
from lipsmith.training.renderer.sampler import Batch, Pictures
from renderer_clips import SIZE


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def marked(points: Tensor) -> Pictures:
    """Return pictures with a spot at the position of all their points."""
    axis = (torch.arange(SIZE) + 0.5) / SIZE
    x, y = points[..., 0, None, None], points[..., 1, None, None]
    spot = torch.exp(-((axis - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * 0.06**2))
    return Pictures(
        images=0.8 * spot[..., None, :, :].expand(*points.shape[:2], 3, SIZE, SIZE),
        sketches=spot[..., None, :, :],
        points=points[..., None, :].expand(*points.shape[:2], 131, 2),
        shown=points[..., None, :].expand(*points.shape[:2], 131, 2) + 0.1,
        still=points[..., None, :].expand(*points.shape[:2], 2, 2),
    )


@pytest.mark.parametrize("seed", range(4))
def test_points_move_as_pixels_do(seed: int) -> None:
    places = 0.35 + 0.3 * torch.rand(12, 2, 2, generator=generator(seed))
    pictures = marked(places)
    batch = Batch(pictures, pictures, pictures, torch.zeros(12, 2, 1, 80, 16), torch.zeros(12, 2, 1, dtype=torch.long))
    changed = augment(batch, generator(seed))
    axis = (torch.arange(SIZE) + 0.5) / SIZE
    for group in (changed.pool, changed.lips, changed.targets):
        drawn = group.sketches[:, :, 0]
        mass = drawn.sum((-2, -1))
        found = torch.stack([(drawn.sum(-2) * axis).sum(-1) / mass, (drawn.sum(-1) * axis).sum(-1) / mass], -1)
        torch.testing.assert_close(found, group.points[..., 0, :], atol=0.25 / SIZE, rtol=0)
        brightest = group.images[:, :, 1].flatten(2).argmax(-1)
        where = torch.stack([brightest % SIZE, brightest // SIZE], -1) / SIZE + 0.5 / SIZE
        torch.testing.assert_close(where, group.points[..., 0, :], atol=2 / SIZE, rtol=0)
        assert (group.points[..., 0, :] - places).abs().max() > 0.01
        apart = (group.shown - group.points)[..., 0, :].norm(dim=-1)  # scaled by up to an eighth
        torch.testing.assert_close(apart, torch.full_like(apart, 0.1 * 2**0.5), atol=0.025, rtol=0)


def test_most_clips_keep_their_pixels_except_for_mirroring() -> None:
    pictures = marked(0.35 + 0.3 * torch.rand(40, 2, 2, generator=generator()))
    batch = Batch(pictures, pictures, pictures, torch.zeros(40, 2, 1, 80, 16), torch.zeros(40, 2, 1, dtype=torch.long))
    changed = augment(batch, generator()).targets.sketches
    as_it_was, mirrored = (
        torch.isclose(changed, sketches, atol=1e-4).flatten(1).all(1)
        for sketches in (pictures.sketches, pictures.sketches.flip(-1))
    )
    assert as_it_was.any()
    assert mirrored.any()
    assert 0.4 < (as_it_was | mirrored).float().mean() < 0.8


def test_all_pictures_of_a_clip_are_augmented_equally() -> None:
    places = torch.full((1, 6, 2), 0.4)
    pictures = marked(places)
    batch = Batch(pictures, pictures, pictures, torch.zeros(1, 6, 1, 80, 16), torch.zeros(1, 6, 1, dtype=torch.long))
    changed = augment(batch, generator(3))
    both = torch.cat([changed.pool.points, changed.targets.points], 1)[0, :, 0]
    assert both.std(0).max() < 0.02
    assert 0 <= changed.pool.images.amin() <= changed.pool.images.amax() <= 1


def test_a_mirrored_face_has_its_right_side_at_the_left() -> None:
    points = 0.2 + 0.6 * torch.rand(131, 2, generator=generator())
    there = torch.stack([1 - points[MIRROR, 0], points[MIRROR, 1]], -1)
    even = ((points + there) / 2).expand(60, 2, 131, 2)  # the same face when it is mirrored
    pictures = replace(marked(torch.full((60, 2, 2), 0.5)), points=even, shown=even)
    batch = Batch(pictures, pictures, pictures, torch.zeros(60, 2, 1, 80, 16), torch.zeros(60, 2, 1, dtype=torch.long))
    changed = augment(batch, generator()).targets
    for found in (changed.points, changed.shown):
        same = torch.isclose(found, even, atol=1e-5).flatten(1).all(1)
        assert 0.4 < same.float().mean() < 0.8  # all whose pixels are at most mirrored
