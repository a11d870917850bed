"""The contact sheet: selection of clips, drawing, and the command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lipsmith.cli import main
from lipsmith.cli.inspect import PICTURES
from lipsmith.data import contact_sheet as sheets
from lipsmith.data.clips import ClipRecord, load_clip, write_manifest
from lipsmith.data.contact_sheet import CURVE, FACE, GAP, LABEL
from lipsmith.data.prepare.store import ClipWriter
from lipsmith.errors import InputError
from lipsmith.face.landmarks import ranks

FRAMES = 20
TILE = (LABEL + FACE + CURVE, 2 * FACE)
OPEN_AT = 14


def record(identity: str, number: int = 1, split: str = "train") -> ClipRecord:
    clip = f"{split}/{identity}/{identity}_{number}"
    return ClipRecord(clip, split, identity, "film.mp4", FRAMES, 25.0, FRAMES / 25, 0.9)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of two people: red grows by 10 a frame, the mouth is open in frame 14 and, untracked, in frame 3."""
    root = tmp_path_factory.mktemp("prepared")
    records = [record("ann"), record("ann", 2), record("bob", split="test")]
    landmarks = np.full((FRAMES, 131, 2), 0.5, np.float32)
    landmarks[OPEN_AT, ranks((14,)), 1] = 0.6
    landmarks[3, ranks((14,)), 1] = 0.9
    for each in records:
        with ClipWriter(root / each.clip, 32, 25) as writer:
            for index in range(FRAMES):
                writer.write(np.full((32, 32, 3), (10 * index, 60, 60), np.uint8))
            writer.commit(
                {
                    "landmarks": landmarks,
                    "mesh": np.full((FRAMES, 478, 2), 0.25, np.float16),
                    "transforms": np.tile(np.eye(2, 3, dtype=np.float32), (FRAMES, 1, 1)),
                    "times": np.arange(FRAMES) / 25,
                    "tracked": np.arange(FRAMES) != 3,
                    "mel": np.full((80, 65), -4, np.float16),
                }
            )
    write_manifest(root, records)
    return root


def test_a_clip_of_each_person_comes_first() -> None:
    records = [record("a", 1), record("a", 2), record("a", 3), record("b", 1), record("c", 1), record("b", 2)]
    names = [each.clip.rpartition("/")[2] for each in sheets.choose(records, 5)]
    assert names == ["a_1", "b_1", "c_1", "a_2", "b_2"]
    assert len(sheets.choose(records, 50)) == 6


def test_people_are_chosen_at_even_distances() -> None:
    people = [record(f"p{number:02}") for number in range(60)]
    assert [each.identity for each in sheets.choose(people, 4)] == ["p00", "p15", "p30", "p45"]


def test_a_tile_shows_the_tracked_frame_with_the_widest_mouth(root: Path) -> None:
    tile = sheets.draw_tile(root, record("ann"))
    assert tile.shape == (*TILE, 3)
    bare, marked = tile[LABEL : LABEL + FACE, :FACE], tile[LABEL : LABEL + FACE, FACE:]
    assert bare.mean((0, 1)) == pytest.approx([10 * OPEN_AT, 60, 60], abs=4)
    changed = np.abs(marked.astype(int) - bare).max(-1) > 30
    rows, columns = changed.nonzero()
    places = {(round(x / FACE, 1), round(y / FACE, 1)) for x, y in zip(columns, rows, strict=True)}
    assert {(0.5, 0.5), (0.5, 0.6)} <= places, "the sketch"
    assert changed[round(0.25 * FACE) - 1, round(0.25 * FACE) - 1], "the mesh"
    assert not changed[:, : FACE // 5].any()


def test_the_curve_rises_with_the_mouth(root: Path) -> None:
    """Silence gives a black background; an opening of a tenth of the crop is half the height."""
    strip = sheets.draw_curve(load_clip(root, record("ann"), images=False), OPEN_AT)
    assert strip.shape == (CURVE, 2 * FACE, 3)
    white = strip.min(-1) > 120
    x = round(OPEN_AT / FRAMES * 2 * FACE)
    heights = np.where(white.any(0), CURVE - white.argmax(0), 0)
    assert heights[x - 3 : x + 4].max() == pytest.approx(CURVE / 2, abs=4)
    assert heights[x + 60] <= 4
    red = (strip[-3:, :, 0] > 200) & (strip[-3:, :, 2] < 120) & (strip[-3:, :, 1] < 120)
    assert np.flatnonzero(red.any(0)).mean() == pytest.approx(3 / FRAMES * 2 * FACE, abs=3)


def test_tiles_are_arranged_in_rows(root: Path) -> None:
    told: list[tuple[int, int]] = []
    sheet = sheets.contact_sheet(root, 24, progress=lambda done, total: told.append((done, total)))
    assert sheet.shape == (TILE[0] + 2 * GAP, 3 * (TILE[1] + GAP) + GAP, 3)
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert sheets.contact_sheet(root, split="test").shape[1] == TILE[1] + 2 * GAP


def test_a_long_name_leaves_room_for_the_figures(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr("cv2.putText", lambda image, text, *rest: written.append(text))
    sheets._label(replace(record("ann"), clip="train/" + "long" * 40 + "/Zoë_7"))
    assert written[0].startswith("...")
    assert written[0].endswith("Zo?_7  20 frames  90.0 % tracked")


def test_a_damaged_clip_is_named(root: Path) -> None:
    with pytest.raises(InputError, match="nobody"):
        sheets.draw_tile(root, record("nobody"))


def test_the_command_writes_a_picture_and_refuses_to_overwrite_it(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sheet.png"
    words = ["inspect", str(root), "-o", str(path), "--count", "2", "-q"]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{path}\n"
    picture = np.asarray(Image.open(path))
    assert np.array_equal(picture, sheets.contact_sheet(root, 2))
    assert main(words) == 2
    assert "set overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


@pytest.mark.parametrize("suffix", PICTURES)
def test_the_longest_sheet_fits_its_format(suffix: str) -> None:
    sheet = sheets._arranged([np.zeros((TILE[0], 2, 3), np.uint8)] * PICTURES[suffix])
    assert cv2.imencode(suffix, sheet)[0]


def test_a_failed_encoding_is_reported(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cv2, "imencode", lambda suffix, image: (False, None))
    assert main(["inspect", str(root), "-o", str(tmp_path / "a.webp"), "-q"]) == 1
    assert "a.webp could not be encoded" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-o", "{}/a.gif"], 2),
        (["-o", "{}/a.png", "--count", "0"], 2),
        (["-o", "{}/a.webp", "--count", "189"], 2),
        (["-o", "{}/a.png"], 3),
    ],
)
def test_invalid_requests_give_their_exit_code(words: list[str], code: int, tmp_path: Path) -> None:
    assert main(["inspect", str(tmp_path), *(word.format(tmp_path) for word in words)]) == code
    assert not list(tmp_path.iterdir())
