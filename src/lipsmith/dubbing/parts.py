"""The finished parts of a dub on disk: each an encoded film, and beside it the state of the compositors at its end."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from lipsmith.dubbing.mouth import Memories
from lipsmith.dubbing.paste.composite import Memory
from lipsmith.files import write_whole


def is_whole(part: Path) -> bool:
    """Whether a part is complete: it has the size recorded in the file that was written last."""
    with suppress(OSError, ValueError, KeyError), np.load(part.with_suffix(".npz")) as kept:
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
