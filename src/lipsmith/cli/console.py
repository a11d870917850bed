"""Shared parts of all verbs: common options, log lines, progress, and the path of the result."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import MISSING, Field, dataclass, fields
from functools import lru_cache
from inspect import get_annotations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from lipsmith.cli import printable, printable_lines
from lipsmith.cli.tables import table as table
from lipsmith.config import field_texts, parse_device
from lipsmith.errors import UsageError
from lipsmith.inference.backend import MOST_THREADS
from lipsmith.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console

_LOG = logging.getLogger("lipsmith")
Value = int | float | str | Path
_WHOLE: Final = (int, "INT", "a whole number")
_NUMBER: Final = (float, "FLOAT", "a number such as 12.5")


def _path(word: str) -> Path:
    """A path that is not empty, as an unset variable of a shell is; `Path` takes that for the current folder."""
    if not word:
        raise ValueError(word)
    return Path(word)


_PATH: Final = (_path, "PATH", "a path")
_KINDS: Final[dict[Any, tuple[Callable[[str], Value], str, str]]] = {
    int: _WHOLE,
    int | None: _WHOLE,
    float: _NUMBER,
    float | None: _NUMBER,
    str | None: (str, "STR", "a text"),
    Path: _PATH,
    Path | None: _PATH,
}
registry: Final = ConstructorRegistry()
_TRIM_THRESHOLD: Final = -1  # M_TRIM_THRESHOLD of malloc.h
_MMAP_THRESHOLD: Final = -3  # M_MMAP_THRESHOLD
_MOST_ARENAS: Final = -8  # M_ARENA_MAX
_LARGE: Final = 4 << 20
_KEPT: Final = 64 << 20


def by_default(text: str) -> Any:  # noqa: ANN401 - tyro's type is private
    """The annotation of an option whose help says what is taken where it is not given."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {text})")


def many(metavar: str) -> Any:  # noqa: ANN401
    """The annotation of positional arguments of which one at least must be given; tyro calls none their default."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="(required)")


def arrange(options: type[Any]) -> None:
    """Arrange a verb's options for its help: required ones, its own, and last those of all verbs.

    Options that are None if they are not given show no default, unless `by_default` says what is taken then. Nor do
    those that are on, because their flag, `--no-...`, switches them off.
    """
    declared: dict[str, type[Any]] = {}
    for base in reversed(options.__mro__):
        for name in get_annotations(base):
            declared.setdefault(name, base)

    def rank(option: Field[Any]) -> tuple[bool, bool, bool, bool]:
        by = declared[option.name]
        return option.default is not MISSING, by.__module__ == __name__, by is not options, by is Common

    texts, types = field_texts(options), get_type_hints(options, include_extras=True)  # tyro reads them again

    def described(option: Field[Any]) -> Any:  # noqa: ANN401 - types have no common base
        extras = getattr(types[option.name], "__metadata__", ())
        has_hint = any(getattr(extra, "help_behavior_hint", None) is not None for extra in extras)
        hint = "" if option.default is True or (option.default is None and not has_hint) else None
        return Annotated[types[option.name], tyro.conf.arg(help=texts.get(option.name), help_behavior_hint=hint)]

    options.__annotations__ = get_annotations(options) | {one.name: described(one) for one in fields(options)}
    options.__dataclass_fields__ = {option.name: option for option in sorted(fields(options), key=rank)}


def tune_process() -> None:
    """Set what a dub needs of the C library and of OpenCV. Call it before threads are started and OpenCV is imported.

    By default each thread keeps what it has freed, and large frames leave holes between smaller arrays: a hundred
    megabytes and more in a long film of 1080 lines. With glibc, all threads reuse each other's memory, and large frames
    are given back. What is freed at the heap's end is kept, up to `_KEPT`, because the system clears each page that it
    gets back. OpenCV starts no threads of its own: beside those of a dub they would only wait for each other.
    """
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")  # cv2.setNumThreads would hang in a forked process
    with suppress(OSError, AttributeError, TypeError):  # other C libraries
        library = ctypes.CDLL(None)
        library.mallopt(_MOST_ARENAS, 1)
        library.mallopt(_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)


@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of every verb. Verbs' options are frozen, keyword-only dataclasses derived from it."""

    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"])] = False
    """Log more, and show a traceback for errors."""

    quiet: Annotated[bool, tyro.conf.arg(aliases=["-q"])] = False
    """Log only errors."""

    def __post_init__(self) -> None:
        if self.verbose and self.quiet:
            raise UsageError("-v and -q cannot be combined; give one of them.")


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(Common):
    """Mixin of verbs that compute."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    threads: Annotated[int | None, by_default("all cores")] = None
    """CPU threads."""

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_device(self.device)
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise UsageError(f"--threads {self.threads} is out of range; give 1 to {MOST_THREADS}.")


@dataclass(frozen=True, kw_only=True)
class CpuOptions(DeviceOptions):
    """Mixin of verbs that measure films, which always run on the CPU."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if parse_device(self.device).kind == "cuda":
            raise UsageError(f"--device {self.device}: films are measured on the CPU only; omit --device.")


def require_side(side: int) -> None:
    """Raise UsageError for crops of less than 32 or more than 1024 pixels."""
    if not 32 <= side <= 1024:
        raise UsageError(f"--side {side} is not between 32 and 1024.")


@dataclass(frozen=True, kw_only=True)
class OutputOptions(Common):
    """Mixin of verbs that write a result."""

    overwrite: bool = False
    """Replace existing results."""


@dataclass(frozen=True, kw_only=True)
class JsonOptions(Common):
    """Mixin of verbs that print figures."""

    json: Path | None = None
    """Also write figures, settings and rows to this JSON file."""


class Verb(Protocol):
    """The interface of a verb's module."""

    __doc__: str | None
    Options: type[Any]

    def run(self, options: Any) -> None:  # noqa: ANN401 - each verb has its own options
        """Run the verb."""


@contextmanager
def log_lines(options: Common) -> Iterator[None]:
    """Send the library's log lines to stderr inside the `with`, at the level that `options` set."""
    before = _LOG.level
    handler = _handler()
    handler.addFilter(_make_printable)
    _LOG.setLevel(logging.DEBUG if options.verbose else logging.ERROR if options.quiet else logging.INFO)
    _LOG.addHandler(handler)
    try:
        yield
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(before)


def _make_printable(record: logging.LogRecord) -> bool:
    """A filter of log lines that makes all of them, and the traces below them, printable."""
    record.msg, record.args = printable(record.getMessage()), None
    if record.exc_info:
        record.exc_text = printable_lines(logging.Formatter().formatException(record.exc_info))
    return True


def result(path: Path | str) -> None:
    """Print the result's path on stdout at once: for scripts in the file system's bytes, on a terminal on one line."""
    text = os.fsencode(path).decode("utf-8", "surrogateescape")
    print(printable(text) if sys.stdout.isatty() else text, flush=True)


@contextmanager
def progress(title: str, total: int = 0) -> Iterator[Progress]:
    """Show the progress of the work inside the `with`; yields the callback for the library.

    Draws a bar with the remaining time on a terminal, prints a line per tenth elsewhere, and nothing with -q. The
    callback's total replaces `total`, which may be 0 while unknown.
    """
    title = printable(title)
    if not _LOG.isEnabledFor(logging.INFO):
        yield lambda done, total: None
    elif sys.stderr.isatty():
        with _bar(title, total) as advance:
            yield advance
    else:
        yield _lines(title)


@contextmanager
def _bar(title: str, total: int) -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_terminal()) as bars:
        task = bars.add_task(title, total=total or None)
        yield lambda done, total: bars.update(task, completed=done, total=total or None)


def _lines(title: str) -> Progress:
    told = -1
    first: tuple[int, float] | None = None

    def advance(done: int, total: int) -> None:
        nonlocal told, first
        # What comes before the first call is loading, which would make the remaining time many times too long.
        before, began = first = first or (done, time.monotonic())
        tenth = 10 * done // total if total else -1
        if tenth <= told:
            return
        told = tenth
        left = (time.monotonic() - began) * (total - done) / max(done - before, 1)
        ending = f", {left:.0f} s left" if before < done < total else ""
        line = f"{title}: {done} of {total} ({100 * done // total} %){ending}\n"
        with suppress(OSError):  # the work goes on if the terminal is closed or a reader has left
            print(line, end="", file=sys.stderr, flush=True)

    return advance


def _handler() -> logging.Handler:
    if not sys.stderr.isatty():
        return logging.StreamHandler(sys.stderr)
    from rich.logging import RichHandler

    return RichHandler(console=_terminal(), show_time=False, show_path=False, show_level=False)


@lru_cache(maxsize=1)
def _terminal() -> Console:
    """One console for bars and log lines, so that log lines do not break the bar."""
    from rich.console import Console

    return Console(stderr=True)


@registry.primitive_rule
def _plain(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Value | None] | None:
    if info.type not in _KINDS:
        return None
    read, metavar, name = _KINDS[info.type]

    def from_words(words: list[str]) -> Value:
        try:
            return read(words[0])
        except ValueError:
            raise ValueError(f"{printable(words[0]) or repr(words[0])} is not {name}") from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=from_words,
        is_instance=lambda value: value is None or isinstance(value, Value),
        str_from_instance=lambda value: [str(value)],
    )
