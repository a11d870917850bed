"""The help as text for a reader."""

from __future__ import annotations

import pytest

from lipsmith import cli


def test_the_list_of_verbs_fits_a_narrow_terminal() -> None:
    assert max(map(len, cli.help_text().splitlines())) <= 80
    assert cli.help_text("train").startswith("usage: lipsmith train ...\n\n  train landmarks")


def test_lines_of_help_are_broken_where_they_are_full(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for _ in range(2):  # the options of a verb stay in place for the next command of the process
        assert cli.main(["dub", "--help"]) == 0
        lines = [line.strip("│ ") for line in capsys.readouterr().out.splitlines()]
        assert "in --speech 1=anna.wav --speech 2=ben.wav; or a CSV file" in lines
