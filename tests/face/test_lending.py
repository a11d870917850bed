"""References that shots of one person lend each other."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.face.landmarks import NUM_POSE, outer_lip_opening, ranks
from lipsmith.face.lending import ENOUGH, MOST_LENT, Lender, is_scarce, lent
from lipsmith.face.look import Appearance

UPPER, LOWER = ranks((0, 17))


def lender(openings: NDArray[np.float64], size: float = 200, turn: float = 0.0, color: float = 120.0) -> Lender:
    """Return faces that differ only in lip opening."""
    count = len(openings)
    points = np.random.default_rng(0).uniform(0.2, 0.8, (1, 131, 2)).repeat(count, 0)
    points[:, :NUM_POSE, 0] += turn
    points[:, LOWER] = points[:, UPPER] + np.stack([np.zeros(count), openings], 1)
    looks = Appearance(np.full((count, 18, 3), color, np.float32), np.full(count, 50, np.float32))
    return Lender(points.astype(np.float32), looks, size)


SHUT, TALKING = np.linspace(0.05, 0.055, 20), np.linspace(0.04, 0.14, 41)


def test_a_shot_with_a_silent_person_is_scarce() -> None:
    assert is_scarce(lender(SHUT).points)
    assert not is_scarce(lender(TALKING).points)
    assert not is_scarce(lender(np.array([0.05, 0.0501 + ENOUGH])).points)


def test_only_mouths_that_are_missing_are_lent() -> None:
    own, other = lender(SHUT), lender(TALKING, turn=0.025)
    (rows,) = lent(own, [other])
    openings = outer_lip_opening(other.points)[rows]
    assert ((openings < 0.05) | (openings > 0.055)).all()
    assert len(rows) == MOST_LENT
    assert openings.min() < 0.042
    assert openings.max() > 0.138


def test_all_shots_together_lend_no_more_than_one() -> None:
    rows = lent(lender(SHUT), [lender(TALKING), lender(TALKING), lender(SHUT)])
    assert sum(map(len, rows)) == MOST_LENT
    assert min(len(rows[0]), len(rows[1])) > MOST_LENT // 4
    assert len(rows[2]) == 0


@pytest.mark.parametrize(
    "other",
    [
        lender(TALKING, size=130),
        lender(TALKING, turn=0.035),
        lender(TALKING, color=200.0),
        lender(TALKING, color=160.0),
        lender(SHUT[5:9]),
    ],
    ids=["coarse", "turned", "otherwise lit", "a little otherwise lit", "as shut"],
)
def test_nothing_unfit_is_lent(other: Lender) -> None:
    assert [len(rows) for rows in lent(lender(SHUT), [other])] == [0]


def test_what_looks_like_a_part_of_the_shot_is_not_lent() -> None:
    own, other = lender(SHUT), lender(TALKING)
    own.appearance.colors[-4:] += 45
    assert [len(rows) for rows in lent(own, [other])] == [0]


def test_a_single_reference_is_enough_to_lend_to() -> None:
    assert len(lent(lender(SHUT[:1]), [lender(TALKING, size=150)])[0]) == MOST_LENT


def test_nobody_lends_nothing() -> None:
    assert lent(lender(SHUT), []) == []
