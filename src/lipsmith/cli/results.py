"""The JSON file of every command that prints figures: figures, settings and rows.

JSON has no numbers that are not finite: NaN (a figure that could not be computed) is written as null, and infinity as
the string "inf" or "-inf". `read_figures` reverses this.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from lipsmith.errors import InputError
from lipsmith.files import write_whole


@dataclass(frozen=True)
class Results:
    """Results of a command: totals by name, its settings, and one row per item."""

    figures: dict[str, float]
    settings: dict[str, Any]
    rows: list[dict[str, Any]]


def write_figures(
    path: Path | None,
    figures: Mapping[str, float],
    settings: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    *,
    overwrite: bool,
) -> None:
    """Write figures, settings and rows to `path` atomically; do nothing if `path` is None.

    Values may be numbers (NumPy's too), strings, paths, None, and sequences, mappings or dataclasses of them.
    """
    if path is None:
        return
    content = {"figures": figures, "settings": settings, "rows": rows}
    text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    with write_whole(path, overwrite) as beside:
        beside.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")  # for names that are not UTF-8


def seen_from(path: Path | None, folder: Path | None) -> Path | None:
    """`folder` relative to the results `path` where it is beside them, so that both may be moved; else absolute."""
    if folder is None:
        return None
    whole = folder.resolve()
    beside = path and path.resolve().parent
    return whole.relative_to(beside) if beside and whole.is_relative_to(beside) else whole


def read_figures(path: Path) -> Results:
    """Read a file of `write_figures`. Raises InputError for any other file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        figures = {name: _number(value) for name, value in content["figures"].items()}
        return Results(figures, dict(content["settings"]), [dict(row) for row in content["rows"]])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} holds no results ({error}); give a file that --json wrote.") from error


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON's types have no common base
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _number(value: float | str | None) -> float:
    return math.nan if value is None else float(value)
