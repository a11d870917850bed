"""Names of files, in which an accent may be part of its letter or a character of its own."""

from __future__ import annotations

import unicodedata
from pathlib import Path


def normalized(name: str) -> str:
    """The name in one Unicode normalization, because macOS stores accents as separate characters."""
    return unicodedata.normalize("NFC", name)


def as_stored(path: Path) -> Path:
    """The file of that name, and in folders of those names, in either Unicode normalization."""
    try:
        if path.exists() or path == path.parent:
            return path
        beside = as_stored(path.parent).iterdir()
        return next((other for other in beside if normalized(other.name) == normalized(path.name)), path)
    except OSError:  # an unreadable folder or too long a name, of which whoever reads the file tells
        return path
