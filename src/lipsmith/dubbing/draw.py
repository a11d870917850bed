"""Draws the predicted mouths: crops of a few frames at a time, and their way back into the frames."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.faces import CropStore, Face
from lipsmith.dubbing.mouth import MouthTrack
from lipsmith.dubbing.paste.composite import Compositor
from lipsmith.dubbing.paste.detail import Detail
from lipsmith.face import MOST_FACES
from lipsmith.face.crop import crop_image, still_points
from lipsmith.inference.backend import Backend
from lipsmith.inference.render import Drawing, EncodedFace, encode_face, render
from lipsmith.speech.recording import Speech

Image = NDArray[np.uint8]


class EncodedFaces:
    """Encoded faces by `Face`, at most as many as one shot shows: those of a long film would fill memory.

    Several threads may ask at the same time.
    """

    def __init__(self, backend: Backend, store: CropStore) -> None:
        self._backend, self._store = backend, store
        self._known: OrderedDict[int, References] = OrderedDict()
        self._lock = Lock()

    def __getitem__(self, face: Face) -> References:
        with self._lock:
            if face.number not in self._known:
                crops = self._store.get(face.pool)
                encoded = encode_face(self._backend, crops, face.pool_points, face.pool_still, face.lips)
                self._known[face.number] = References(encoded, self._store.get(face.native) if face.native else None)
            self._known.move_to_end(face.number)
            if len(self._known) > MOST_FACES:
                self._known.popitem(last=False)
            return self._known[face.number]


@dataclass(frozen=True)
class References:
    """What is known of one face's R references."""

    encoded: EncodedFace
    """As the networks see them."""
    native: Image | None
    """(R, rows, N, 3): as large as they were filmed, from `detail.TOP` down; None where that shows nothing more."""


@dataclass(frozen=True)
class Drawn:
    """One face in `b` frames."""

    images: Image
    """(b, S, S, 3), as drawn."""
    originals: Image
    """(b, S, S, 3), as filmed."""
    details: list[Detail | None]
    """b, what the references lend each frame."""


def draw(
    backend: Backend, references: References, mouth: MouthTrack, speech: Speech, part: slice, frames: list[Image]
) -> Drawn:
    """The crops of one face in the source `frames` `(H, W, 3)` that the places `part` of its mouth track show."""
    encoded, chosen = references.encoded, mouth.references[part]
    side = encoded.images.shape[1]
    transforms = mouth.face.transforms[mouth.rows[part]]
    originals = np.stack(
        [crop_image(frame, transform, side) for frame, transform in zip(frames, transforms, strict=True)]
    )
    drawing = render(
        backend,
        encoded,
        originals,
        mouth.points[part],
        still_points(transforms),
        mouth.sketches(part, side),
        mouth.mel(speech, part),
        chosen,
    )
    return Drawn(drawing.images, originals, _details(references.native, drawing, chosen))


def _details(native: Image | None, drawing: Drawing, chosen: NDArray[np.intp]) -> list[Detail | None]:
    if native is None or drawing.flow is None or drawing.share is None:
        return [None] * len(chosen)
    return [
        Detail([native[rank] for rank in ranks], flow, share)
        for ranks, flow, share in zip(chosen, drawing.flow, drawing.share, strict=True)
    ]


def paste(compositor: Compositor, drawn: Drawn, mouth: MouthTrack, part: slice, frames: list[Image]) -> list[Image]:
    """Copies of `frames` `(H, W, 3)` with the drawn crops in them; `compositor` is the face's own."""
    face, pasted = mouth.face, []
    for at, place in enumerate(range(part.start, part.stop)):
        if mouth.begins[place] == place:
            compositor.restart()
        row = mouth.rows[place]
        pasted.append(
            compositor.paste(
                frames[at],
                drawn.images[at],
                drawn.originals[at],
                face.transforms[row],
                face.points[row],
                mouth.points[place],
                float(face.opacity[row]),
                drawn.details[at],
            )
        )
    return pasted
