"""Renders the mouths of each output frame, several frames at the same time, and pastes them into it in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.encoded import EncodedFaces, References
from lipsmith.dubbing.mouth import MouthTrack, nearby
from lipsmith.dubbing.paste.composite import Compositor, Memory
from lipsmith.dubbing.paste.detail import Detail, details
from lipsmith.dubbing.scan import most_at_once
from lipsmith.face.crop import crop_image, still_points
from lipsmith.face.landmarks import Floats
from lipsmith.face.look import (
    Appearance,
    Fade,
    appearance,
    eyes_of,
    fades_of,
    is_absent,
    toned,
    unlike,
)
from lipsmith.inference.backend import Backend
from lipsmith.inference.occlusion import Covers, occlusions
from lipsmith.inference.render import render
from lipsmith.media import Frame, Picture
from lipsmith.progress import prefetch_map

Image = NDArray[np.uint8]
Memories = Mapping[int, Memory]
"""What compositors remember, by the index of their face."""

PART: Final = 250
"""Output frames in one part of a dub that can be resumed; x264's interval between two key frames."""

GROUP: Final = 5
"""Output frames that a thread draws together. A divisor of `PART`, so that a dub that is resumed has the same groups:
on some CPUs networks may round differently with another number of frames."""


@dataclass(frozen=True)
class DrawnFace:
    """One face in one frame: `image` as drawn and `filmed`, both `(S, S, 3)`, and their points `(131, 2)`, crop
    units."""

    image: Image
    points: Floats
    filmed: Image
    filmed_points: Floats
    detail: Detail | None
    """What the references lend it."""
    covers: Covers | None
    """What lies before the face."""


@dataclass(frozen=True)
class DrawnFrame:
    """An output frame before its faces are pasted."""

    number: int
    filmed: Picture
    """(H, W, 3)."""
    faces: list[DrawnFace | None]
    """Of each mouth track; None where the frame does not show the face."""


def draw_frame(faces: EncodedFaces, mouths: Sequence[MouthTrack], number: int, filmed: Picture) -> DrawnFrame:
    """Every face's crop in output frame `number`, which shows the source image `filmed` `(H, W, 3)`."""
    (frame,) = draw_frames(faces, mouths, [(number, filmed)])
    return frame


def draw_frames(
    faces: EncodedFaces, mouths: Sequence[MouthTrack], frames: Sequence[tuple[int, Picture]]
) -> list[DrawnFrame]:
    """`draw_frame` of some output frames, by number and image; the networks run on all of them together.

    Remembers nothing, so groups of frames may be drawn in any order and several at the same time.
    """
    # All at first, so that groups drawn at the same time ask for the faces of successive shots in this order.
    known = [faces[mouth.face] if any(mouth.place(at) is not None for at, _ in frames) else None for mouth in mouths]
    drawn = [
        _drawn_faces(faces.backend, references, mouth, frames) if references else [None] * len(frames)
        for mouth, references in zip(mouths, known, strict=True)
    ]
    return [
        DrawnFrame(number, filmed, [of_mouth[rank] for of_mouth in drawn])
        for rank, (number, filmed) in enumerate(frames)
    ]


class _Target(NamedTuple):
    """What one face is drawn over in one frame."""

    place: int
    """In the mouth track."""
    points: Floats
    """(131, 2), as filmed."""
    filmed: Image
    clear: Image
    """`filmed` without its fade."""
    fade: Fade | None
    still: NDArray[np.float32]
    """(1, 2, 2), crop units."""
    other: NDArray[np.float32]
    """(R,) how unlike it each reference looks."""


def _drawn_faces(
    backend: Backend, references: References, mouth: MouthTrack, frames: Sequence[tuple[int, Picture]]
) -> list[DrawnFace | None]:
    """One face in each of the frames; those that show it are drawn together, which takes less time than one by one."""
    placed = {rank: at for rank, (number, _) in enumerate(frames) if (at := mouth.place(number)) is not None}
    images = [frames[rank][1] for rank in placed]
    targets = _targets(references, mouth, np.array(list(placed.values()), np.intp), images)
    places = [target.place for target in targets]
    found = dict(zip(places, _drawn(backend, references, mouth, targets), strict=True))
    return [found.get(placed.get(rank, -1)) for rank in range(len(frames))]


def _targets(
    references: References, mouth: MouthTrack, places: NDArray[np.intp], images: Sequence[Picture]
) -> list[_Target]:
    """What is drawn over, of the frames at `places` of the mouth track that show the face."""
    if not images:
        return []
    rows = mouth.rows[places]
    transforms = mouth.face.transforms[rows]
    side, still, bar = references.encoded.side, still_points(transforms), mouth.face.bar
    crops = [crop_image(image, transform, side, bar) for image, transform in zip(images, transforms, strict=True)]
    fades = fades_of(eyes_of(np.stack(crops)), references.eyes)
    clear = np.stack([fade.removed(crop) if fade else crop for fade, crop in zip(fades, crops, strict=True)])
    points = mouth.face.points[rows]
    looks = appearance(clear, points).each()
    return [
        _Target(int(place), points[n], crops[n], clear[n], fades[n], still[n : n + 1], _unlike(look, references))
        for n, (place, look) in enumerate(zip(places, looks, strict=True))
        if mouth.face.seen[rows[n]] or not is_absent(look, references.appearance)
    ]


def _unlike(look: Appearance, references: References) -> NDArray[np.float32]:
    """How unlike a frame each reference looks, `(R,)`: those that something covers, more than any other."""
    found: NDArray[np.float32] = np.maximum(unlike(look, references.appearance), 2 * references.covered)
    return found


def _drawn(backend: Backend, references: References, mouth: MouthTrack, targets: Sequence[_Target]) -> list[DrawnFace]:
    if not targets:
        return []
    places = np.array([target.place for target in targets])
    still = np.concatenate([target.still for target in targets])
    chosen = mouth.chosen(places, still, np.stack([target.other for target in targets]))
    clear, points = np.stack([target.clear for target in targets]), mouth.points[places]
    drawing = render(
        backend,
        references.encoded,
        clear,
        points,
        still,
        mouth.sketches.around(places, mouth.begins[places], mouth.ends[places], references.encoded.side),
        mouth.heard(mouth.times[places]),
        chosen,
    )
    lent: Sequence[Detail | None] = [None] * len(targets)
    if references.native is not None:
        near = nearby(places, mouth.begins[places])
        lent = details(references.native, drawing, chosen, points, near, references.line_depth)
    covers = occlusions(clear, drawing.images) if references.understood else [None] * len(targets)
    return [_drawn_face(references, *one) for one in zip(targets, drawing.images, points, lent, covers, strict=True)]


def _drawn_face(
    references: References, target: _Target, image: Image, points: Floats, detail: Detail | None, covers: Covers | None
) -> DrawnFace:
    image = image if references.tone is None else toned(image, references.tone)
    if (fade := target.fade) is not None:
        image, detail = fade.applied(image), detail and replace(detail, contrast=fade.contrast)
    return DrawnFace(image, points, target.filmed, target.points, detail, covers)


@dataclass(frozen=True, eq=False)
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

    # Closed by name: who keeps an error keeps its trace, and with that threads that wait with the film open.
    with closing(prefetch_map(partial(draw_frames, faces, mouths), _groups(images, begin), at_once)) as groups:
        for frame in chain.from_iterable(groups):
            image, after = paste_frame(compositors, mouths, frame), frame.number + 1
            going_on = [mouth.face.index for mouth in mouths if mouth.continues(after)]
            kept = {face: compositors[face].memory for face in going_on} if after % PART == 0 else None
            yield Dubbed(frame.number, frame.filmed, image, kept)


def _groups(images: Generator[Picture, None, None], begin: int) -> Generator[list[tuple[int, Picture]], None, None]:
    """The images with their numbers, from `begin` on, `GROUP` at a time; before an error, those that precede it."""
    group: list[tuple[int, Picture]] = []
    with closing(images):
        try:
            for number, image in enumerate(images, begin):
                group.append((number, image))
                if (number + 1) % GROUP == 0:
                    yield group
                    group = []
        except Exception:
            if group:
                yield group
            raise
        if group:
            yield group


def paste_frame(compositors: Mapping[int, Compositor], mouths: Sequence[MouthTrack], frame: DrawnFrame) -> Picture:
    """The image `(H, W, 3)` with every face's new mouth.

    Frames come in order: `compositors`, by the index of the face, remember the frame before.
    """
    image = frame.filmed
    for mouth, drawn in zip(mouths, frame.faces, strict=True):
        if (place := mouth.place(frame.number)) is None:
            continue
        compositor, face = compositors[mouth.face.index], mouth.face
        if mouth.begins[place] == place:
            compositor.restart()
        if drawn is None:
            continue
        row = mouth.rows[place]
        image = compositor.paste(
            image,
            drawn.image,
            drawn.filmed,
            face.transforms[row],
            drawn.filmed_points,
            drawn.points,
            opacity=float(face.opacity[row]),
            detail=drawn.detail,
            captioned=face.captioned,
            covers=drawn.covers,
            bar=face.bar,
        )
    return image
