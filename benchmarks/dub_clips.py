"""Dubs every video of a folder with its own sound and with another video's, and checks the results.

    python benchmarks/dub_clips.py FOLDER [--model fast] [--out FOLDER] [--json FILE]

Of each result: its length against the speech's (`late`, frames), the start of its sound against its picture's
(`offset`, frames), source pixels that changed outside the mask before encoding (`stray`), and frames a second. Names
like p021_003.mp4 begin with the person; the other's sound is that of the next person.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith import Dubber, Result
from lipsmith.dubbing.paste.composite import soft_mask
from lipsmith.errors import LipsmithError
from lipsmith.face.crop import to_pixels
from lipsmith.media import Frame


@dataclass(frozen=True)
class Row:
    """The result of one dub."""

    video: str
    speech: str
    frames: int = 0
    late: float = 0.0
    offset: float = 0.0
    stray: int = 0
    changed: float = 0.0
    fps: float = 0.0
    error: str = ""


def main() -> None:
    """Dub, check, print a table; exit code 1 if a check fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="keep the results here")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    dubber = Dubber.from_pretrained(options.model, threads=options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        rows = list(table(dubber, sorted(options.folder.glob("*.mp4")), out))
    failed = [row for row in rows if row.error or not 0 <= row.late < 1 or abs(row.offset) >= 1 or row.stray]
    figures = {"clips": len(rows), "failed": len(failed), "fps": float(np.median([row.fps for row in rows]))}
    print(figures)
    if options.json:
        content = {"figures": figures, "settings": vars(options), "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(content, default=str, indent=2))
    sys.exit(bool(failed))


def table(dubber: Dubber, films: list[Path], out: Path) -> Iterator[Row]:
    """A row for each film with its own sound and one with the next person's, printed as they come."""
    print(*Row.__dataclass_fields__, sep="\t")
    for film in films:
        later = [other for other in films if other.stem[:4] > film.stem[:4]] or films
        for speech in (film, later[0]):
            try:
                row = checked(dubber, film, speech, out / f"{film.stem}_{speech.stem}.mp4")
            except LipsmithError as error:
                row = Row(film.stem, speech.stem, error=str(error))
            print(*(f"{value:.2f}" if isinstance(value, float) else value for value in asdict(row).values()), sep="\t")
            yield row


def checked(dubber: Dubber, film: Path, speech: Path, output: Path) -> Row:
    """One dub and its checks."""
    began = time.perf_counter()
    result = dubber.prepare(film).dub(speech)
    result.save(output, overwrite=True)
    elapsed = time.perf_counter() - began
    rate = float(result.clip.source.footage.rate)
    end, offset = clocks(output, rate)
    images = result.clip.source.show(result.timeline.index, result.clip.times)
    changes = [strays(result, np.asarray(image), frame) for image, frame in zip(images, result.frames(), strict=True)]
    stray, changed = np.array(changes).T
    return Row(
        video=film.stem,
        speech=speech.stem,
        frames=len(result),
        late=(end - result.speech.seconds) * rate,
        offset=offset * rate,
        stray=int(stray.sum()),
        changed=float(changed.mean()),
        fps=len(result) / elapsed,
    )


def clocks(path: Path, rate: float) -> tuple[float, float]:
    """When the picture of a film ends, and how much later than the picture the sound begins, in seconds."""
    starts = {}
    with av.open(str(path)) as film:
        for kind in ("video", "audio"):
            film.seek(0)
            decoded: Iterator[Any] = film.decode(**{kind: 0})
            times = [float(frame.time) for frame in decoded]
            starts[kind] = (times[0], times[-1])
    return starts["video"][1] - starts["video"][0] + 1 / rate, starts["audio"][0] - starts["video"][0]


def strays(result: Result, source: NDArray[np.uint8], dubbed: Frame) -> tuple[int, float]:
    """How many pixels changed outside every face's mask, and the share that changed at all."""
    changed = (source != dubbed.image).any(-1)
    allowed = np.zeros(changed.shape, bool)
    for mouth in result.mouths:
        place = int(np.searchsorted(mouth.frames, dubbed.index))
        if place < len(mouth.frames) and mouth.frames[place] == dubbed.index:
            face, row = mouth.face, mouth.rows[place]
            mask = soft_mask(face.points[row], mouth.points[place], 128)
            matrix = to_pixels(face.transforms[row], 128)
            size = (changed.shape[1], changed.shape[0])
            allowed |= cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP) > 0
    return int((changed & ~allowed).sum()), float(changed.mean())


if __name__ == "__main__":
    main()
