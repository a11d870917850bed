"""A shot in which a person is silent gets mouths from the person's other shots."""

from __future__ import annotations

from dataclasses import replace
from os import SEEK_END
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dub_samples import plain_face
from lipsmith.dubbing.lending import with_lent
from lipsmith.dubbing.paste.native import TOP, NativeCrops
from lipsmith.dubbing.scan import ArrayStore, Face, Scan, Sizes
from lipsmith.dubbing.scan_file import read_scan, write_scan
from lipsmith.face.landmarks import outer_lip_opening, ranks
from lipsmith.face.lending import MOST_LENT
from lipsmith.face.references import POOL, costs, encoded, nearest

UPPER, LOWER = ranks((0, 17))
SHUT, TALKING = np.linspace(0.05, 0.055, 10), np.linspace(0.04, 0.14, 40)
SIZES = Sizes(16, 5)
STORE = ArrayStore()


def shot(place: int, number: int, openings: NDArray[np.float64], side: int = 0, color: int = 120) -> Face:
    """Return a face whose references have the color of their shot."""
    count = len(openings)
    points = np.random.default_rng(0).uniform(0.2, 0.8, (1, 131, 2)).repeat(count, 0).astype(np.float32)
    points[:, LOWER] = points[:, UPPER] + np.stack([np.zeros(count), openings], 1)
    grain = np.random.default_rng(1).integers(-9, 9, (count, 16, 16, 3))
    return replace(
        plain_face(number, place),
        index=place,
        pool=STORE.put((color + grain).astype(np.uint8)),
        pool_points=STORE.put(points),
        pool_still=np.full((count, 2, 2), place, np.float32),
        landmarks=points[np.linspace(0, count - 1, 15).round().astype(int)],
        native=STORE.put_native(plain_crops(count, side, color)) if side else None,
    )


def plain_crops(count: int, side: int, color: int) -> NativeCrops:
    """Return native crops of one color."""
    jpeg = encoded(np.full((side, side, 3), color, np.uint8))
    return NativeCrops.of([jpeg] * count, [np.eye(2, 3) / side] * count, side)


def colors_of(crops: NativeCrops | None, ranks: range) -> float:
    """Return the mean color of some crops."""
    assert crops is not None
    return float(np.mean([crops[rank][..., :3] for rank in ranks]))


def lent(*faces: Face) -> list[Face]:
    return with_lent(Scan(np.zeros(1), list(faces), (320, 240)), STORE, SIZES).faces


def test_a_silent_shot_gets_the_mouths_of_another() -> None:
    silent, talking = shot(0, 1, SHUT), shot(1, 1, TALKING, color=125)
    first, second = lent(silent, talking)
    assert second is talking
    assert len(first.pool) == len(first.pool_points) == len(first.pool_still) == 40
    np.testing.assert_array_equal(first.pool[:10], silent.pool[:])
    assert np.mean(first.pool[10:]) > np.mean(first.pool[:10]) + 3
    assert (first.pool_still == 0).all()  # as if they had been filmed where the face's own were
    assert np.ptp(outer_lip_opening(first.landmarks)) > 0.08
    assert len(first.landmarks) == 15
    lips = outer_lip_opening(first.pool_points[first.lips])
    assert np.ptp(lips) > 0.08


def test_pools_do_not_grow_beyond_their_limit() -> None:
    (first, _) = lent(shot(0, 1, np.linspace(0.05, 0.055, POOL)), shot(1, 1, TALKING))
    assert len(first.pool) == POOL


@pytest.mark.parametrize(("size", "wide"), [(40, 60), (60, 50), (60, 60)])
def test_detail_is_lent_at_the_size_of_the_shot(size: int, wide: int) -> None:
    first, _ = lent(shot(0, 1, SHUT, size), shot(1, 1, TALKING, wide, color=125))
    assert first.native is not None
    assert len(first.native) == 40
    assert {first.native[rank].shape for rank in range(40)} == {(size - int(TOP * size), size, 4)}
    assert colors_of(first.native, range(10)) == pytest.approx(120, abs=0.5)
    assert colors_of(first.native, range(10, 40)) == pytest.approx(125, abs=0.5)


def test_small_faces_lend_their_crops_to_larger_ones() -> None:
    first, _ = lent(shot(0, 1, SHUT, 20), shot(1, 1, TALKING, color=125))
    assert first.native is not None
    assert first.native[39].shape == (11, 20, 4)
    assert colors_of(first.native, range(10, 40)) == pytest.approx(125, abs=2)
    second, _ = lent(shot(0, 1, SHUT), shot(1, 1, TALKING, 20, color=125))
    assert second.native is None


def test_frames_that_open_the_mouth_use_what_is_lent() -> None:
    silent, talking = shot(0, 1, SHUT), shot(1, 1, TALKING)
    elsewhere = replace(talking, pool_still=talking.pool_still + np.float32(0.3))
    first, _ = lent(replace(silent, pool_still=silent.pool_still + np.eye(2, dtype=np.float32)), elsewhere)
    asked = talking.pool_points[[20, 30, 39]]
    cost = costs(asked, first.pool_points[:], np.eye(2, dtype=np.float32)[None].repeat(3, 0), first.pool_still)
    assert (nearest(cost, 5) >= 10).all()


def test_a_single_reference_gets_others() -> None:
    first, _ = lent(shot(0, 1, SHUT[:1]), shot(1, 1, TALKING))
    assert len(first.pool) == 1 + MOST_LENT


def test_references_take_the_room_of_those_they_replace() -> None:
    own = np.linspace(0.05, 0.055, POOL)
    silent, talking = shot(0, 1, own, color=120), shot(1, 1, TALKING, color=125)
    before = STORE._file.seek(0, SEEK_END)
    first, second = lent(silent, talking)
    points = first.pool_points[:].nbytes
    assert STORE._file.seek(0, SEEK_END) - before == points
    assert np.mean(first.pool[MOST_LENT:]) == pytest.approx(125, abs=1)
    assert np.mean(second.pool) == pytest.approx(125, abs=1)


def test_lent_references_are_kept_with_a_scan(tmp_path: Path) -> None:
    scan = with_lent(Scan(np.zeros(1), [shot(0, 1, SHUT, 20), shot(1, 1, TALKING, 24)], (320, 240)), STORE, SIZES)
    full = [replace(face, points=face.pool_points) for face in scan.faces]
    write_scan(tmp_path / "scan.npz", replace(scan, faces=full))
    for face, again in zip(full, read_scan(tmp_path / "scan.npz", STORE).faces, strict=True):
        for name in ("pool", "pool_points", "pool_still", "lips", "landmarks"):
            np.testing.assert_array_equal(getattr(face, name), getattr(again, name))
        assert face.native is not None
        assert again.native is not None
        for rank in range(len(face.native)):
            np.testing.assert_array_equal(face.native[rank], again.native[rank])


def test_other_people_and_shots_with_speech_stay_as_they_are() -> None:
    louder = 0.04 + 2 * (TALKING - 0.04)
    faces = [shot(0, 1, SHUT), shot(1, 2, TALKING), shot(2, 2, louder), shot(3, 3, SHUT), shot(4, 3, SHUT)]
    assert [one is other for one, other in zip(lent(*faces), faces, strict=True)] == [True] * 5


@pytest.mark.parametrize("order", [1, -1])
def test_the_nearest_shots_in_which_the_person_talks_lend(order: int) -> None:
    """Those after a silent one as those before it."""
    silent = [shot(place, 1, SHUT) for place in range(14)]
    talking = [shot(14 + place, 1, TALKING, color=110 + place) for place in range(14)]
    shots = [replace(one, index=place) for place, one in enumerate([*silent, *talking][::order])]
    first = lent(*shots)[::order][0]
    colors = np.unique(np.round(np.mean(first.pool[10:], axis=(1, 2, 3))))
    assert colors.min() == pytest.approx(110, abs=1)
    assert colors.max() < 122.5
