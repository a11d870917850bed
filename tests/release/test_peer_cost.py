"""Costs of the compared systems against the counts of their published code."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipsmith.cli import main
from lipsmith.cli.results import read_figures


def figures(tmp_path: Path, *words: str) -> dict[str, float]:
    path = tmp_path / "cost.json"
    assert main(["cost", *words, "--json", str(path)]) == 0
    return read_figures(path).figures


def test_wav2lip_has_the_published_size(tmp_path: Path) -> None:
    found = figures(tmp_path, "wav2lip")
    assert found["render.params"] == pytest.approx(36.30e6, rel=0.02)
    assert found["render.gmac"] == pytest.approx(3.967, rel=0.02)


def test_iplap_has_the_published_size(tmp_path: Path) -> None:
    found = figures(tmp_path, "iplap")
    assert found["flow.params"] == pytest.approx(8.146e6, rel=0.02)
    assert found["translation.params"] == pytest.approx(10.817e6, rel=0.02)
    assert found["render.params"] == pytest.approx(18.96e6, rel=0.02)
    assert found["landmarks.params"] == pytest.approx(13.72e6, rel=0.02)
    assert found["landmarks.gmac"] == pytest.approx(0.732, rel=0.02)
    for references, published in ((1, 94.6), (3, 182.1), (25, 1145.5)):
        assert found["translation.gmac"] + references * found["flow.gmac"] == pytest.approx(published, rel=0.02)
    assert found["render.gmac"] == pytest.approx(1145.5, rel=0.02)
    assert found["render_once.gmac"] < found["render.gmac"] / 2


@pytest.mark.parametrize("words", [("wav2lip", "--references", "5"), ("iplap", "--lips", "2")])
def test_a_number_that_a_system_lacks_is_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", *words]) == 2
    assert f"{words[1]}: the cost of {words[0]} does not depend on such a number" in capsys.readouterr().err
