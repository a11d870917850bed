"""The command line: a table of verbs, each a module with one `Options` dataclass and one `run(options)`.

Nothing here imports more than the standard library, so that `lipsmith --help` answers at once; what a verb
needs is imported when the verb is called.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper
from typing import TYPE_CHECKING, NoReturn

from lipsmith import __version__
from lipsmith.errors import LipsmithError, SomeFailedError, UsageError

if TYPE_CHECKING:
    from lipsmith.cli.console import Common, Verb

VERBS = {
    "dub": "make the person in a video say new speech",
    "serve": "serve a page and an HTTP API that dub",
    "prepare": "turn footage into aligned clips for training and evaluation",
    "inspect": "draw a contact sheet of prepared clips",
    "train landmarks": "train speech to lip and jaw landmarks",
    "train renderer": "train landmarks and references to pictures",
    "train sync": "train the lip-sync judge",
    "evaluate": "measure a model on prepared clips, beside its baselines",
    "evaluate landmarks": "measure the landmark generator alone",
    "score": "measure any system's videos against the real ones",
    "report": "turn measured results into one self-contained page",
    "sync": "find the audio-video offset of a video",
    "cost": "count parameters and operations of a model",
    "export": "write the ONNX stages of a trained model",
    "quantize": "make a model faster on CPUs with 8-bit instructions",
    "sign": "sign a result with your certificate (C2PA)",
    "doctor": "print what a bug report needs: versions, cores, backend, models",
    "weights": "list the models and third-party weights that are found and missing",
}

EXTRAS = {
    "train": ("torch", "lightning_fabric", "tensorboard", "safetensors", "einops", "onnx"),
    "provenance": ("c2pa",),
    "serve": (
        *("fastapi", "starlette", "uvicorn", "h11", "anyio", "sqlmodel", "sqlalchemy"),
        *("sse_starlette", "prometheus_client", "python_multipart", "httpx"),
    ),
}

SUCCESS, FAILED, INTERRUPTED, STDOUT_CLOSED = 0, 1, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 done; 1 some items failed; 2 wrong usage; 3 nothing to work on; 4 a model is missing or wrong;
    130 interrupted. `argv` leaves out the program's own name and defaults to the shell's words.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    _set_encodings()
    with _termination_as_interrupt():
        try:
            code = _general(words)
            code = _run(words) if code is None else code
            sys.stdout.flush()
        except BrokenPipeError as error:
            return _broken_pipe(error)
        except KeyboardInterrupt:
            return _complain("interrupted", INTERRUPTED)
    return code


def _set_encodings() -> None:
    """A script that reads a path from stdout gets its bytes; a person reads stderr, where a ? does no harm."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    if isinstance(sys.stderr, TextIOWrapper):
        sys.stderr.reconfigure(errors="replace")


def help_text(prefix: str = "") -> str:
    """What `lipsmith --help` prints; with `prefix`, only the verbs that begin with that word."""
    chosen = {verb: summary for verb, summary in VERBS.items() if verb.startswith(prefix)}
    width = max(map(len, chosen))
    verbs = "\n".join(f"  {verb:{width}}  {summary}" for verb, summary in chosen.items())
    return (
        f"usage: lipsmith {prefix or 'VERB'} ...\n\n"
        "Dub a video: the same footage, with lips, chin and cheeks moving to new speech.\n\n"
        f"{verbs}\n\n"
        "  lipsmith VERB --help   what a verb takes\n"
        "  lipsmith --version     the version"
    )


def split_verb(words: Sequence[str]) -> tuple[str, list[str]]:
    """The verb that `words` begin with, two words before one, and the words after it.

    Raises UsageError when no verb fits.
    """
    for count in (2, 1):
        verb = " ".join(words[:count])
        if len(words) >= count and verb in VERBS:
            return verb, list(words[count:])
    asked = " ".join(words[:1])
    if _is_group(asked):
        raise UsageError(f"'{asked}' needs a second word: {', '.join(v for v in VERBS if v.startswith(asked))}")
    raise UsageError(f"unknown verb '{asked}'{_suggestion(asked)}; see lipsmith --help")


def load_verb(verb: str) -> Verb:
    """The module behind a verb of the table."""
    module: Verb = import_module(f"lipsmith.cli.{verb.replace(' ', '_')}")
    return module


def parse_options(verb: str, module: Verb, words: Sequence[str]) -> Common:
    """The verb's options from the words after it. Raises SystemExit after printing help (0) or a usage error (2)."""
    import tyro

    from lipsmith.cli.console import registry

    options: Common = tyro.cli(
        module.Options,
        prog=f"lipsmith {verb}",
        description=module.__doc__,
        args=words,
        config=(tyro.conf.FlagCreatePairsOff,),
        registry=registry,
    )
    return options


def _general(words: list[str]) -> int | None:
    """The exit code where version or general help is asked for, which is printed; None for a verb."""
    if words in (["--version"], ["-V"]):
        print(f"lipsmith {__version__}")
        return SUCCESS
    if not words or words[0] in ("--help", "-h"):
        print(help_text(), file=sys.stdout if words else sys.stderr)
        return SUCCESS if words else UsageError.exit_code
    if words[1:] in (["--help"], ["-h"]) and _is_group(words[0]):
        print(help_text(words[0]))
        return SUCCESS
    return None


def _run(words: list[str]) -> int:
    verbose = False
    try:
        verb, rest = split_verb(words)
        module = load_verb(verb)
        options = parse_options(verb, module, rest)
        verbose = options.verbose
        from lipsmith.cli import console

        with console.log_lines(options):
            module.run(options)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else FAILED
    except BrokenPipeError:
        raise
    except Exception as error:
        return _explain(error, verbose)
    return SUCCESS


def _explain(error: Exception, verbose: bool) -> int:
    """Say in one sentence what went wrong, and return the exit code for it."""
    if verbose:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, SomeFailedError):
        from lipsmith.cli import console

        console.table("Failed", ("item", "why"), error.failures, sys.stderr)
    if isinstance(error, LipsmithError):
        return _complain(str(error), error.exit_code)
    if isinstance(error, ModuleNotFoundError):
        return _complain(_missing_module(error), UsageError.exit_code)
    if isinstance(error, OSError) and error.strerror:
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else error.strerror, FAILED)
    hint = "" if verbose else "; the same command with -v shows where"
    return _complain(f"unexpected {type(error).__name__}: {error}{hint}", FAILED)


def _missing_module(error: ModuleNotFoundError) -> str:
    package = (error.name or "").split(".")[0]
    extra = next((extra for extra, packages in EXTRAS.items() if package in packages), None)
    if extra:
        return f"this command needs {package}, which a plain install leaves out: pip install '.[{extra}]' in the clone"
    return f"this installation is incomplete: {error}; install lipsmith again"


def _broken_pipe(error: BrokenPipeError) -> int:
    """Quiet when the reader of our output left; any other broken pipe is an error like others."""
    import os

    if not _stdout_is_closed():
        return _explain(error, verbose=False)
    # The interpreter flushes once more at exit, and would complain then.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return STDOUT_CLOSED


def _stdout_is_closed() -> bool:
    import select

    if not hasattr(select, "poll"):
        return True
    poller = select.poll()
    poller.register(sys.stdout.fileno(), 0)
    return bool(poller.poll(0))


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM, and SIGHUP where a terminal closes, unwind the stack as Ctrl-C does: temporary files go away."""

    def interrupt(signum: int, frame: object) -> NoReturn:
        # Once: shell and kernel both tell that the terminal is gone, and a second one would cut the unwinding short.
        signal.signal(signum, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _terminations()}
    try:
        for number in before:
            signal.signal(number, interrupt)
    except ValueError:  # signals belong to the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminations() -> list[signal.Signals]:
    """Signals that ask to end: those that this system has, and that nobody, such as nohup, wants ignored."""
    known = [number for number in signal.Signals if number.name in ("SIGTERM", "SIGHUP")]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


def _complain(sentence: str, code: int) -> int:
    print(f"lipsmith: {sentence}", file=sys.stderr)
    return code


def _is_group(word: str) -> bool:
    return word not in VERBS and any(verb.startswith(f"{word} ") for verb in VERBS)


def _suggestion(word: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, VERBS, n=1)
    return f", did you mean '{close[0]}'?" if close else ""
