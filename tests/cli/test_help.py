"""The help as text for a reader."""

from __future__ import annotations

from lipsmith import cli


def test_the_list_of_verbs_fits_a_narrow_terminal() -> None:
    assert max(map(len, cli.help_text().splitlines())) <= 80
    assert cli.help_text("train").startswith("usage: lipsmith train ...\n\n  train landmarks")
