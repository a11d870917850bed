"""Common behavior of all commands: fast help, exit codes, one-sentence errors, and only results on stdout."""

from __future__ import annotations

import logging
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lipsmith import __version__, cli, errors
from lipsmith.cli import console
from lipsmith.files import write_whole


def lipsmith(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lipsmith", *words]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, check=False, timeout=60
    )


Body = Callable[[Any], None]
RunVerb = Callable[..., int]


@dataclass(frozen=True, kw_only=True)
class Options(console.DeviceOptions, console.OutputOptions, console.JsonOptions):
    """A verb for tests, with every mixin."""


@pytest.fixture
def run_verb(monkeypatch: pytest.MonkeyPatch) -> RunVerb:
    """Run `lipsmith cost WORDS` in this process, with `body` instead of the verb."""

    def run(body: Body, *words: str) -> int:
        verb = SimpleNamespace(__doc__="A verb.", Options=Options, run=body)
        monkeypatch.setattr(cli, "load_verb", lambda _: verb)
        return cli.main(["cost", *words])

    return run


def raising(error: BaseException) -> Body:
    def body(options: Options) -> None:
        raise error

    return body


def test_help_and_version_import_nothing_heavy() -> None:
    program = (
        "import sys; from lipsmith.cli import main; codes = main(['--help']), main(['--version']);"
        "heavy = {'numpy', 'tyro', 'rich', 'torch', 'av', 'cv2', 'dataclasses'} & set(sys.modules);"
        "sys.exit(f'{codes} {heavy}' if heavy or any(codes) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(verb in done.stdout for verb in cli.VERBS)
    assert done.stdout.endswith(f"lipsmith {__version__}\n")


def test_python_m_returns_the_exit_code() -> None:
    done = lipsmith("dubb")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "lipsmith: Unknown verb 'dubb', did you mean 'dub'?; see lipsmith --help.\n"


def test_a_call_without_arguments_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "usage: lipsmith" in told.err


def test_a_verb_of_two_words_takes_precedence() -> None:
    assert cli.split_verb(["evaluate", "landmarks", "data"]) == ("evaluate landmarks", ["data"])
    assert cli.split_verb(["evaluate", "data"]) == ("evaluate", ["data"])
    assert cli.split_verb(["evaluate", "./landmarks"]) == ("evaluate", ["./landmarks"])


def test_the_first_word_alone_lists_the_second(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train"]) == 2
    assert "train landmarks, train renderer, train sync, train lips, train occlusion" in capsys.readouterr().err
    assert cli.main(["train", "--help"]) == 0
    assert "train renderer" in capsys.readouterr().out


def test_help_begins_with_what_a_verb_needs_and_ends_with_what_all_have(capsys: pytest.CaptureFixture[str]) -> None:
    for verb, wanted in {
        "dub": ["-o OUT", "--face", "--device", "-v,"],
        "train renderer": ["--data", "--without"],
    }.items():
        assert cli.main([*verb.split(), "--help"]) == 0
        text = capsys.readouterr().out
        places = [text.index(f"│ {option}") for option in wanted]
        assert places == sorted(places)


def test_every_verb_has_help_that_imports_nothing_heavy() -> None:
    program = (
        "import sys; from lipsmith import cli;"
        "codes = {verb: cli.main([*verb.split(), '--help']) for verb in cli.VERBS};"
        "heavy = {'torch', 'av', 'cv2', 'onnxruntime', 'ai_edge_litert'} & set(sys.modules);"
        "sys.exit(f'{codes} {heavy}' if heavy or any(codes.values()) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.replace("│", " ").split())
    assert "[OPTIONS] REAL GENERATED" in said
    assert "CPU threads. (default: all cores)" in said
    assert not re.search(r"\(default: [^)]*\)\. \(default", said), "one default each"
    assert "(default: )" not in said
    assert "(default: None)" not in said
    assert "(default: True)" not in said, "for the flag that says no"
    assert "Start of the footage to use, in seconds. --end" in said


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.LipsmithError("what, where, remedy"), 1),
        (errors.UsageError("what, where, remedy"), 2),
        (errors.InputError("what, where, remedy"), 3),
        (errors.WeightsError("what, where, remedy"), 4),
    ],
)
def test_expected_errors_are_one_sentence(
    run_verb: RunVerb, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    assert run_verb(raising(error)) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "lipsmith: what, where, remedy\n"


def test_unexpected_errors_show_a_traceback_only_with_v(run_verb: RunVerb, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_verb(raising(ZeroDivisionError("by zero"))) == 1
    assert (
        capsys.readouterr().err
        == "lipsmith: Unexpected ZeroDivisionError: by zero; run the command again with -v for a traceback.\n"
    )
    assert run_verb(raising(ZeroDivisionError("by zero")), "-v") == 1
    assert "Traceback" in capsys.readouterr().err


def test_system_errors_name_the_file(run_verb: RunVerb, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_verb(raising(OSError(28, "No space left on device", "out.mp4"))) == 1
    assert capsys.readouterr().err == "lipsmith: out.mp4: No space left on device.\n"
    assert run_verb(raising(OSError(12, "Cannot allocate memory"))) == 1  # of no file
    assert capsys.readouterr().err == "lipsmith: Cannot allocate memory.\n"


def test_a_name_that_is_too_long_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dub", "film.mp4", f"{'n' * 300}.wav", "-o", "a.mp4"]) == 2
    assert "choose a shorter name" in capsys.readouterr().err
    assert cli.main(["dub", "demo/face.png", "demo/speech.wav", "-o", f"{'n' * 300}/a.mp4"]) == 2
    assert f"lipsmith: {'n' * 300}: File name too long; choose a shorter name." in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--strength", "99"), ("--gain", "5000"), ("--language", "english")])
def test_a_batch_refuses_what_no_dub_takes(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["batch", "jobs.csv", option, value]) == 2
    assert value in capsys.readouterr().err


def test_an_empty_path_is_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """An unset variable of a shell is; `Path` would take it for the current folder."""
    assert cli.main(["dub", "", "words.wav", "-o", "results"]) == 2
    assert "'' is not a path" in capsys.readouterr().err


def test_a_missing_extra_is_named(run_verb: RunVerb, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_verb(raising(ModuleNotFoundError("no", name="torch.nn"))) == 2
    assert 'pip install ".[train]"' in capsys.readouterr().err


def test_names_of_files_cannot_control_the_terminal(run_verb: RunVerb, capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b]0;title\x07.mp4"

    def body(options: Options) -> None:
        logging.getLogger("lipsmith").warning("%s is skipped", name)
        with console.progress(f"{name}: faces") as progress:
            progress(1, 1)
        raise errors.SomeFailedError([(name, f"{name} has no face")], total=1)

    assert run_verb(body) == 1
    assert run_verb(raising(errors.InputError(f"{name} is empty."))) == 3
    said = capsys.readouterr().err
    assert said.count("title") == 5
    assert all(line.isprintable() for line in said.splitlines())


def test_brackets_in_a_name_are_no_markup(capfd: pytest.CaptureFixture[str]) -> None:
    with console._bar("a[/b].mp4: faces", 1) as advance:
        advance(1, 1)
    assert "a[/b].mp4: faces" in capfd.readouterr().err


@pytest.mark.parametrize("words", [(), ("-q",)])
def test_partial_failures_are_listed(
    run_verb: RunVerb, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert run_verb(raising(errors.SomeFailedError([("b.mp4", "no face")], total=3)), *words) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == ["Failed", "item   why", "b.mp4  no face", "lipsmith: 1 of 3 failed"]


@pytest.mark.parametrize(
    "words",
    [("--device", "tpu"), ("--threads", "0"), ("--threads", "two"), ("-v", "-q"), ("--bogus",), ("extra",)],
)
def test_invalid_options_are_usage_errors(
    run_verb: RunVerb, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert run_verb(lambda options: None, *words) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "words",
    [
        "dub a b -o c.mp4 --start 0:01",
        "dub a b -o c.mp4 --threads two",
        "score a b --side 1.5",
        "sync a --seconds 2m",
    ],
)
def test_a_value_that_is_no_number_is_refused_in_plain_language(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words.split()) == 2
    said = capsys.readouterr().err
    assert f"{words.split()[-1]} is not a" in said
    assert not any(jargon in said for jargon in ("None}", "class", "literal"))


@pytest.mark.parametrize("verb", ["score real made", "sync film.mp4"])
def test_verbs_that_use_only_the_cpu_refuse_another_device(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*verb.split(), "--device", "cuda"]) == 2
    assert "measured on the CPU only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [(("landmarks", "fast", "--minutes", "0"), "--minutes"), (("renderer", "fast", "--steps", "0"), "--steps")],
)
def test_a_training_of_zero_length_is_refused(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert cli.main(["train", *words, "--data", "data", "--out", "run"]) == 2
    assert said in capsys.readouterr().err


def test_common_options_reach_the_verb(run_verb: RunVerb) -> None:
    seen: list[Options] = []
    words = ("--device", "cuda:1", "--threads", "2", "--overwrite", "--json", "a.json", "-q")
    assert run_verb(seen.append, *words) == 0
    expected = Options(device="cuda:1", threads=2, overwrite=True, json=Path("a.json"), quiet=True, verbose=False)
    assert seen == [expected]


def test_stdout_holds_only_the_result(run_verb: RunVerb, capsys: pytest.CaptureFixture[str]) -> None:
    def body(options: Options) -> None:
        with console.progress("frames") as advance:
            advance(1, 1)
        console.table("Figures", ("name", "value"), [("psnr", 30.123456)])
        console.result(Path("out.mp4"))

    assert run_verb(body) == 0
    told = capsys.readouterr()
    assert told.out == "out.mp4\n"
    assert told.err.splitlines() == ["frames: 1 of 1 (100 %)", "Figures", "name  value", "psnr  30.12"]


def test_table_cells_are_short_and_missing_figures_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("psnr", np.float32(30.123456)), ("fid", math.nan), ("best", math.inf), ("params", 1_234_567.0), ("n", 3)]
    console.table("Figures", ("name", "value"), rows, sys.stdout)
    cells = [line.split()[-1] for line in capsys.readouterr().out.splitlines()[2:]]
    assert cells == ["30.12", "n/a", "inf", "1234567", "3"]


def test_quiet_keeps_tables_that_are_results(run_verb: RunVerb, capsys: pytest.CaptureFixture[str]) -> None:
    def body(options: Options) -> None:
        console.table("Beside", ("name", "value"), [("psnr", 30)])
        console.table("Result", ("name", "value"), [("psnr", 30)], sys.stdout)

    assert run_verb(body, "-q") == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == ["Result", "name  value", "psnr     30"]
    assert told.err == ""


def test_without_a_terminal_progress_prints_a_line_per_tenth(
    run_verb: RunVerb, capsys: pytest.CaptureFixture[str]
) -> None:
    def body(options: Options) -> None:
        with console.progress("frames") as advance:
            for done in range(1001):
                advance(done, 1000)

    assert run_verb(body) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[5].startswith("frames: 500 of 1000 (50 %), ")
    assert run_verb(body, "-q") == 0
    assert capsys.readouterr().err == ""


def test_remaining_time_does_not_count_loading(
    run_verb: RunVerb, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([60.0, 61.0, 70.0, 70.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))

    def body(options: Options) -> None:
        with console.progress("frames") as advance:
            advance(1, 100)
            advance(11, 100)

    assert run_verb(body) == 0
    assert capsys.readouterr().err.splitlines() == [
        "frames: 1 of 100 (1 %)",
        "frames: 11 of 100 (11 %), 89 s left",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interruption_removes_temporary_files(
    run_verb: RunVerb, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    def body(options: Options) -> None:
        with write_whole(tmp_path / "out.txt") as beside:
            beside.write_text("half")
            os.kill(os.getpid(), number)

    assert run_verb(body) == 130
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().err == "lipsmith: interrupted\n"


def test_a_second_hangup_does_not_interrupt_the_cleanup(run_verb: RunVerb) -> None:
    cleared = []

    def body(options: Options) -> None:
        try:
            os.kill(os.getpid(), signal.SIGHUP)
        finally:
            os.kill(os.getpid(), signal.SIGHUP)
            cleared.append(True)

    assert run_verb(body) == 130
    assert cleared == [True]
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_under_nohup_a_hangup_has_no_effect(run_verb: RunVerb) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_verb(lambda options: os.kill(os.getpid(), signal.SIGHUP)) == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_closed_output_pipe_is_no_error() -> None:
    program = "from lipsmith import cli; import sys; sys.exit(cli.main(['weights']))"
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as closed:
        done = subprocess.run([sys.executable, "-c", program], stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are not Unicode")
@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("name", [b"plain.mp4", "фильм.mp4".encode(), b"r\xe9s.mp4"])
def test_the_printed_path_is_the_path(encoding: str, name: bytes) -> None:
    program = (
        "import os, sys; from lipsmith import cli; from lipsmith.cli import console; cli._set_encodings();"
        f"print(os.fsdecode({name!r}), file=sys.stderr); console.result(os.fsdecode({name!r})); os._exit(0)"  # at once
    )
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUNBUFFERED": ""}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environment)
    assert done.stdout == name + b"\n"
    assert done.stderr.endswith(b".mp4\n")
