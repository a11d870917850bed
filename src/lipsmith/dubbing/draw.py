"""Renders the mouths of each output frame, several frames at the same time, and pastes them into it in order."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.mouth import MouthTrack
from lipsmith.dubbing.paste.composite import Compositor, Memory
from lipsmith.dubbing.paste.detail import Detail
from lipsmith.dubbing.scan import Face, most_at_once
from lipsmith.face.crop import crop_image, still_points
from lipsmith.face.look import Eyes, Fade, eyes_of, fade_of, tone_of, toned
from lipsmith.face.references import Appearance, appearance, costs, is_absent, undercut, unlike
from lipsmith.inference.backend import Backend
from lipsmith.inference.render import Drawing, EncodedFace, encode_face, render
from lipsmith.media import Frame, Picture
from lipsmith.progress import prefetch_map

Image = NDArray[np.uint8]
Memories = Mapping[int, Memory]
"""What compositors remember, by the index of their face."""

PART: Final = 250
"""Output frames in one part of a dub that can be resumed; x264's interval between two key frames."""

_OTHER: Final = 0.2
"""Cost, crop units, of a reference that looks unlike the frame: more than of any pose."""


@dataclass(frozen=True)
class References:
    """The R references of one face."""

    encoded: EncodedFace
    """Encoded by the networks."""
    native: Callable[[int], Image] | None
    """The `NativeCrops` by their rank, each cut when it is first needed; None if they add no detail."""
    appearance: Appearance
    eyes: Eyes
    tone: NDArray[np.float64] | None
    """(3, 4), of monochrome footage; None in color."""


class EncodedFaces:
    """A thread-safe cache of encoded faces, at most `most`: those of one frame, as all of a film would fill memory."""

    def __init__(self, backend: Backend, most: int) -> None:
        self.backend, self.most = backend, most
        self._known: OrderedDict[int, References] = OrderedDict()
        self._lock = Lock()

    def __getitem__(self, face: Face) -> References:
        with self._lock:
            if face.index not in self._known:
                while len(self._known) >= self.most:  # before the next one takes memory, too
                    self._known.popitem(last=False)
                self._known[face.index] = self._encoded(face)
            self._known.move_to_end(face.index)
            return self._known[face.index]

    def _encoded(self, face: Face) -> References:
        images, points = np.asarray(face.pool), face.pool_points[:]
        return References(
            encode_face(self.backend, images, points, face.pool_still, face.lips),
            cache(face.native.__getitem__) if face.native else None,
            appearance(images, points),
            eyes_of(images),
            tone_of(images),
        )


@dataclass(frozen=True)
class DrawnFace:
    """One face in one frame: `image` as drawn and `filmed`, both `(S, S, 3)`."""

    image: Image
    filmed: Image
    detail: Detail | None
    """What the references lend it."""


@dataclass(frozen=True)
class DrawnFrame:
    """An output frame before its faces are pasted."""

    number: int
    filmed: Picture
    """(H, W, 3)."""
    faces: list[DrawnFace | None]
    """Of each mouth track; None where the frame does not show the face."""


def draw_frame(faces: EncodedFaces, mouths: Sequence[MouthTrack], number: int, filmed: Picture) -> DrawnFrame:
    """Every face's crop in output frame `number`, which shows the source image `filmed` `(H, W, 3)`.

    Remembers nothing, so frames may be drawn in any order and several at the same time.
    """
    return DrawnFrame(number, filmed, [_drawn_face(faces, mouth, number, filmed) for mouth in mouths])


def _drawn_face(faces: EncodedFaces, mouth: MouthTrack, number: int, filmed: Picture) -> DrawnFace | None:
    part = mouth.place(number)
    if part is None:
        return None
    references, rows = faces[mouth.face], mouth.rows[part]
    side, transforms = references.encoded.side, mouth.face.transforms[rows]
    original, still = crop_image(filmed, transforms[0], side), still_points(transforms)
    fade = fade_of(eyes_of(original[None]), references.eyes)
    clear = fade.removed(original) if fade else original
    looks = appearance(clear[None], mouth.face.points[rows])
    if not mouth.face.seen[rows[0]] and is_absent(looks, references.appearance):
        return None
    chosen = _chosen(mouth, part, still, unlike(looks, references.appearance))
    drawing = render(
        faces.backend,
        references.encoded,
        clear[None],
        mouth.points[part],
        still,
        mouth.sketches.around(np.arange(part.start, part.stop), mouth.begins[part], mouth.ends[part], side),
        mouth.heard(mouth.times[part]),
        chosen,
    )
    image = drawing.images[0] if references.tone is None else toned(drawing.images[0], references.tone)
    image = fade.applied(image) if fade else image
    return DrawnFace(image, original, _detail(references.native, drawing, chosen[0], fade))


def _chosen(mouth: MouthTrack, part: slice, still: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.intp]:
    """The references `(1, k)` of one frame: others than planned if some of these look `unlike` it; `other` `(R,)` says
    how much."""
    planned = mouth.references[part]
    if not other[planned].any():
        return planned
    (cost,) = costs(mouth.points[part], mouth.face.pool_points[:], still, mouth.face.pool_still)
    return undercut(cost + _OTHER * other, planned[0])[None]


def _detail(
    native: Callable[[int], Image] | None, drawing: Drawing, chosen: NDArray[np.intp], fade: Fade | None
) -> Detail | None:
    if native is None:
        return None
    contrast = fade.contrast if fade else 1.0
    return Detail([native(rank) for rank in chosen.tolist()], drawing.placed.of(0), drawing.share[0], contrast)


@dataclass(frozen=True)
class ResultFrame(Frame):
    """A frame of a result."""

    image: Image
    """(H, W, 3) RGB; not reused."""
    time: float
    """Seconds from the start of the result."""
    index: int
    """Number of the frame in the result, from 0."""


@dataclass(frozen=True)
class Dubbed:
    """An output frame with its new mouths; `filmed` and `image` are `(H, W, 3)`."""

    number: int
    filmed: Picture
    image: Picture
    memories: Memories | None
    """What the compositors remember, at the end of a part."""


def dub_frames(
    faces: EncodedFaces,
    mouths: Sequence[MouthTrack],
    images: Generator[Picture, None, None],
    at_once: int,
    begin: int,
    memories: Memories,
) -> Generator[Dubbed, None, None]:
    """The output frames from number `begin` on, in order, of their source images; `at_once` are drawn at the same time.

    `memories`: those of the frame before the first one; empty at the beginning of a film.
    """
    faces.most = max(faces.most, most_at_once([mouth.face for mouth in mouths]))
    compositors: defaultdict[int, Compositor] = defaultdict(Compositor)
    for face, memory in memories.items():
        compositors[face].memory = memory

    def draw(shown: tuple[int, Picture]) -> DrawnFrame:
        return draw_frame(faces, mouths, *shown)

    # Closed by name: who keeps an error keeps its trace, and with that threads that wait with the film open.
    with closing(prefetch_map(draw, _numbered(images, begin), at_once)) as frames:
        for frame in frames:
            image, after = paste_frame(compositors, mouths, frame), frame.number + 1
            going_on = [mouth.face.index for mouth in mouths if mouth.continues(after)] if after % PART == 0 else []
            kept = {face: compositors[face].memory for face in going_on}
            yield Dubbed(frame.number, frame.filmed, image, kept if after % PART == 0 else None)


def _numbered(images: Generator[Picture, None, None], begin: int) -> Generator[tuple[int, Picture], None, None]:
    with closing(images):
        yield from enumerate(images, begin)


def paste_frame(compositors: Mapping[int, Compositor], mouths: Sequence[MouthTrack], frame: DrawnFrame) -> Picture:
    """The image `(H, W, 3)` with every face's new mouth.

    Frames come in order: `compositors`, by the index of the face, remember the frame before.
    """
    image = frame.filmed
    for mouth, drawn in zip(mouths, frame.faces, strict=True):
        part = mouth.place(frame.number)
        if drawn is None or part is None:
            continue
        compositor, face, place = compositors[mouth.face.index], mouth.face, part.start
        if mouth.begins[place] == place:
            compositor.restart()
        row, opacity = mouth.rows[place], float(mouth.face.opacity[mouth.rows[place]])
        crops = (drawn.image, drawn.filmed, face.transforms[row])
        image = compositor.paste(image, *crops, face.points[row], mouth.points[place], opacity, drawn.detail)
    return image
