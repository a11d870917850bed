"""What `lipsmith dub` says about its words."""

from __future__ import annotations

import pytest

from lipsmith import cli

HINT = "The path of the result goes after -o"


def test_a_result_without_its_option_is_told_where_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dub", "film.mp4", "speech.wav", "out.mp4"]) == 2
    assert HINT in capsys.readouterr().err
    assert cli.main(["dub", "film.mp4", "speech.wav", "more.mp4", "-o", "out.mp4"]) == 2
    assert HINT not in capsys.readouterr().err
    assert cli.main(["batch", "jobs.csv", "--on", "cloud"]) == 2
    assert HINT not in capsys.readouterr().err
    assert cli.main(["dub", "--help"]) == 0
    assert HINT not in capsys.readouterr().err


@pytest.mark.parametrize("words", [["panel.mp4", "--list-faces"], ["--pairs", "jobs.csv"]])
def test_without_a_result_there_is_no_such_hint(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dub", *words, "--unknown"]) == 2
    assert HINT not in capsys.readouterr().err
