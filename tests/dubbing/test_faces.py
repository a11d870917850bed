import errno
import os
from dataclasses import replace

import numpy as np
import pytest

from lipsmith.dubbing.faces import FADE, CropStore, Face, Stored, choose, ignored_faces, opacities
from lipsmith.errors import LipsmithError, UsageError


def track(number: int, shot: int = 0, size: float = 50, x: float = 0, frames: int = 10) -> Face:
    none = np.zeros((0, 131, 2), np.float32)
    return Face(
        number,
        shot,
        np.arange(frames),
        none,
        np.zeros((0, 2, 3)),
        np.zeros(0, np.float32),
        Stored(0, ()),
        none,
        np.zeros((0, 2, 2), np.float32),
        np.zeros(0, np.intp),
        none,
        size,
        (x, 0),
        (0, 1),
    )


FACES = [track(1, size=50, x=300), track(2, size=40, x=100), track(3, 1, 80, 0), track(4, 0, 60, 10, frames=2)]


@pytest.mark.parametrize(
    ("face", "numbers"),
    [
        ("largest", [1, 3]),
        ("left", [2, 3]),
        ("right", [1, 3]),
        ("all", [1, 2, 3, 4]),
        ("2", [2]),
        ("4, 1", [1, 4]),
    ],
)
def test_faces_are_chosen_shot_by_shot_or_by_number(face: str, numbers: list[int]) -> None:
    assert [track.number for track in choose(FACES, face)] == numbers


@pytest.mark.parametrize("face", ["5", "0", "middle", "1,", "-1", ""])
def test_a_face_that_is_not_there_is_a_usage_error(face: str) -> None:
    with pytest.raises(UsageError):
        choose(FACES, face)


def test_rows_of_frames_that_are_shown_in_any_order() -> None:
    seen = replace(FACES[0], frames=np.array([3, 4, 7]))
    assert seen.rows(np.array([8, 7, 6, 4, 3, 0])).tolist() == [-1, 2, -1, 1, 0, -1]


def test_the_mouth_fades_where_tracking_starts_and_stops_within_a_shot() -> None:
    frames = np.array([*range(2, 12), *range(20, 30)])
    opacity = opacities(frames, np.ones(20), 2, 35)
    assert opacity[0] == 1
    assert opacity[9] == pytest.approx(1 / (FADE + 1))
    assert opacity[10] == pytest.approx(1 / (FADE + 1))
    assert opacity[15] == 1
    assert opacity[19] == pytest.approx(1 / (FADE + 1))
    assert (opacities(np.arange(5), np.ones(5), 0, 4) == 1).all()


def test_a_hidden_face_is_not_painted_over() -> None:
    scores = np.concatenate([np.ones(10), np.full(10, 0.5), np.ones(10)])
    opacity = opacities(np.arange(30), scores, 0, 29)
    assert opacity[14] == 0
    assert opacity[0] == opacity[29] == 1
    assert np.abs(np.diff(opacity)).max() < 0.5


def test_stored_crops_come_back() -> None:
    store = CropStore()
    first = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3)).astype(np.uint8)
    places = [store.put(first), store.put(first[:, :2] // 2)]
    assert (store.get(places[0]) == first).all()
    assert (store.get(places[1]) == first[:, :2] // 2).all()


def test_a_face_that_is_alone_while_the_chosen_one_is_away_is_ignored_faces() -> None:
    first, back = track(1), replace(track(2), frames=np.arange(30, 40))
    beside, elsewhere = track(3, size=20), track(4, shot=1)
    everyone = [first, back, beside, elsewhere]
    assert ignored_faces(everyone, [first]) == [back]
    assert ignored_faces(everyone, [first, back]) == []


def test_a_full_temporary_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def seek(self, place: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = CropStore()
    monkeypatch.setattr(store, "_file", Full())
    with pytest.raises(LipsmithError, match="TMPDIR"):
        store.put(np.zeros((1, 2, 2, 3), np.uint8))
