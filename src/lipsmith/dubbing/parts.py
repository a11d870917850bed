"""The finished parts of a dub on disk: each an encoded film, and beside it the state of the compositors at its end."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from lipsmith.disk import disk_errors
from lipsmith.dubbing.draw import PART, Memories
from lipsmith.dubbing.paste.composite import Memory
from lipsmith.errors import LipsmithError, UsageError
from lipsmith.files import DAMAGED, FileLock, hidden_for, write_whole
from lipsmith.media import Picture, VideoWriter

UNFINISHED: Final = ".unfinished"
"""Suffix of the hidden folder of the parts."""
SCAN: Final = "faces.npz"
"""Its file of the faces."""
KEY: Final = "key.json"
"""Its file without which nobody can use the others."""


Shown = Generator[tuple[Picture, float, Memories | None], None, None]  # the last at the end of each part


class Kept(Protocol):
    """Keeps the parts of a result until it is complete, so that an interrupted dub continues after them."""

    def parts(self, show: partial[Shown], film: partial[VideoWriter], at: list[float]) -> Iterator[tuple[Path, float]]:
        """The parts and when they begin, given the times `at` of all frames; `show` and `film` make missing ones."""


def part_in(folder: Path, number: int) -> Path:
    """The file of part `number` in the folder of an unfinished dub."""
    return folder / f"{number:05}.nut"


def is_whole(part: Path) -> bool:
    """Whether a part is complete: it has the size recorded in the file that was written last."""
    with suppress(*DAMAGED), np.load(part.with_suffix(".npz")) as kept:
        return int(kept["size"]) == part.stat().st_size
    return False


def finish_part(part: Path, missing: int, memories: Memories) -> None:
    """Note that a part is complete, and that so many parts are `missing` after it."""
    arrays: dict[str, Any] = {"size": np.array(part.stat().st_size), "missing": np.array(missing)}
    for face, memory in memories.items():
        arrays |= {f"{face}/color": memory.color, f"{face}/grain": np.array(memory.grain)}
    with write_whole(part.with_suffix(".npz")) as beside:
        np.savez(beside, **arrays)


def memories_after(part: Path) -> Memories:
    """What the compositors remembered at the end of a part."""
    with np.load(part.with_suffix(".npz")) as kept:
        faces = [name.partition("/")[0] for name in kept.files if name.endswith("/grain")]
        grains = {face: kept[f"{face}/grain"].tolist() for face in faces}
        return {int(face): Memory(kept[f"{face}/color"], (int(n), level)) for face, (n, level) in grains.items()}


def draw_parts(
    place: Callable[[int], Path],
    numbers: range,
    show: partial[Shown],
    film: partial[VideoWriter],
    at: list[float],
    before: int = 0,
) -> Generator[int, None, None]:
    """Write the parts `numbers` to their `place`, and yield the number of each that is complete.

    `show`, `film`, `at`: see `Kept`. `before`: the output frame from which to draw where the part before
    `numbers` is not complete, so that the compositors remember what they would have remembered.
    """
    begins, first = at[::PART], PART * numbers.start
    follows = numbers.start > 0 and is_whole(place(numbers.start - 1))
    memories = memories_after(place(numbers.start - 1)) if follows else {}
    begin = first if follows else before
    with closing(show(begin, memories)) as frames:
        for _ in islice(frames, first - begin):
            pass
        for number in numbers:
            with film(place(number)) as part:
                for image, shown, after in islice(frames, PART):
                    part.write(image, shown - begins[number])
                    memories = memories if after is None else after
            with disk_errors(film.keywords["part_of"]):
                finish_part(place(number), len(begins) - number - 1, memories)
            yield number


@dataclass(frozen=True)
class Share:
    """Some parts of the unfinished dub of `out`, drawn where others draw the rest; keeps them as `Kept`.

    Raises `TakenError` if another process continues the whole dub.
    """

    out: Path
    numbers: range
    before: int
    """The output frame from which drawing depends on nothing earlier."""

    def parts(self, show: partial[Shown], film: partial[VideoWriter], at: list[float]) -> Iterator[tuple[Path, float]]:
        """Draw those that are missing; yields each."""
        folder = hidden_for(self.out, UNFINISHED)
        with _sharing(self.out, folder):
            missing = [number for number in self.numbers if not is_whole(part_in(folder, number))]
            if not missing:
                return
            left = range(missing[0], self.numbers.stop)
            for number in draw_parts(partial(part_in, folder), left, show, film, at, self.before):
                yield part_in(folder, number), at[PART * number]


@contextmanager
def _sharing(out: Path, folder: Path) -> Iterator[None]:
    try:
        lock = FileLock(folder / "lock", shared=True)
    except OSError as error:
        raise LipsmithError(f"The parts of {out} are gone ({error.strerror}); run the command again.") from error
    with closing(lock):
        if not lock.is_held:
            raise taken(out)
        yield


class TakenError(UsageError):
    """Another process writes the same result."""


def taken(out: Path) -> TakenError:
    """The error if two processes write the result `out`."""
    return TakenError(f"Another run is writing {out}; wait for its end or choose another name.")


def is_over(folder: Path, out: Path) -> bool:
    """Whether a process was killed after its result `out` was complete and before the folder was removed."""
    if not (folder / KEY).is_file():  # it was being removed
        return True
    kept = sorted(folder.glob("[0-9]*.npz"))
    try:
        with np.load(kept[-1]) if kept else nullcontext({"missing": 0}) as last:
            return not last["missing"] and out.stat().st_mtime >= folder.stat().st_mtime
    except DAMAGED:
        return False
