"""Bookkeeping of tracked faces: where each was last, and which new face continues which old one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.mesh import mesh_square
from lipsmith.face.square import Square

STILL = 0.01
"""Share of the crop's side by which a face may move in its crop before the crop follows."""
STILL_ANGLE = 0.02
"""Radians."""


@dataclass
class Track:
    """One face through one shot."""

    number: int
    crop: Square
    """Where to look in the next frame."""
    mesh: NDArray[np.float32]
    score: float
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    """Of the crop's centre, pixels a frame."""
    missed: int = 0
    """Frames since the face was last seen."""

    def follow(self, mesh: NDArray[np.float32], score: float) -> None:
        """Take the next frame's mesh (478, 2)."""
        before = self.crop
        self.crop = settle(before, mesh_square(mesh))
        moved = np.array([self.crop.x - before.x, self.crop.y - before.y]) / (self.missed + 1)
        self.velocity = 0.7 * self.velocity + 0.3 * moved
        self.mesh, self.score, self.missed = mesh, score, 0

    def surprise(self, crop: Square) -> float:
        """How badly a face at `crop` continues this track, in crop sides: distance plus change of size.

        A face out of sight may have stopped or gone on, so the better of the two counts.
        """
        ahead = self.velocity * min(self.missed + 1, 12)
        stopped = math.hypot(crop.x - self.crop.x, crop.y - self.crop.y)
        gone_on = math.hypot(crop.x - self.crop.x - ahead[0], crop.y - self.crop.y - ahead[1])
        return min(stopped, gone_on) / self.crop.side + abs(math.log(crop.side / self.crop.side))


def settle(now: Square, wanted: Square) -> Square:
    """`now` moved toward `wanted`, but for a small play within which it stands still.

    The mesh depends a little on its crop and the crop on the mesh: without the play a still picture's
    mesh would never come to rest. Moving by the excess alone keeps the path free of jumps.
    """
    play = STILL * now.side
    turn = math.remainder(wanted.angle - now.angle, math.tau)
    return Square(
        now.x + _excess(wanted.x - now.x, play),
        now.y + _excess(wanted.y - now.y, play),
        now.side + _excess(wanted.side - now.side, 2 * play),
        now.angle + _excess(turn, STILL_ANGLE),
    )


def _excess(difference: float, play: float) -> float:
    return math.copysign(max(abs(difference) - play, 0.0), difference)


def assign(tracks: list[Track], crops: list[Square], patience: float) -> dict[int, Track]:
    """Which track each crop continues, by index: the least surprising pairs first, none beyond its tolerance.

    The tolerance is half a crop, and grows by `patience` crops for each frame without the face, up to two.
    """
    pairs = sorted(
        (
            (track.surprise(crop), index, t)
            for t, track in enumerate(tracks)
            for index, crop in enumerate(crops)
        ),
    )
    matched: dict[int, Track] = {}
    taken: set[int] = set()
    for cost, index, t in pairs:
        if index in matched or t in taken or cost > min(0.5 + patience * tracks[t].missed, 2.0):
            continue
        matched[index] = tracks[t]
        taken.add(t)
    return matched
