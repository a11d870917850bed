"""State of tracked faces: where each was last seen, and which new face continues which track."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.detector import overlap
from lipsmith.face.mesh import mesh_square
from lipsmith.face.square import Square

STILL = 0.01
"""Share of the crop's side by which a face may move within its crop before the crop follows."""
STILL_ANGLE = 0.02
"""Radians."""
NEWEST = 0.3
"""Weight of the newest step in a track's velocity."""
COASTING = 12
"""Frames for which a lost face is assumed to keep its velocity."""
TOLERANCE = (0.5, 0.05, 2.0)
"""Largest surprise with which a face continues a track: initial, increase per frame unseen, maximum."""


@dataclass(frozen=True)
class Sighting:
    """A face in one frame."""

    mesh: NDArray[np.float32]
    """(478, 2), source pixels."""
    score: float
    crop: Square
    """The square in which it was seen."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of the mesh."""
        (x0, y0), (x1, y1) = self.mesh.min(0).tolist(), self.mesh.max(0).tolist()
        return x0, y0, x1, y1

    @property
    def place(self) -> Square:
        """The square around the face as it was seen."""
        return mesh_square(self.mesh)

    @property
    def next_crop(self) -> Square:
        """Where to look in the next frame."""
        return settle(self.crop, mesh_square(self.mesh))

    def same_face(self, box: tuple[float, float, float, float], least: float = 0.6) -> bool:
        """Whether a box is around this face: intersection over union of at least `least`."""
        return bool(overlap(np.array(self.box), np.array([box]))[0] >= least)


@dataclass(eq=False)
class Track:
    """One face through one shot."""

    number: int
    last: Sighting
    crop: Square
    """Where to look in the next frame."""
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    """Of the crop's center, pixels a frame."""
    missed: int = 0
    """Frames since the face was last seen."""

    def follow(self, sighting: Sighting) -> None:
        """Update with this face as seen in the next frame."""
        crop = sighting.next_crop
        moved = np.array([crop.x - self.crop.x, crop.y - self.crop.y]) / max(self.missed, 1)
        self.velocity = (1 - NEWEST) * self.velocity + NEWEST * moved
        self.last, self.crop, self.missed = sighting, crop, 0

    def surprise(self, place: Square) -> float:
        """How badly a face at `place` continues this track, in crop sides: distance plus log of the change in size.

        A lost face may have stopped or moved on, so the smaller of the two distances counts.
        """
        ahead = self.velocity * min(self.missed, COASTING)
        stopped = math.hypot(place.x - self.crop.x, place.y - self.crop.y)
        gone_on = math.hypot(place.x - self.crop.x - ahead[0], place.y - self.crop.y - ahead[1])
        return min(stopped, gone_on) / self.crop.side + abs(math.log(place.side / self.crop.side))


def settle(now: Square, wanted: Square) -> Square:
    """`now` moved toward `wanted`, with a dead zone within which it stands still.

    The mesh depends a little on its crop and the crop on the mesh: without the dead zone the mesh of a still picture
    would never come to rest. Moving by the excess alone avoids jumps.
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


def assign(tracks: list[Track], found: list[Sighting]) -> dict[int, Track]:
    """Which track each face continues, by the face's index: the least surprising pairs first."""
    at_once, growth, most = TOLERANCE
    pairs = sorted(
        (track.surprise(sighting.place), index, t)
        for t, track in enumerate(tracks)
        for index, sighting in enumerate(found)
    )
    matched: dict[int, Track] = {}
    for surprise, index, t in pairs:
        tolerance = min(at_once + growth * tracks[t].missed, most)
        if index not in matched and tracks[t] not in matched.values() and surprise <= tolerance:
            matched[index] = tracks[t]
    return matched


def one_each(claims: list[tuple[Track, Sighting]]) -> list[tuple[Track, Sighting]]:
    """Claims with each face given to one track only: the one that it surprises least."""
    kept: list[tuple[Track, Sighting]] = []
    for track, sighting in sorted(claims, key=lambda claim: claim[0].surprise(claim[1].place)):
        if not any(sighting.same_face(other.box) for _, other in kept):
            kept.append((track, sighting))
    return kept
