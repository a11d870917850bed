"""The report's page: curves, and strips of films."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipsmith.cli import main
from lipsmith.cli.results import seen_from
from lipsmith.evaluation.report import nested, page, strip, write_strip

BLACK = np.zeros((1, 8, 8, 3), np.uint8)


def test_metrics_with_a_dot_of_their_own_belong_to_their_system() -> None:
    figures = {"psnr": 30.0, "face.psnr": 29.0, "copy.face.psnr": 25.0, "copy.obedience.slope": 0.5, "clips": 2.0}
    assert nested(figures, ["copy", "model"], "model") == {
        "copy": {"obedience.slope": 0.5, "face.psnr": 25.0},
        "model": {"psnr": 30.0, "face.psnr": 29.0},
    }
    assert nested({"real.psnr": 1.0, "psnr": 2.0}, ["real"], "") == {"real": {"psnr": 1.0}}


def test_unknown_curves_are_not_drawn() -> None:
    figures, settings = {"lse_d": 1.0}, {"systems": ["real", "generated"], "plain": "generated"}
    unheard: dict[str, Any] = {"clip": "a", "identity": "a", "curve": [None] * 31}
    rows = [{**unheard, "system": system} for system in settings["systems"]]
    assert "<svg" not in page(figures, settings, rows, Path())
    rows[1]["curve"] = [1.2] * 15 + [1.0] + [None] * 15
    text = page(figures, settings, rows, Path())
    assert text.count("<polyline") == 1
    assert "nan" not in text


def test_a_strip_has_a_row_for_every_system() -> None:
    real, dark = np.full((9, 16, 16, 3), 200, np.uint8), np.zeros((9, 16, 16, 3), np.uint8)
    rows = strip(real, {"a": dark, "b": real}).reshape(4, 16, 24 + 6 * 16, 3)
    assert [int(row[:, 24:].max()) for row in rows[:3]] == [200, 0, 200]
    assert (rows[3, :, 24:] == rows[3, 0, 24]).all()  # the last system has no error
    assert all(row[:, :24].min() < 255 for row in rows)  # its name
    assert len(strip(real, {"a": dark, "b": real}, is_truth=False)) == 3 * 16


def test_clips_with_similar_names_have_separate_strips(tmp_path: Path) -> None:
    names = ("a/b_c", "a_b/c", "a/b/c", "a.b/c.d")
    pictures = [np.full((1, 8, 8, 3), 40 * number, np.uint8) for number in range(len(names))]
    for name, picture in zip(names, pictures, strict=True):
        write_strip(tmp_path, name, picture, {})
    assert all((tmp_path / f"{name}.png").is_file() for name in names)
    settings = {"systems": ["generated"], "strips": str(tmp_path)}
    rows = [{"clip": name, "identity": name, "system": "generated", "psnr": 30.0} for name in names]
    assert page({"generated.psnr": 30.0}, settings, rows, tmp_path).count("data:image/png;base64,") == 3


@pytest.mark.parametrize(("count", "words"), [(1, ["Best"]), (2, ["Best", "Worst"]), (3, ["Best", "Median", "Worst"])])
def test_no_clip_is_shown_twice(tmp_path: Path, count: int, words: list[str]) -> None:
    rows = [{"clip": str(n), "identity": "a", "system": "generated", "psnr": 30.0 - n} for n in range(count)]
    for row in rows:
        write_strip(tmp_path, str(row["clip"]), BLACK, {})
    text = page({"generated.psnr": 30.0}, {"systems": ["generated"], "strips": str(tmp_path)}, rows, tmp_path)
    captions = [f"{word}: {n}, psnr {30 - n:.2f}" for word, n in zip(words, range(count), strict=True)]
    assert re.findall("<figcaption>([^<]*)", text) == captions


@pytest.mark.parametrize(("metric", "is_told"), [("psnr", True), ("lse_c", False)])
def test_an_error_is_told_of_where_the_strips_show_it(tmp_path: Path, metric: str, is_told: bool) -> None:
    write_strip(tmp_path, "a", BLACK, {})
    rows = [{"clip": "a", "identity": "a", "system": "generated", metric: 1.0}]
    text = page({}, {"systems": ["generated"], "strips": str(tmp_path)}, rows, tmp_path)
    assert f"chosen by {metric} of generated" in text
    assert ("absolute error" in text) is is_told


def test_results_and_strips_may_be_moved_together(tmp_path: Path) -> None:
    before = tmp_path / "before"
    write_strip(before / "strips", "a", BLACK, {})
    settings = {"systems": ["generated"], "strips": str(seen_from(before / "results.json", before / "strips"))}
    after = before.rename(tmp_path / "after")
    rows = [{"clip": "a", "identity": "a", "system": "generated", "psnr": 30.0}]
    assert "data:image/png;base64," in page({"generated.psnr": 30.0}, settings, rows, after)
    assert seen_from(tmp_path / "other" / "results.json", after / "strips") == (after / "strips").resolve()


def test_results_from_elsewhere_bring_no_picture_of_this_machine(tmp_path: Path) -> None:
    own, results = tmp_path / "own", tmp_path / "results"
    write_strip(own, "letter", BLACK, {})
    write_strip(results / "strips", "a", BLACK, {})
    for strips, clips in ((own, ["letter"]), (results / "strips", ["../../own/letter", "a"])):
        settings = {"systems": ["generated"], "strips": str(strips)}
        rows = [{"clip": clip, "identity": clip, "system": "generated", "psnr": 30.0} for clip in clips]
        text = page({"generated.psnr": 30.0}, settings, rows, results)
        assert "base64" not in text
        assert f"They are not beside the results, but in {strips}." in text


@pytest.mark.parametrize("name", ["r.txt", "r", "r.pdf"])
def test_a_page_of_another_type_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / "results.json").touch()
    assert main(["report", str(tmp_path / "results.json"), "-o", str(tmp_path / name)]) == 2
    assert "the name of the page must end in .html or .htm." in capsys.readouterr().err


def test_a_report_of_other_results_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"figures": {"val.l1_percent": 0.6}, "settings": {}, "rows": [{"clip": "a"}]}))
    assert main(["report", str(path), "-o", str(tmp_path / "x.html")]) == 3
    said = capsys.readouterr().err
    assert f"{path}: these are not results of" in said
    assert "`evaluate landmarks`" in said


@pytest.mark.parametrize("damage", [{"systems": 3}, {"about": None}, {"missing": [1]}])
def test_a_report_of_damaged_results_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: dict[str, object]
) -> None:
    settings = {"systems": ["real"]} | damage
    row = {"clip": "a", "identity": "ann", "system": "real", "frames": 3}
    (tmp_path / "a.json").write_text(json.dumps({"figures": {}, "settings": settings, "rows": [row]}))
    assert main(["report", str(tmp_path / "a.json"), "-o", str(tmp_path / "a.html")]) == 3
    assert "the results are damaged" in capsys.readouterr().err
    assert not (tmp_path / "a.html").exists()
