"""Tables as Markdown and LaTeX."""

from __future__ import annotations

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
