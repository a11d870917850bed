"""The first pass over footage whose faces are scripted."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from lipsmith.dubbing.array_source import ArraySource
from lipsmith.dubbing.scan import LONGEST_GAP, ArrayStore, Scan, Scanner, Sizes
from lipsmith.errors import InputError
from lipsmith.face.crop import crop_image
from lipsmith.face.landmarks import OUTER_LIP
from scripted import ScriptedTracker, Seen, mesh

SIZES = Sizes(face=32, lips=2)
IMAGE = np.random.default_rng(0).integers(0, 128, (200, 240, 3)).astype(np.uint8)


def scanned(frames: list[Seen], progress: object = None) -> Scan:
    source = ArraySource([IMAGE] * len(frames), 25.0)
    scanner = Scanner(ScriptedTracker(frames), ArrayStore(), SIZES)  # type: ignore[arg-type]
    return scanner.scan(source, progress)  # type: ignore[arg-type]


def test_faces_are_numbered_shot_by_shot() -> None:
    seen: list[tuple[int, int]] = []
    left, right = mesh(60, 10, 20), mesh(90, 120, 30)
    frames: list[Seen] = [(0, {0: left, 1: right})] * 6 + [(1, {})] * 2 + [(2, {0: right})] * 5
    scan = scanned(frames, progress=lambda done, total: seen.append((done, total)))
    assert [(face.number, face.shot, face.frames.tolist()) for face in scan.faces] == [
        (1, 0, list(range(6))),
        (2, 0, list(range(6))),
        (3, 2, list(range(8, 13))),
    ]
    assert scan.size == (240, 200)
    assert scan.times == pytest.approx(np.arange(13) / 25)
    assert seen == [(done, 13) for done in range(1, 14)]
    assert scan.faces[2].seconds == pytest.approx((8 / 25, 12 / 25))
    assert scan.faces[1].size == pytest.approx(np.ptp(right[:, 0]), abs=0.01)
    assert (scan.faces[0].opacity == 1).all()


def test_short_gaps_are_bridged_and_long_gaps_are_not() -> None:
    seen = [0, 1, 2, 3 + LONGEST_GAP, 5 + 2 * LONGEST_GAP]  # a gap that is bridged, then one frame more
    scan = scanned([(0, {0: mesh()} if index in seen else {}) for index in range(12)])
    (face,) = scan.faces
    assert face.frames.tolist() == [*range(4 + LONGEST_GAP), 5 + 2 * LONGEST_GAP]
    assert len(face.points) == len(face.transforms) == len(face.opacity) == len(face.frames)


def test_references_are_crops_of_the_footage() -> None:
    (face,) = scanned([(0, {0: mesh(40)})] * 8).faces
    pool = np.asarray(face.pool)
    assert pool.shape == (8, 32, 32, 3)
    assert (pool == crop_image(IMAGE, face.transforms[0], 32)).all()
    assert face.lips.shape == (2,)
    assert face.landmarks.shape == (15, 131, 2)


@pytest.mark.parametrize(("cut_off", "count"), [(3, 5), (7, 8)])
def test_mouths_that_the_edge_of_the_picture_cuts_off_are_no_references(cut_off: int, count: int) -> None:
    whole, lower = mesh(60, 90, 60), mesh(60, 90, 165)
    lips, others = whole[list(OUTER_LIP), 1], lower[list(OUTER_LIP), 1]
    assert lips.max() < 200 < others.max() < 220
    (face,) = scanned([(0, {0: lower if index < cut_off else whole}) for index in range(8)]).faces
    assert len(face.pool) == count


def test_footage_without_a_face_is_refused() -> None:
    with pytest.raises(InputError, match="no face in any of its 3 frames"):
        scanned([(0, {})] * 3)


def test_a_stored_error_of_the_tracker_keeps_no_thread_alive() -> None:
    before = threading.active_count()
    source = ArraySource([IMAGE] * 20, 25.0)
    scanner = Scanner(ScriptedTracker([(0, {0: mesh()})]), ArrayStore(), SIZES)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="StopIteration") as kept:
        scanner.scan(source)
    assert kept.value
    assert threading.active_count() == before
