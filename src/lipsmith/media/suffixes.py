"""Endings by which a folder's files are taken for films, pictures or recordings; a file named alone may have any."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

FILMS: Final = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"),
        *(".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp", ".ogv"),
    }
)
ANIMATIONS: Final = frozenset({".gif", ".apng", ".webp", ".avif"})
"""Pictures that may move."""
PICTURES: Final = ANIMATIONS | {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".heic", ".heif"}
SOUNDS: Final = frozenset(
    {
        *(".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus", ".wma"),
        *(".aif", ".aiff", ".caf", ".mka"),
    }
)


def is_media(path: Path, suffixes: Collection[str]) -> bool:
    """Whether `path` is a file, not hidden, whose name ends in one of `suffixes` in upper or lower case."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
