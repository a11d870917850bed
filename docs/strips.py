"""The strips of how-it-works.md: mouths as filmed, enlarged from 128 pixels, and with native detail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import cv2
import numpy as np
from drawn_film import write_film
from numpy.typing import NDArray

from lipsmith import Dubber, Result
from lipsmith.dubbing.encoded import EncodedFaces
from lipsmith.dubbing.mouth import MouthTrack
from lipsmith.face.crop import crop_side, invert
from lipsmith.face.landmarks import OUTER_LIP, ranks
from lipsmith.media import VideoWriter, read_frames
from lipsmith.speech.recording import load_speech

DEMO: Final = Path(__file__).resolve().parents[1] / "demo"
SPEECH: Final = DEMO / "speech.wav"
ROWS: Final = ("film", "128 px", "native")
CELL: Final = (236, 180)
"""Width and height of a mouth's picture, pixels."""
SHOWN: Final = 0.42
"""Its width as a share of the crop's side."""
GAP: Final = 4
MARGIN: Final = (60, 24)
"""Width and height of the labels."""

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Strip:
    """A film, and moments of its dub."""

    side: int | None
    """Width and height of the drawn film, pixels; None: the demo's actor, enlarged twice."""
    moving: bool
    """Whether the drawn head moves."""
    moments: dict[str, float]
    """Seconds of the speech, by what is said."""


CLOSED_TO_OPEN: Final = {'m of "film"': 0.76, 'p of "Lips"': 2.64, 'vowel of "now"': 0.92}
STRIPS: Final = {
    "native-400": Strip(1126, False, CLOSED_TO_OPEN),
    "native-250": Strip(704, False, {'m of "film"': 0.76, 'p of "speaks"': 1.12, 'vowel of "cheeks"': 3.44}),
    "native-moving": Strip(704, True, {'m of "film"': 0.8, 'v of "everything"': 4.6, 'vowel of "stays"': 5.36}),
    "native-actor": Strip(None, False, CLOSED_TO_OPEN),
}


def strips(dubber: Dubber) -> Iterator[tuple[str, Image]]:
    """Name and picture of each strip."""
    seconds = load_speech(SPEECH).seconds
    with TemporaryDirectory() as folder:
        for name, strip in STRIPS.items():
            film = Path(folder) / f"{name}.mp4"
            if strip.side is None:
                enlarge(DEMO / "actor.mp4", film)
            else:
                write_film(film, strip.side, seconds, strip.moving)
            yield name, drawn(dubber.prepare(film).dub(SPEECH), film, strip.moments)


def enlarge(film: Path, path: Path) -> None:
    """Write the pictures of the liveliest take of the actor, twice as large."""
    frames = list(read_frames(film, start=3.91, end=6.07))
    height, width = frames[0].image.shape[:2]
    with VideoWriter(path, 2 * width, 2 * height, 30) as writer:
        for number, frame in enumerate(frames):
            larger = cv2.resize(np.asarray(frame.image), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
            writer.write(np.asarray(larger, np.uint8), number / 30)


def drawn(result: Result, film: Path, moments: dict[str, float]) -> Image:
    """The strip of a dub: a row for each of `ROWS`, a column for each moment."""
    return compared(film, dict(zip(ROWS[1:], (without_detail(result), result), strict=True)), moments)


def compared(film: Path, dubs: Mapping[str, Result], moments: Mapping[str, float]) -> Image:
    """A row for the film and for each of its dubs with the same speech, a column for each moment."""
    result = next(iter(dubs.values()))
    (mouth,) = result.mouths
    numbers = [int(np.argmin(np.abs(result.timeline.times - moment))) for moment in moments.values()]
    sources = [int(result.timeline.index[number]) for number in numbers]
    filmed = {frame.index: np.asarray(frame.image) for frame in read_frames(film) if frame.index in sources}
    rows = [[filmed[source] for source in sources]]
    for dub in dubs.values():
        dubbed = {frame.index: np.asarray(frame.image) for frame in dub.frames() if frame.index in numbers}
        rows.append([dubbed[number] for number in numbers])
    cells = [[cut(*cell, mouth) for cell in zip(row, numbers, strict=True)] for row in rows]
    return labeled(cells, ["film", *dubs], list(moments))


def without_detail(result: Result) -> Result:
    """The same dub, whose mouths are the networks' pictures enlarged."""
    mouths = [replace(mouth, face=replace(mouth.face, native=None)) for mouth in result.mouths]
    clip = replace(result.clip, encoded=EncodedFaces(result.clip.backend, len(mouths)))
    return replace(result, clip=clip, mouths=mouths)


def cut(image: Image, number: int, mouth: MouthTrack) -> Image:
    """What output frame `number` shows where the mouth was filmed."""
    row = mouth.rows[mouth.place(number)]
    transform = mouth.face.transforms[row]
    back, scale = invert(transform), CELL[0] / (SHOWN * crop_side(transform))
    x, y = back[:, :2] @ mouth.face.points[row][ranks(OUTER_LIP)].mean(0) + back[:, 2]
    matrix = np.array([[scale, 0, CELL[0] / 2 - scale * x], [0, scale, 0.48 * CELL[1] - scale * y]])
    return np.asarray(cv2.warpAffine(image, matrix, CELL, flags=cv2.INTER_CUBIC), np.uint8)


def labeled(cells: list[list[Image]], rows: list[str], names: list[str]) -> Image:
    """The cells of these rows as a table with headings."""
    (left, top), (width, height) = MARGIN, (CELL[0] + GAP, CELL[1] + GAP)
    table = np.full((top + len(cells) * height, left + len(names) * width, 3), 255, np.uint8)
    texts = {name: (left + column * width + 2, top - 8) for column, name in enumerate(names)}
    texts |= {name: (2, top + row * height + height // 2) for row, name in enumerate(rows)}
    for text, place in texts.items():
        cv2.putText(table, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.46, (40, 40, 40), 1, cv2.LINE_AA)
    for row, pictures in enumerate(cells):
        for column, picture in enumerate(pictures):
            y, x = top + row * height, left + column * width
            table[y : y + CELL[1], x : x + CELL[0]] = picture
    return table
