"""What every command shares: help at once, exit codes, one sentence an error, results on stdout alone."""

from __future__ import annotations

import json
import math
import os
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
from lipsmith.cli.results import read_figures, write_figures
from lipsmith.files import refuse_existing, refuse_outputs, write_whole, write_whole_folder


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
    """Run `lipsmith cost WORDS` in this process, with `body` in the verb's place."""

    def run(body: Body, *words: str) -> int:
        verb = SimpleNamespace(__doc__="A verb.", Options=Options, run=body)
        monkeypatch.setattr(cli, "load_verb", lambda _: verb)
        return cli.main(["cost", *words])

    return run


def raising(error: BaseException) -> Body:
    def body(options: Options) -> None:
        raise error

    return body


def test_help_and_version_need_nothing_heavy() -> None:
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
    assert done.stderr == "lipsmith: unknown verb 'dubb', did you mean 'dub'?; see lipsmith --help\n"


def test_no_words_are_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "usage: lipsmith" in told.err


def test_two_words_go_before_one() -> None:
    assert cli.split_verb(["evaluate", "landmarks", "data"]) == ("evaluate landmarks", ["data"])
    assert cli.split_verb(["evaluate", "data"]) == ("evaluate", ["data"])
    assert cli.split_verb(["evaluate", "./landmarks"]) == ("evaluate", ["./landmarks"])


def test_the_first_word_alone_tells_the_second(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train"]) == 2
    assert "train landmarks, train renderer, train sync" in capsys.readouterr().err
    assert cli.main(["train", "--help"]) == 0
    assert "train renderer" in capsys.readouterr().out


def test_every_verb_has_help_that_needs_nothing_heavy() -> None:
    program = (
        "import sys; from lipsmith import cli;"
        "codes = {verb: cli.main([*verb.split(), '--help']) for verb in cli.VERBS};"
        "heavy = {'torch', 'av', 'cv2', 'onnxruntime', 'ai_edge_litert'} & set(sys.modules);"
        "sys.exit(f'{codes} {heavy}' if heavy or any(codes.values()) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.LipsmithError("what, where, remedy"), 1),
        (errors.UsageError("what, where, remedy"), 2),
        (errors.InputError("what, where, remedy"), 3),
        (errors.WeightsError("what, where, remedy"), 4),
    ],
)
def test_errors_on_purpose_are_one_sentence(
    run_verb: RunVerb, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    assert run_verb(raising(error)) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "lipsmith: what, where, remedy\n"


def test_errors_by_accident_show_their_trace_only_when_asked(
    run_verb: RunVerb, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb(raising(ZeroDivisionError("by zero"))) == 1
    assert (
        capsys.readouterr().err
        == "lipsmith: unexpected ZeroDivisionError: by zero; the same command with -v shows where\n"
    )
    assert run_verb(raising(ZeroDivisionError("by zero")), "-v") == 1
    assert "Traceback" in capsys.readouterr().err


def test_the_system_s_errors_name_the_file(run_verb: RunVerb, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_verb(raising(OSError(28, "No space left on device", "out.mp4"))) == 1
    assert capsys.readouterr().err == "lipsmith: out.mp4: No space left on device\n"


def test_a_missing_extra_is_named(run_verb: RunVerb, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_verb(raising(ModuleNotFoundError("no", name="torch.nn"))) == 2
    assert "pip install '.[train]'" in capsys.readouterr().err


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
def test_wrong_options_are_usage_errors(
    run_verb: RunVerb, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert run_verb(lambda options: None, *words) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [(("landmarks", "landmarks", "--minutes", "0"), "--minutes"), (("renderer", "fast", "--steps", "0"), "--steps")],
)
def test_a_training_of_no_length_is_refused(
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


def test_the_result_is_alone_on_stdout(run_verb: RunVerb, capsys: pytest.CaptureFixture[str]) -> None:
    def body(options: Options) -> None:
        with console.progress("frames") as advance:
            advance(1, 1)
        console.table("Figures", ("name", "value"), [("psnr", 30.123456)])
        console.result(Path("out.mp4"))

    assert run_verb(body) == 0
    told = capsys.readouterr()
    assert told.out == "out.mp4\n"
    assert told.err.splitlines() == ["frames: 1 of 1 (100 %)", "Figures", "name  value", "psnr  30.12"]


def test_cells_are_short_and_missing_figures_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("psnr", np.float32(30.123456)), ("fid", math.nan), ("best", math.inf), ("params", 1_234_567.0), ("n", 3)]
    console.table("Figures", ("name", "value"), rows, sys.stdout)
    cells = [line.split()[-1] for line in capsys.readouterr().out.splitlines()[2:]]
    assert cells == ["30.12", "n/a", "inf", "1234567", "3"]


def test_quiet_leaves_tables_that_are_results(run_verb: RunVerb, capsys: pytest.CaptureFixture[str]) -> None:
    def body(options: Options) -> None:
        console.table("Beside", ("name", "value"), [("psnr", 30)])
        console.table("Result", ("name", "value"), [("psnr", 30)], sys.stdout)

    assert run_verb(body, "-q") == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == ["Result", "name  value", "psnr     30"]
    assert told.err == ""


def test_progress_off_a_terminal_is_a_line_each_tenth(run_verb: RunVerb, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_a_second_hangup_does_not_disturb_the_clearing_up(run_verb: RunVerb) -> None:
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


def test_under_nohup_a_hangup_stays_without_effect(run_verb: RunVerb) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_verb(lambda options: os.kill(os.getpid(), signal.SIGHUP)) == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_reader_that_leaves_is_no_error() -> None:
    program = "from lipsmith import cli; import sys; sys.exit(cli.main(['weights']))"
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as closed:
        done = subprocess.run([sys.executable, "-c", program], stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (141, b"")


def test_figures_are_written_whole_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    figures = {"psnr": math.inf, "lpips_vgg": math.nan, "ssim": np.float32(0.5), "frames": 7}
    settings = {"data": tmp_path, "face_size": 128}
    write_figures(path, figures, settings, [{"clip": "a", "psnr": np.array([1.0, -np.inf])}])
    raw = json.loads(path.read_text())
    assert raw["figures"] == {"psnr": "inf", "lpips_vgg": None, "ssim": 0.5, "frames": 7}
    assert raw["rows"] == [{"clip": "a", "psnr": [1.0, "-inf"]}]
    found = read_figures(path)
    assert found.figures["psnr"] == math.inf
    assert math.isnan(found.figures["lpips_vgg"])
    assert found.settings == {"data": str(tmp_path), "face_size": 128}


@pytest.mark.parametrize("text", ["", "[]", '{"figures": {}}', '{"figures": 1, "settings": {}, "rows": []}'])
def test_a_file_without_figures_is_an_input_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(errors.InputError, match="holds no results"):
        read_figures(path)


def test_results_replace_others_only_on_request(tmp_path: Path) -> None:
    there = tmp_path / "there.mp4"
    there.touch()
    with pytest.raises(errors.UsageError, match="--overwrite"):
        refuse_existing(there, overwrite=False)
    refuse_existing(there, overwrite=True)
    refuse_existing(tmp_path / "new.mp4", overwrite=False)
    with pytest.raises(errors.UsageError, match="is a folder"):
        refuse_existing(tmp_path, overwrite=True)
    with pytest.raises(errors.UsageError, match="does not exist"):
        refuse_existing(tmp_path / "nowhere" / "new.mp4", overwrite=False)


@pytest.mark.parametrize(
    "words",
    [
        "sign film.mp4 -o film.mp4 --certificate chain.pem --key key.pem",
        "sign film.mp4 -o key.pem --certificate chain.pem --key key.pem",
        "sign film.mp4 -o chain.pem --certificate chain.pem --key key.pem",
        "sync film.mp4 --json ./film.mp4",
        "sync clips --json clips/manifest.jsonl",
        "score film.mp4 films/a.mp4 --json film.mp4",
        "score films made --json made/a.mp4",
        "evaluate clips --json clips/manifest.jsonl",
        "evaluate clips --model run --markdown run/config.json",
        "evaluate clips --variant none=run --latex run/config.json",
        "evaluate landmarks run --data clips --json run/landmarks.json",
        "report results.json -o results.json",
        "inspect clips.png -o clips.png",
        "cost face.toml --json face.toml",
        "cost fast --landmarks face.toml --json face.toml",
        "prepare film.mp4 new --json film.mp4",
        "prepare films new --json films/a.mp4",
        "prepare film.mp4 clips --json clips/manifest.jsonl",
        "export --landmarks run --renderer run -o run",
        "train landmarks landmarks --data clips --out clips",
        "train renderer fast --data clips --out run --start run",
        "train sync sync --data clips --out clips",
    ],
)
def test_no_verb_replaces_what_it_works_on(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = "film.mp4 chain.pem key.pem films/a.mp4 made/a.mp4 clips/manifest.jsonl clips.png/manifest.jsonl"
    for name in (*names.split(), "run/config.json", "run/landmarks.json", "results.json", "face.toml"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    before = sorted(tmp_path.rglob("*"))
    assert cli.main([*words.split(), *([] if "train" in words else ["--overwrite"])]) == 2
    assert "would be replaced by its own result" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_two_results_need_two_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["--json", "a.json", "--latex", "./a.json"], ["--markdown", "strips", "--strips", "strips"]):
        assert cli.main(["evaluate", "clips", *words]) == 2
        assert "would be written more than once" in capsys.readouterr().err


def test_results_go_beside_what_they_are_made_of(tmp_path: Path) -> None:
    (tmp_path / "figures.json").touch()
    files = [tmp_path / "figures.json", None]
    refuse_outputs(files, True, inputs=[tmp_path, "fast", None], folder=tmp_path / "strips")
    with pytest.raises(errors.UsageError, match="--overwrite"):
        refuse_outputs(files, False, inputs=[tmp_path])


def test_a_name_may_be_as_long_as_a_name_can_be(tmp_path: Path) -> None:
    with write_whole(tmp_path / f"{'n' * 250}.json") as beside:
        assert beside.suffix == ".json"
        beside.touch()
    with write_whole_folder(tmp_path / ("n" * 255)) as folder:
        (folder / "a").touch()
    assert sorted(len(path.name) for path in tmp_path.iterdir()) == [255, 255]


def test_an_error_leaves_the_old_result(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")

    def fail() -> None:
        with write_whole(path) as beside:
            beside.write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [file.name for file in tmp_path.iterdir()] == ["out.txt"]
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    "words", ["sign none.mp4 -o out.mp4 --certificate chain.pem --key key.pem", "report none.json -o page.html"]
)
def test_a_missing_input_is_named_first(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words.split()) == 3
    assert "does not exist; check the path" in capsys.readouterr().err
