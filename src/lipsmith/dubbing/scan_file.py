"""Keeps the scan of a film in a file, with the reference crops of its faces."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from lipsmith.dubbing.scan import ArrayStore, Face, Scan
from lipsmith.files import write_whole


def write_scan(path: Path, scan: Scan) -> None:
    """Save a scan with its pictures to the file `path` (NumPy's npz), one array at a time."""
    with write_whole(path) as beside, ZipFile(beside, "w") as archive:

        def add(name: str, value: object) -> None:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(value), allow_pickle=False)

        add("times", scan.times)
        add("size", scan.size)
        for face in scan.faces:
            for name, value in ((field.name, getattr(face, field.name)) for field in fields(Face)):
                if value is not None:
                    add(f"{face.index}/{name}", value)


def read_scan(path: Path, store: ArrayStore) -> Scan:
    """Load a scan of `write_scan`; its points and pictures go to `store`."""
    with np.load(path, allow_pickle=False) as arrays:
        parts: dict[str, dict[str, Any]] = {}
        for number, _, name in (entry.partition("/") for entry in arrays.files if "/" in entry):
            value = arrays[f"{number}/{name}"]
            stored = name in ("points", "pool", "pool_points", "native")
            plain = (
                value.item() if value.ndim == 0 else tuple(value.tolist()) if name in ("place", "seconds") else value
            )
            parts.setdefault(number, {})[name] = store.put(value) if stored else plain
        width, height = arrays["size"].tolist()
        faces = [Face(**_of_older(index, part) | part) for index, part in enumerate(parts.values())]
        return Scan(arrays["times"], faces, (width, height))


def _of_older(index: int, part: dict[str, Any]) -> dict[str, Any]:
    """What older files do not say: which face it is, and where it is seen."""
    return {"index": index, "seen": np.ones(len(part["frames"]), bool)}
