"""Tracks faces through a film: each is detected once, and then its mesh gives the crop to search in the next frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.crop import Square
from lipsmith.face.cuts import Changes, CutDetector, Dissolve, DissolveDetector, Thumbnail, thumbnail
from lipsmith.face.detector import Detection, FaceDetector, FaceMesh, mesh_square, overlap
from lipsmith.media.color import Picture

STILL = 0.01
"""Dead zone: share of the crop's side by which a face may move within its crop before the crop follows."""
STILL_ANGLE = 0.02  # radians
NEWEST = 0.3
"""Weight of the newest step in a track's velocity."""
COASTING = 12
"""Frames for which a lost face is extrapolated with its velocity."""
TOLERANCE = (0.5, 0.05, 2.0)
"""Largest mismatch at which a face continues a track: initial value, increase per missed frame, maximum."""

MOST_FACES = 6
"""Maximum number of simultaneous faces if one is chosen later."""
PRESENT = 0.5
"""Minimum score of the landmark network for a tracked face."""
CONFIRMED = 1.6
"""Minimum sum of the detector's and the landmark network's scores for a new face: blurred backgrounds reach 0.65 in the
detector or 0.99 in the landmark network; faces are seldom below 0.75 and 0.98."""
REFRESH = 15
"""Frames between two thorough searches while fewer faces are tracked than wanted."""
SMALL = 4
"""Of so many thorough searches beside a tracked face, one is for the smallest faces, on most tiles, and turned ones."""
NEARBY, REMEMBERED = 4, 75
"""Frames between two searches near the place where a face was lost, and those for which it is searched."""
NETWORK_THREADS = 2
"""CPU threads of the two networks: they are small, and more of them would only wait."""
PART = 0.75
"""Least share of a face that lies in a larger one if it is a part of it, such as nose and mouth of a large face."""
PASSES = 4
"""Maximum number of landmark passes on a new detection until mesh and crop agree."""


@dataclass(frozen=True)
class SeenFace:
    """A face in one frame."""

    mesh: NDArray[np.float32]
    """(478, 2), source pixels."""
    score: float
    """Probability in [0, 1] that this is a face."""

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of the mesh, source pixels."""
        x, y = self.mesh.T  # each alone, which takes numpy a quarter of the time
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())


@dataclass(frozen=True)
class Sighting(SeenFace):
    """A face before it belongs to a track."""

    crop: Square
    """The input square of the landmark network."""

    @cached_property
    def place(self) -> Square:
        """The square around the face."""
        return mesh_square(self.mesh)

    @property
    def next_crop(self) -> Square:
        """Where to look in the next frame."""
        return move_toward(self.crop, self.place)

    def same_face(self, box: tuple[float, float, float, float], least: float = 0.6) -> bool:
        """Whether a box is around this face: intersection over union of at least `least`."""
        return bool(overlap(np.array(self.box), np.array([box]))[0] >= least)

    def contains(self, other: Sighting) -> bool:
        """Whether another one is a part of this face: smaller, and most of its box in this one's."""
        share = overlap(np.array(self.box), np.array([other.box]), of_smaller=True)[0]
        return bool(share >= PART and other.place.side < self.place.side)


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

    def cost(self, place: Square) -> float:
        """How badly a face at `place` continues this track, in crop sides: distance plus log of the change in size.

        A lost face may have stopped or moved on, so the smaller of the two distances counts.
        """
        ahead = self.velocity * min(self.missed, COASTING)
        stopped = math.hypot(place.x - self.crop.x, place.y - self.crop.y)
        gone_on = math.hypot(place.x - self.crop.x - ahead[0], place.y - self.crop.y - ahead[1])
        return min(stopped, gone_on) / self.crop.side + abs(math.log(place.side / self.crop.side))


def move_toward(now: Square, wanted: Square) -> Square:
    """`now` moved toward `wanted` by what exceeds a dead zone, which avoids jumps.

    The mesh depends a little on its crop and the crop on the mesh, so that without the zone no mesh would come to rest.
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
    """Which track each face continues, by the face's index: the pairs of least cost first."""
    at_once, growth, most = TOLERANCE
    pairs: list[tuple[float, int, int]] = []
    for index, sighting in enumerate(found):
        pairs += [(track.cost(sighting.place), index, t) for t, track in enumerate(tracks)]
    matched: dict[int, Track] = {}
    for cost, index, t in sorted(pairs):
        tolerance = min(at_once + growth * tracks[t].missed, most)
        if index not in matched and tracks[t] not in matched.values() and cost <= tolerance:
            matched[index] = tracks[t]
    return matched


def without_duplicates(claims: list[tuple[Track, Sighting]]) -> list[tuple[Track, Sighting]]:
    """Claims with each face given to one track only: the one that it costs least."""
    kept: list[tuple[Track, Sighting]] = []
    for track, sighting in sorted(claims, key=lambda claim: claim[0].cost(claim[1].place)):
        if not any(sighting.same_face(other.box) for _, other in kept):
            kept.append((track, sighting))
    return kept


@dataclass(frozen=True)
class TrackedFace(SeenFace):
    """A face of a track."""

    face: int
    """Identity number within the shot, from 0; of faces found at once, the largest comes first."""


@dataclass(frozen=True)
class TrackedFrame:
    """The faces of one frame."""

    faces: list[TrackedFace]
    """In order of identity number; faces that are not seen are absent."""
    shot: int
    """Number of the shot, from 0."""
    dissolve: Dissolve | None = None
    """By which this shot began, in the first frame that is known to belong to it."""


class FaceTracker:
    """Tracks the faces of a film frame by frame; a face keeps its number through a shot."""

    def __init__(self, max_faces: int = 1, threads: int = 1) -> None:
        """`threads`: CPU threads, of which `NETWORK_THREADS` are used at most."""
        threads, self._max_faces = min(threads, NETWORK_THREADS), max_faces
        self._detector, self._mesh = FaceDetector(threads), FaceMesh(threads)
        self._is_cut, self._dissolve = CutDetector(), DissolveDetector()
        self._changes = {finest: Changes() for finest in (True, False)}
        self._tracks: list[Track] = []
        self._shot, self._searches, self._idle = 0, 0, REFRESH

    def track(self, image: Picture) -> TrackedFrame:
        """Faces of the next frame, an RGB image (H, W, 3). Frames must come in order."""
        small = thumbnail(image)
        if self._is_cut(small):
            self._shot += 1
            self._tracks, self._idle = [], REFRESH
            self._changes = {finest: Changes() for finest in (True, False)}
            self._dissolve.restart()
        dissolve = self._dissolve(small)
        if dissolve is not None:
            self._shot += 1
        self._follow(image)
        self._search(image, small)
        faces = [TrackedFace(t.last.mesh, t.last.score, t.number) for t in self._tracks if not t.missed]
        return TrackedFrame(faces, self._shot, dissolve)

    def _follow(self, image: Picture) -> None:
        """Update every track with the new frame; tracks whose face is not seen count a miss."""
        seen = [(t, Sighting(*self._mesh(image, t.crop), t.crop)) for t in self._tracks if not t.missed]
        for track in self._tracks:
            track.missed += 1
        for track, sighting in without_duplicates([(t, s) for t, s in seen if is_plausible(s, image)]):
            track.follow(sighting)

    def _search(self, image: Picture, small: Thumbnail) -> None:
        """Look for faces that no track follows, and give them tracks."""
        seen = [track for track in self._tracks if not track.missed]
        known, room = [track.last for track in seen], self._max_faces - len(seen)
        found: list[Sighting] = []
        for detections in self._places(image, small, [track.crop for track in seen]) if room > 0 else ():
            for detection in detections:
                found += self._confirm(image, detection, [*known, *found])
            if len(found) >= room:
                break
        self._admit([one for one in found if not any(face.contains(one) for face in [*known, *found])], room)

    def _places(self, image: Picture, small: Thumbnail, seen: list[Square]) -> Iterator[list[Detection]]:
        """Detections near lost faces; then, if no face is `seen`, in the whole picture; and now and then on all tiles,
        or on those that have changed beside the seen faces."""
        self._idle += 1
        thorough = self._idle > REFRESH
        if thorough:
            self._idle, self._searches = 0, self._searches + 1
        for track in self._tracks:
            if track.missed % NEARBY == 1 and track.missed < REMEMBERED:
                yield self._detector.search(np.asarray(image), track.crop.scaled(1.5))
        finest = not seen or self._searches % SMALL == 0
        if thorough:
            has_changed = self._changes[finest].look(small, seen, *image.shape[:2])
            yield from self._detector.coarse_to_fine(image, finest, has_changed if seen else None)
            self._changes[finest].remember()  # but not if the caller has enough
        elif not seen:
            yield from islice(self._detector.coarse_to_fine(image), 1)

    def _confirm(self, image: Picture, detection: Detection, known: list[Sighting]) -> list[Sighting]:
        """The detected face, unless it is not accepted or is known already."""
        if any(face.same_face(detection.box, 0.4) for face in known):
            return []
        image = np.asarray(image)
        turned = self._detector.upright(image, detection)
        both = [turned] if turned is detection else [turned, detection]
        likely = [one for one in both if one.score + 1 >= CONFIRMED]  # else no score of the landmark network would do
        if not likely:
            return []
        seen = [Sighting(*self._mesh(image, one.crop), one.crop) for one in likely]
        # The detector may take an upright face, blurred or with thick glasses, for one upside down.
        detection, sighting = max(zip(likely, seen, strict=True), key=lambda pair: pair[1].score)
        if any(sighting.same_face(face.box) for face in known):
            return []
        sighting = self._refine(image, sighting)
        sure = detection.score + sighting.score >= CONFIRMED and is_plausible(sighting, image)
        return [sighting] if sure and not any(sighting.same_face(face.box) for face in known) else []

    def _refine(self, image: Picture, sighting: Sighting) -> Sighting:
        """The face once mesh and crop agree, as in the next frames; one in profile is often accepted in only one of
        these crops."""
        best = sighting
        for _ in range(PASSES - 1):
            place = sighting.place
            if is_plausible(sighting, image):
                best = sighting
                if move_toward(sighting.crop, place) == sighting.crop:
                    break
            sighting = Sighting(*self._mesh(image, place), place)
        return sighting if is_plausible(sighting, image) else best

    def _admit(self, found: list[Sighting], room: int) -> None:
        """Continue lost tracks with the faces found, then start new tracks, largest first, while there is room."""
        continued = assign([track for track in self._tracks if track.missed], found)
        for index, track in continued.items():
            track.follow(found[index])
        others = [sighting for index, sighting in enumerate(found) if index not in continued]
        others.sort(key=lambda sighting: -sighting.crop.side)
        for sighting in others[: max(room - len(continued), 0)]:
            self._tracks.append(Track(len(self._tracks), sighting, sighting.next_crop))


def is_plausible(sighting: Sighting, image: Picture) -> bool:
    """Whether a face is there: the network says so, its center is in the picture and its size is a face's."""
    x0, y0, x1, y1 = sighting.box
    height, width = image.shape[:2]
    centered = 0 <= (x0 + x1) / 2 <= width and 0 <= (y0 + y1) / 2 <= height
    return bool(sighting.score >= PRESENT and centered and 12 <= max(x1 - x0, y1 - y0) <= 4 * max(width, height))
