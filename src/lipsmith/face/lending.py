"""What shots of one person lend each other: mouths that one shot lacks, because the person is silent there, say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.landmarks import NUM_POSE, Floats, outer_lip_opening
from lipsmith.face.look import Appearance, unlike
from lipsmith.face.references import choose_pool

ENOUGH: Final = 0.035
"""Range of lip openings, crop units, from which a shot shows enough mouths; of 80 clips of people who talk, two have a
smaller one in their first half."""
MOST_LENT: Final = 30
"""Maximum number of references lent to a face."""
_TURNED: Final = 0.03
"""Distance of poses, crop units, up to which a reference may be lent."""
_LOOKS: Final = 5
"""Number of own references, at even ranks of opening, that a reference must look like."""
_COARSE: Final = 0.7
"""A face smaller than this share of the other one has too little detail for it."""


class Lender(NamedTuple):
    """The R references of a face in one shot."""

    points: Floats
    """(R, 131, 2) crop units."""
    appearance: Appearance
    size: float
    """Width of the face in the film, pixels."""


def is_scarce(points: Floats) -> bool:
    """Whether the mouths of references `(R, 131, 2)` differ too little for speech."""
    return bool(np.ptp(outer_lip_opening(points)) < ENOUGH)


def lent(own: Lender, others: Sequence[Lender]) -> list[NDArray[np.intp]]:
    """The references that each of the `others`, shots of the same person, lends to a face; at most `MOST_LENT` in all.

    They are more open or more closed than its own, in a similar pose and light, of a face at least 0.7 as large.
    """
    usable = [_usable(own, other) for other in others]
    whose = np.repeat(np.arange(len(others)), [len(rows) for rows in usable])
    rows = np.concatenate([np.zeros(0, np.intp), *usable])
    points = np.concatenate([own.points[:0], *(other.points[at] for other, at in zip(others, usable, strict=True))])
    chosen = choose_pool(points, None, MOST_LENT) if len(rows) > MOST_LENT else np.arange(len(rows))
    return [rows[chosen[whose[chosen] == index]] for index in range(len(others))]


def _usable(own: Lender, other: Lender) -> NDArray[np.intp]:
    if other.size < _COARSE * own.size:
        return np.zeros(0, np.intp)
    openings, asked = outer_lip_opening(own.points), outer_lip_opening(other.points)
    wanted = (asked < openings.min()) | (asked > openings.max())
    return np.flatnonzero(wanted & (_poses_apart(other.points, own.points) < _TURNED) & _looks_like(own, other))


def _looks_like(own: Lender, other: Lender) -> NDArray[np.bool_]:
    """Whether references `(n,)` look like all of a face: in a dub, each frame refuses those that look unlike it."""
    ranked = np.argsort(outer_lip_opening(own.points))
    some = ranked[np.linspace(0, len(ranked) - 1, _LOOKS).round().astype(int)]
    looks = (Appearance(own.appearance.colors[row], own.appearance.sharpness[row]) for row in some)
    alike: NDArray[np.bool_] = np.all([unlike(frame, other.appearance) == 0 for frame in looks], axis=0)
    return alike


def _poses_apart(points: Floats, own: Floats) -> NDArray[np.float64]:
    """Distance `(n,)` of each pose from the nearest of the face's own, root mean square of its points."""
    pose, poses = points[:, None, :NUM_POSE], own[None, :, :NUM_POSE]
    apart: NDArray[np.float64] = np.sqrt(np.square(pose - poses).sum(-1).mean(-1)).min(1)
    return apart
