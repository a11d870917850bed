"""The film that docs/pictures.py draws: a tracker finds its face, whose mouth closes and opens."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.face import FaceTracker
from lipsmith.face.landmarks import lip_opening, mouth_width, select

sys.path.append(str(Path(__file__).resolve().parents[2] / "docs"))

from drawn_film import LOWER_EDGE, DrawnFace, nodding, shapes


@pytest.fixture(scope="module")
def face() -> DrawnFace:
    return DrawnFace()


def opening(picture: NDArray[np.uint8]) -> float:
    """Return the opening of the mouth that the tracker finds, as a share of its width."""
    points = select(FaceTracker().track(picture).faces[0].mesh)
    return float(lip_opening(points) / mouth_width(points))


def test_the_mouth_closes_and_opens(face: DrawnFace) -> None:
    drops, narrows = zip(*shapes(6.4), strict=True)
    closed, portrait, opened = (opening(face.frame(drop, 0)) for drop in (min(drops), 0, max(drops)))
    assert closed < 0.03 < portrait - 0.05 < portrait + 0.1 < opened
    assert 0 <= min(narrows) < max(narrows) < 0.3


def test_the_jaw_moves_nothing_above_the_mouth(face: DrawnFace) -> None:
    above = slice(0, int(face.mesh[LOWER_EDGE, 1].min()) - 10)
    np.testing.assert_array_equal(face.frame(0.2, 0)[above], face.frame(0, 0)[above])


def test_a_nodding_head_returns(face: DrawnFace) -> None:
    picture = face.frame(0, 0)
    assert np.abs(nodding(picture, 0.75).astype(int) - picture).mean() > 5
    np.testing.assert_array_equal(nodding(picture, 0.0), picture)
