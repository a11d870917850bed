"""Names with line breaks and control characters: messages keep to one line, and nothing but text reaches a terminal."""

from __future__ import annotations

import errno
import io
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lipsmith import cli
from lipsmith.cli import console
from lipsmith.cli.failures import explain
from lipsmith.errors import InputError

NAME = "a\nb\r\x1b[31mred\x07\x9b\u2028.mp4"
SHOWN = NAME.translate(dict.fromkeys(map(ord, "\n\r\x1b\x07\x9b\u2028"), "\N{REPLACEMENT CHARACTER}"))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Pieces(io.StringIO):
    """A stream that keeps each piece that is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return len(text)


def test_a_message_about_a_name_with_line_breaks_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dub", NAME, "words.wav", "-o", "out.mp4"]) == 3
    assert capsys.readouterr().err == f"lipsmith: {SHOWN} does not exist; check the path.\n"


def test_an_unexpected_error_of_several_lines_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(RuntimeError("first line\n  second line"), verbose=False) == 1
    assert capsys.readouterr().err.startswith("lipsmith: Unexpected RuntimeError: first line second line; run")


def test_a_traceback_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(InputError(f"{NAME} is empty."), verbose=True) == 3
    said = capsys.readouterr().err
    assert said.count(f"{SHOWN[2:]} is empty.") == 2
    assert said.startswith("lipsmith.errors.InputError: a\n")
    assert "\x1b" not in said


def test_a_traceback_in_the_log_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    with console.log_lines(console.Common()):
        try:
            raise InputError(f"{NAME} is empty.")
        except InputError:
            logging.getLogger("lipsmith.tests").exception("failed")
    said = capsys.readouterr().err
    assert said.startswith("failed\nTraceback (most recent call last):\n")
    assert f"{SHOWN[2:]} is empty." in said
    assert "\x1b" not in said


@pytest.mark.parametrize("words", [("--tail", NAME), (f"--{NAME}",), ("c.wav", NAME)])
def test_a_refused_word_is_harmless(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dub", "a.mp4", "b.wav", "-o", "out.mp4", *words]) == 2
    said = capsys.readouterr().err
    assert "For full helptext, run lipsmith dub --help" in said
    assert "red" in said
    assert not {"\x1b", "\x07", "\x9b"} & set(said)


def test_progress_of_a_name_with_line_breaks_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with console.log_lines(console.Common()), console.progress(f"{NAME}: dubbing") as advance:
        advance(1, 1)
    assert capsys.readouterr().err == f"{SHOWN}: dubbing: 1 of 1 (100 %)\n"


def test_lines_are_written_whole_so_that_those_of_other_threads_do_not_divide_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = Pieces()
    monkeypatch.setattr(sys, "stderr", stream)
    with console.log_lines(console.Common()), console.progress("dubbing") as advance:
        advance(1, 1)
    explain(InputError("film.mp4 is empty."), verbose=False)
    assert [piece for piece in stream.pieces if piece] == [
        "dubbing: 1 of 1 (100 %)\n",
        "lipsmith: film.mp4 is empty.\n",
    ]


def test_work_goes_on_if_nobody_can_read_its_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str, /) -> int:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(sys, "stderr", Gone())
    with console.log_lines(console.Common()), console.progress("dubbing") as advance:
        advance(1, 1)


def test_a_table_shows_a_name_with_line_breaks_in_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(f"Judge: {NAME[:1]}\x1b", ("item",), [(NAME,)], sys.stdout)
    assert capsys.readouterr().out.splitlines() == ["Judge: a\N{REPLACEMENT CHARACTER}", "item", SHOWN]


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_long_title_is_not_folded_to_the_width_of_its_table(stream: Callable[[], io.StringIO]) -> None:
    console.table("Clips by audio delay (judge: sync)", ("a",), [(1,)], file := stream())
    assert "Clips by audio delay (judge: sync)" in file.getvalue()


def test_the_path_of_a_result_is_exact_for_scripts_and_harmless_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    console.result(Path(NAME))
    assert capsys.readouterr().out == f"{NAME}\n"
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    console.result(Path(NAME))
    assert terminal.getvalue() == f"{SHOWN}\n"
