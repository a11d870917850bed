"""Limits on the number of the package's files that a dub enters, and on the depth of its calls."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import FrameType

import lipsmith
from dub_samples import write_wav
from lipsmith import DubOptions, cli, dub
from synthetic import DEMO, speech

PACKAGE = str(Path(lipsmith.__file__).parent)
COMPREHENSIONS = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}
"""No frames of their own from Python 3.12 on, but for the last."""


@dataclass
class Way:
    """Files of the package of which a function ran, and the greatest depth of calls within the package."""

    files: set[str] = field(default_factory=set)
    depth: int = 0

    def enter(self, frame: FrameType, event: str, argument: object) -> None:
        name = frame.f_code.co_filename
        if event != "call" or not name.startswith(PACKAGE) or not frame.f_code.co_flags & CO_OPTIMIZED:
            return
        depth = 0
        outer: FrameType | None = frame
        while outer is not None:
            if outer.f_code.co_filename.startswith("<frozen importlib"):
                return
            depth += outer.f_code.co_filename.startswith(PACKAGE) and outer.f_code.co_name not in COMPREHENSIONS
            outer = outer.f_back
        self.files.add(name)
        self.depth = max(self.depth, depth)


@contextmanager
def followed() -> Iterator[Way]:
    """Record what runs within the block, in all threads that begin in it; imports do not count."""
    way = Way()
    threading.setprofile(way.enter)
    sys.setprofile(way.enter)
    try:
        yield way
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def words(folder: Path) -> Path:
    return write_wav(folder / "words.wav", speech(0.4))


def test_a_dub_by_the_api_enters_few_files_and_calls(tmp_path: Path) -> None:
    with followed() as way:
        dub(DEMO / "actor.mp4", words(tmp_path), tmp_path / "dubbed.mp4", DubOptions(end=0.4))
    assert len(way.files) <= 39
    assert 5 < way.depth <= 12


def test_a_dub_by_the_command_enters_few_more_files(tmp_path: Path) -> None:
    line = ["dub", str(DEMO / "actor.mp4"), str(words(tmp_path)), "-o", str(tmp_path / "dubbed.mp4"), "--end", "0.4"]
    with followed() as way:
        assert cli.main(line) == 0
    assert len(way.files) <= 42
    assert 5 < way.depth <= 14
