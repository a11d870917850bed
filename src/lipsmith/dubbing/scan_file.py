"""Keeps the scan of a film in a file, with the reference crops of its faces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.paste.native import NativeCrops
from lipsmith.dubbing.scan import ArrayStore, Face, Scan
from lipsmith.files import write_whole

_STORED: Final = ("points", "pool", "pool_points")
_NATIVE: Final = "native."


def write_scan(path: Path, scan: Scan) -> None:
    """Save a scan with its pictures to the file `path` (NumPy's npz), one array at a time."""
    with write_whole(path) as beside, ZipFile(beside, "w") as archive:

        def add(name: str, value: object) -> None:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(value), allow_pickle=False)

        add("times", scan.times)
        add("size", scan.size)
        for face in scan.faces:
            for name, value in _entries(face):
                add(f"{face.index}/{name}", value)


def _entries(face: Face) -> Iterator[tuple[str, object]]:
    for name, value in ((field.name, getattr(face, field.name)) for field in fields(face)):
        if isinstance(value, NativeCrops):
            yield from ((f"{_NATIVE}{field.name}", getattr(value, field.name)) for field in fields(value))
        elif value is not None:
            yield name, value


def read_scan(path: Path, store: ArrayStore) -> Scan:
    """Load a scan of `write_scan`; its points and pictures go to `store`."""
    with np.load(path, allow_pickle=False) as arrays:
        parts: dict[str, dict[str, Any]] = {}
        for number, _, name in (entry.partition("/") for entry in arrays.files if "/" in entry):
            value = arrays[f"{number}/{name}"]
            parts.setdefault(number, {})[name] = store.put(value) if name in _STORED else _plain(name, value)
        width, height = arrays["size"].tolist()
        return Scan(arrays["times"], [_face(part, store) for part in parts.values()], (width, height))


def _plain(name: str, value: NDArray[Any]) -> Any:  # noqa: ANN401 - of each field its own type
    """The value of a field of `Face` as it was before NumPy stored it."""
    if value.ndim == 0:
        return value.item()
    return tuple(value.tolist()) if name in ("place", "seconds") else value


def _face(part: dict[str, Any], store: ArrayStore) -> Face:
    native = {name.removeprefix(_NATIVE): part.pop(name) for name in list(part) if name.startswith(_NATIVE)}
    return Face(**part, native=store.put_native(NativeCrops(**native)) if native else None)
