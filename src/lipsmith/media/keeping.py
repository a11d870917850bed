"""What a film holds beside its picture: which of it a new film of its frames keeps, and what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from av.container.input import InputContainer
    from av.video.stream import VideoStream

_KEPT: Final = {
    "title": ("title", "com.apple.quicktime.title"),
    "artist": ("artist", "com.apple.quicktime.artist"),
    "copyright": ("copyright", "com.apple.quicktime.copyright"),
    "date": ("date", "com.apple.quicktime.creationdate", "creation_time"),
}
"""Texts that a result keeps, each from the first of the keys that a film has."""
_PRIVATE: Final = ("location", "gps", "make", "model", "\xa9xyz")


@dataclass(frozen=True)
class Chapter:
    """A part of a film, in seconds from its first frame."""

    start: float
    end: float
    title: str


def kept_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Title, artist, copyright and date of a film whose keys are in lower case; place and device stay out."""
    found = {key: next((metadata[name] for name in names if metadata.get(name)), "") for key, names in _KEPT.items()}
    return {key: text for key, text in found.items() if text}


def chapters_in(container: InputContainer, first: float) -> tuple[Chapter, ...]:
    """`first`: when the first picture is shown, in seconds of the file's clock."""
    return tuple(
        Chapter(
            float(part["start"] * base) - first, float(part["end"] * base) - first, part["metadata"].get("title", "")
        )
        for part in container.chapters()
        if (base := part["time_base"]) is not None
    )


def chapters_between(chapters: Sequence[Chapter], start: float, end: float) -> list[Chapter]:
    """The chapters of the stretch from `start` to `end`, in seconds from `start`."""
    inside = [chapter for chapter in chapters if chapter.end > start and chapter.start < end]
    return [Chapter(max(0.0, c.start - start), min(c.end, end) - start, c.title) for c in inside]


def left_out(path: Path, container: InputContainer, taken: VideoStream) -> list[str]:
    """Sentences about what a new film with a new sound lacks of this one."""
    beside = [stream for stream in container.streams if stream.index != taken.index]
    sounds = [stream for stream in beside if stream.type == "audio"]
    chapters = len(container.chapters())  # MP4 keeps these as a track that has a sample for each
    others = [
        s for s in beside if s.type not in ("audio", "video") and not (s.type == "data" and 0 < chapters == s.frames)
    ]
    kinds = Counter(f"{stream.type}{_in_language(stream.language)}" for stream in [*sounds[1:], *others])
    sentences = []
    if kinds:
        named = ", ".join(f"{count} x {kind}" if count > 1 else kind for kind, count in kinds.items())
        sentences.append(f"{path}: beside the sound that is replaced, these streams are left out: {named}.")
    if any(part in key.lower() for key in container.metadata for part in _PRIVATE):
        sentences.append(f"{path}: the place and the device that it names are left out of the result.")
    return sentences


def _in_language(language: str | None) -> str:
    return f" ({language})" if language and language != "und" else ""
