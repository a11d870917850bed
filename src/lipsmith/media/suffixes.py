"""Suffixes that identify films, pictures and recordings in folders; a file given by name may have any suffix."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

FILMS: Final = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"),
        *(".ts", ".mts", ".m2ts", ".wmv", ".asf", ".flv", ".3gp", ".3g2", ".ogv"),
        *(".mxf", ".dv", ".vob", ".mjpeg", ".mjpg"),
    }
)
ANIMATIONS: Final = frozenset({".gif", ".apng", ".webp", ".avif"})
"""Pictures that may be animated."""
PICTURES: Final = ANIMATIONS | {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".heic", ".heif"}
SOUNDS: Final = frozenset(
    {
        *(".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus", ".wma"),
        *(".aif", ".aiff", ".caf", ".mka", ".m4b", ".oga", ".weba", ".amr", ".ac3", ".w64"),
    }
)


def is_media(path: Path, suffixes: Collection[str]) -> bool:
    """Whether `path` is a visible file whose suffix, in any case, is one of `suffixes`."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
