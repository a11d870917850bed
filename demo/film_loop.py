"""Draws a film and its dub side by side as a moving picture: python demo/film_loop.py FILM DUBBED PICTURE."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
from PIL import ExifTags, Image, ImageDraw, ImageFont

from lipsmith.media import read_frames

BOX: Final = (150, 64, 330, 264)
"""Left, top, right and bottom of the face in `actor.mp4`, pixels."""
SIZE: Final = (288, 320)
"""Width and height of each side."""
BAND: Final = 36
"""Height of the line of text."""
GAP: Final = 8
SAID: Final = {
    0.2: "This film now speaks other words.",
    2.3: "Lips, chin and cheeks are new,",
    4.2: "and everything else stays as it was.",
}
"""What `speech.wav` says, by the second in which it begins."""


def loop(film: Path, dubbed: Path) -> Iterator[Image.Image]:
    """Each frame of the dub to the right of that of the film, above what is said."""
    for filmed, shown in zip(read_frames(film), read_frames(dubbed), strict=False):
        picture = Image.new("RGB", (2 * SIZE[0] + GAP, SIZE[1] + BAND), "white")
        for left, image in ((0, filmed.image), (SIZE[0] + GAP, shown.image)):
            face = Image.fromarray(image[BOX[1] : BOX[3], BOX[0] : BOX[2]])
            picture.paste(face.resize(SIZE, Image.Resampling.BICUBIC), (left, 0))
        write(picture, said(shown.time))
        yield picture


def said(time: float) -> str:
    """The words at a `time`, seconds."""
    return next((words for begin, words in reversed(SAID.items()) if begin <= time), "")


def write(picture: Image.Image, words: str) -> None:
    """Write the words under the dub, and under the film that it is as filmed."""
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=16)
    row = SIZE[1] + BAND / 2
    draw.text((SIZE[0] / 2, row), "as filmed", "gray", font, "mm")
    draw.text((SIZE[0] + GAP + SIZE[0] / 2, row), words, "black", font, "mm")


def synthetic(dubbed: Path) -> Image.Exif:
    """The description of the dub, which says that it is synthetic."""
    exif = Image.Exif()
    with av.open(dubbed) as container:
        exif[ExifTags.Base.ImageDescription] = container.metadata["description"]
    return exif


if __name__ == "__main__":
    film, dubbed, picture = map(Path, sys.argv[1:])
    first, *others = loop(film, dubbed)
    exif, pace = synthetic(dubbed), 1000 / 29.97
    first.save(picture, save_all=True, append_images=others, duration=pace, loop=0, quality=60, method=4, exif=exif)
