"""The command line: a table of verbs, each a module with one `Options` dataclass and one `run(options)`.

This module imports only the standard library, so that `lipsmith --help` is fast; each verb imports what it needs when
it runs.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from io import TextIOWrapper
from typing import TYPE_CHECKING, NoReturn

from lipsmith import __version__
from lipsmith.errors import UsageError

if TYPE_CHECKING:
    from lipsmith.cli.console import Common, Verb

VERBS = {
    "dub": "dub a video: the person in it says new speech",
    "batch": "dub every row of a table, here or on a Ray cluster",
    "adapt": "adapt a model to one person, from that person's own film",
    "serve": "serve a web page and an HTTP API for dubbing",
    "prepare": "turn footage into clips for training and evaluation",
    "inspect": "draw a contact sheet of prepared clips",
    "train landmarks": "train the landmark generator: speech to lips and jaw",
    "train renderer": "train the renderer: landmarks and references to pictures",
    "train sync": "train the lip-sync judge",
    "train lips": "train the lip detector that the renderer's loss uses",
    "train occlusion": "train the network that finds what covers a face",
    "evaluate": "evaluate a model and the baselines on prepared clips",
    "evaluate landmarks": "evaluate the landmark generator alone",
    "score": "compare the videos of any system with the real ones",
    "report": "turn results into one self-contained HTML page",
    "sync": "find the audio-video offset of a video",
    "cost": "count parameters and operations of a model",
    "export": "write the ONNX stages of a trained model",
    "quantize": "add 8-bit stages of the renderer, faster on most CPUs",
    "sign": "sign a result with your certificate (C2PA)",
    "doctor": "print what a bug report needs: versions, cores, models",
    "weights": "list models and third-party weights, found and missing",
}

SUCCESS, FAILED, INTERRUPTED, STDOUT_CLOSED = 0, 1, 130, 141


def command() -> int:
    """The `lipsmith` command: `main` in a process of its own."""
    code = main()
    # All is cleaned up, but the interpreter waits for threads. Interrupted there, it would print a trace or abort.
    signal.signal(signal.SIGINT, lambda *_: os._exit(code))
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 done; 1 some items failed; 2 wrong usage; 3 nothing to work on; 4 a model is missing or wrong; 130 interrupted;
    141 the reader of stdout has ended.
    `argv` excludes the program name and defaults to `sys.argv`.
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
            return complain("interrupted", INTERRUPTED)
    return code


def _set_encodings() -> None:
    """Paths go to stdout byte for byte, for scripts; stderr is for people and replaces invalid characters."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    if isinstance(sys.stderr, TextIOWrapper):
        sys.stderr.reconfigure(errors="replace")


def printable(text: str) -> str:
    """A text of one line for a terminal, to which the control characters in names and texts of files could do more."""
    return re.sub(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]", "\N{REPLACEMENT CHARACTER}", text)


def printable_lines(text: str) -> str:
    """A text of several lines for a terminal."""
    return "\n".join(map(printable, text.split("\n")))


def help_text(prefix: str = "") -> str:
    """The text of `lipsmith --help`; with `prefix`, only the verbs that start with that word."""
    chosen = {verb: summary for verb, summary in VERBS.items() if verb.startswith(prefix)}
    width = max(map(len, chosen))
    verbs = "\n".join(f"  {verb:{width}}  {summary}" for verb, summary in chosen.items())
    if prefix:
        return f"usage: lipsmith {prefix} ...\n\n{verbs}\n\n  lipsmith {prefix} ... --help   the options of a verb"
    return (
        "usage: lipsmith VERB ...\n\n"
        "Dub a video: the same footage, with lips, chin and cheeks moving to new speech.\n\n"
        f"{verbs}\n\n"
        "  lipsmith VERB --help   the options of a verb\n"
        "  lipsmith --version     the version"
    )


def split_verb(words: Sequence[str]) -> tuple[str, list[str]]:
    """The verb at the start of `words` (two-word verbs first) and the remaining words.

    Raises UsageError for an unknown verb.
    """
    for count in (2, 1):
        verb = " ".join(words[:count])
        if len(words) >= count and verb in VERBS:
            return verb, list(words[count:])
    asked = " ".join(words[:1])
    if _is_group(asked):
        raise UsageError(f"'{asked}' needs a second word: {', '.join(v for v in VERBS if v.startswith(asked))}.")
    raise UsageError(f"Unknown verb '{asked}'{_suggestion(asked)}; see lipsmith --help.")


def load_verb(verb: str) -> Verb:
    """The module of a verb."""
    # numpy reads it when it is imported. Its threads would wait busily for another product, on cores that others need.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    module: Verb = import_module(f"lipsmith.cli.{verb.replace(' ', '_')}")
    return module


def parse_options(verb: str, module: Verb, words: Sequence[str]) -> Common:
    """The verb's options from the words after it. Raises SystemExit after printing help (0) or a usage error (2)."""
    import tyro

    from lipsmith.cli.console import arrange, registry

    arrange(module.Options)
    parse = partial(
        tyro.cli,
        module.Options,
        prog=f"lipsmith {verb}",
        description=module.__doc__,
        config=(tyro.conf.FlagCreatePairsOff,),
        registry=registry,
    )
    shown = [printable(word) for word in words]
    try:
        options: Common = parse(args=words, console_outputs=shown == list(words))
    except SystemExit:
        if shown != list(words):  # tyro would show the words as they are
            parse(args=shown)
        raise
    return options


def _general(words: list[str]) -> int | None:
    """Print the version or the general help if requested and return the exit code; None for a verb."""
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
        code = stop.code if isinstance(stop.code, int) else FAILED
        return complain("The path of the result goes after -o.", code) if code and _lacks_output(verb, rest) else code
    except BrokenPipeError:
        raise
    except Exception as error:
        from lipsmith.cli.failures import explain

        return explain(error, verbose)
    return SUCCESS


def _broken_pipe(error: BrokenPipeError) -> int:
    """Exit silently if the reader closed stdout; report any other broken pipe as an error."""
    if not _stdout_is_closed():
        from lipsmith.cli.failures import explain

        return explain(error, verbose=False)
    # The interpreter flushes stdout again at exit, which would print an error.
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
    """Make SIGTERM and SIGHUP (closed terminal) unwind the stack like Ctrl-C, so that temporary files are removed."""

    def interrupt(signum: int, frame: object) -> NoReturn:
        # Only once: shell and kernel both send SIGHUP, and the second signal would interrupt the unwinding.
        signal.signal(signum, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _terminations()}
    try:
        for number in before:
            signal.signal(number, interrupt)
    except ValueError:  # only the main thread can set signal handlers
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminations() -> list[signal.Signals]:
    """Termination signals of this system, except those that the parent (such as nohup) ignores."""
    known = [number for number in signal.Signals if number.name in ("SIGTERM", "SIGHUP")]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


def complain(sentence: str, code: int) -> int:
    """Say on stderr why a command ended; returns the `code`."""
    # In one piece, so that log lines of other threads do not come between the sentence and its end.
    print(f"lipsmith: {printable(sentence)}\n", end="", file=sys.stderr)
    return code


def _lacks_output(verb: str, words: Sequence[str]) -> bool:
    """Whether a dub that makes one result lacks -o; other verbs that need it have said so."""
    without = ("-o", "--out", "--list-faces", "--pairs")
    return verb == "dub" and not any(word.startswith(without) for word in words)


def _is_group(word: str) -> bool:
    return word not in VERBS and any(verb.startswith(f"{word} ") for verb in VERBS)


def _suggestion(word: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, VERBS, n=1)
    return f", did you mean '{close[0]}'?" if close else ""
