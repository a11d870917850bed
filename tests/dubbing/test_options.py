"""Selection of faces by words and numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dub_samples import track
from lipsmith.dubbing.options import choose, ignored_faces
from lipsmith.errors import UsageError

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
def test_a_missing_face_is_a_usage_error(face: str) -> None:
    with pytest.raises(UsageError):
        choose(FACES, face)


def test_ignored_faces_are_those_visible_without_the_chosen_face() -> None:
    first, back = track(1), replace(track(2), frames=np.arange(30, 40))
    beside, elsewhere = track(3, size=20), track(4, shot=1)
    everyone = [first, back, beside, elsewhere]
    assert ignored_faces(everyone, [first]) == [back]
    assert ignored_faces(everyone, [first, back]) == []
