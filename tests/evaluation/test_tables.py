"""Tables as Markdown and LaTeX."""

from __future__ import annotations

from lipsmith.cli.evaluate import title_of
from lipsmith.evaluation.tables import make_table


def test_tables_mark_the_best_and_missing_figures() -> None:
    found = {"real": {"lse_d": 0.5}, "copy": {"psnr": 27.0, "lip_lmd": 2.0}, "ours_1": {"psnr": 30.0, "lse_d": 0.7}}
    table = make_table("T", found, {"ours_1": {"psnr": (29.0, 31.0)}})
    assert table.header == ("", "PSNR ↑", "LipLMD ↓", "LSE-D ↓")
    assert table.body[2] == ("ours_1", "30.00 ±1.00", "n/a", "0.700")
    assert "**30.00 ±1.00**" in table.markdown()
    assert "**27.00**" not in table.markdown()
    assert r"ours\_1 & \textbf{30.00 $\pm$1.00}" in table.latex()


def test_special_characters_in_names_are_escaped() -> None:
    table = make_table("T", {"a|b & #1": {"psnr": 30.0}})
    assert r"| a\|b & #1 | 30.00 |" in table.markdown()
    assert r"a|b \& \#1 & 30.00" in table.latex()


def test_a_title_says_what_was_measured_and_on_how_much() -> None:
    """Two tables of other sides or samples would otherwise look alike in a paper."""
    settings = {
        "table": 1,
        "protocol": "strict",
        "split": "val test",
        "landmarks": "true",
        "sample": "3 clips of 2 people",
    }
    what = "Systems and ablations: protocol strict, split val and test, true landmarks"
    assert title_of({**settings, "side": 256}) == f"{what}, 256 pixels, 3 clips of 2 people"
    assert title_of({**settings, "side": None}) == f"{what}, 3 clips of 2 people"
