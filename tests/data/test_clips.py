"""Prepared clips on disk: the manifest, loading, and errors."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipsmith.data import clips as dataset
from lipsmith.data.clips import ClipRecord
from lipsmith.data.prepare.store import ClipWriter
from lipsmith.errors import InputError

FRAMES = 12


def record(name: str = "a", split: str = "train", offset: float = 0.0) -> ClipRecord:
    return ClipRecord(f"{split}/ann/{name}", split, "ann", f"{name}.mp4", FRAMES, 25.0, FRAMES / 25, 1.0, offset)


@pytest.fixture
def stored(tmp_path: Path) -> ClipRecord:
    """Write a clip whose frames become brighter and whose mel counts steps, in tmp_path."""
    clip, random = record(), np.random.default_rng(0)
    with ClipWriter(tmp_path / clip.clip, 32, 25) as writer:
        for index in range(FRAMES):
            writer.write(np.full((32, 32, 3), (20 * index, 100, 200 - 10 * index), np.uint8))
        writer.commit(
            {
                "landmarks": random.random((FRAMES, 131, 2), np.float32),
                "mesh": random.random((FRAMES, 478, 2), np.float32).astype(np.float16),
                "transforms": np.tile(np.eye(2, 3, dtype=np.float32), (FRAMES, 1, 1)),
                "times": np.arange(FRAMES) / 25,
                "tracked": np.ones(FRAMES, bool),
                "mel": np.tile(np.linspace(-4, 4, 39, dtype=np.float16), (80, 1)),
            }
        )
    dataset.write_manifest(tmp_path, [clip])
    return clip


def test_a_stored_clip_is_loaded_unchanged(tmp_path: Path, stored: ClipRecord) -> None:
    clip = dataset.load_clip(tmp_path, stored)
    assert clip.images is not None
    assert clip.images.shape == (FRAMES, 32, 32, 3)
    colors = clip.images.mean((1, 2))
    assert colors == pytest.approx(np.array([[20 * i, 100, 200 - 10 * i] for i in range(FRAMES)]), abs=4)
    assert clip.mel.dtype == np.float32
    assert clip.times == pytest.approx(np.arange(FRAMES) / 25)
    assert dataset.load_mesh(tmp_path, stored).shape == (FRAMES, 478, 2)
    assert dataset.load_clip(tmp_path, stored, images=False).images is None


def test_a_known_offset_is_corrected(tmp_path: Path, stored: ClipRecord) -> None:
    """Speech that lags by 0.1 s is 8 steps of mel late."""
    plain = dataset.load_clip(tmp_path, stored, images=False).mel
    late = dataset.load_clip(tmp_path, replace(stored, offset=0.1), images=False).mel
    assert np.array_equal(late[:, :-8], plain[:, 8:])
    assert (late[:, -8:] == -4).all()


@given(st.floats(-0.4, 0.4))
def test_shifting_mel_back_and_forth_keeps_its_middle(seconds: float) -> None:
    mel = np.random.default_rng(0).uniform(-4, 4, (80, 100)).astype(np.float32)
    back = dataset.shift_mel(dataset.shift_mel(mel, seconds), -seconds)
    steps = abs(round(seconds * 80))
    assert np.array_equal(back[:, steps : 100 - steps], mel[:, steps : 100 - steps])


def test_mel_shifted_beyond_its_length_is_silent() -> None:
    mel = np.ones((80, 10), np.float32)
    for seconds in (1.0, -1.0):
        assert (dataset.shift_mel(mel, seconds) == -4).all()


def test_the_manifest_is_read_as_written(tmp_path: Path) -> None:
    records = [record("a"), record("b", "val", 0.04)]
    dataset.write_manifest(tmp_path, records)
    assert dataset.read_manifest(tmp_path) == records
    assert dataset.read_manifest(tmp_path, "val") == records[1:]
    assert [path.name for path in tmp_path.iterdir()] == [dataset.MANIFEST]


def test_a_truncated_line_is_skipped(tmp_path: Path) -> None:
    dataset.write_manifest(tmp_path, [record("a")])
    with (tmp_path / dataset.MANIFEST).open("a") as manifest:
        manifest.write(json.dumps(asdict(record("b")))[:70])
    assert dataset.read_manifest(tmp_path) == [record("a")]


def test_a_manifest_that_is_no_text_has_no_clips(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no prepared clips here"):
        dataset.read_manifest(tmp_path)
    (tmp_path / "film.mp4").touch()
    with pytest.raises(InputError, match="is a file; give a folder"):
        dataset.read_manifest(tmp_path / "film.mp4")


def test_fields_of_later_versions_are_ignored(tmp_path: Path) -> None:
    (tmp_path / dataset.MANIFEST).write_text(json.dumps(asdict(record("a")) | {"mood": "good"}) + "\n")
    assert dataset.read_manifest(tmp_path) == [record("a")]


def changed(**values: object) -> str:
    return json.dumps(asdict(record("a")) | values)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("17", "line 1: "),
        ("[]", "line 1: "),
        ('{"clip": "train/ann/a"}', "line 1: split is missing"),
        (changed(frames="many"), "line 1: frames = 'many' should be a valid integer"),
        (changed(frames=0), "line 1: frames = 0 is below 1"),
        (changed(clip="../ann/a"), r"line 1: clip = '\.\./ann/a' does not lie below the prepared folder"),
        (changed(clip="/ann/a"), "line 1: clip = '/ann/a' does not lie below the prepared folder"),
    ],
)
def test_an_invalid_line_of_the_manifest_is_named(tmp_path: Path, line: str, sentence: str) -> None:
    (tmp_path / dataset.MANIFEST).write_text(line + "\n")
    with pytest.raises(InputError, match=sentence) as error:
        dataset.read_manifest(tmp_path)
    assert str(error.value).endswith("; delete this line and prepare again.")
    assert "\n" not in str(error.value)


def test_a_folder_without_clips_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lipsmith prepare"):
        dataset.read_manifest(tmp_path)


def test_a_missing_split_and_an_unprepared_folder_give_different_errors(tmp_path: Path) -> None:
    """Preparing again would not add the split: splits come from the folders of the footage."""
    dataset.write_manifest(tmp_path, [record("a"), record("b", "val")])
    with pytest.raises(
        InputError, match=r"split 'test', only of train, val; use one of these, or .* train, val and test"
    ) as error:
        dataset.read_manifest(tmp_path, "test")
    assert "lipsmith prepare" not in str(error.value)
    with pytest.raises(InputError, match="split 'test'"):
        dataset.read_manifest(tmp_path, "val", "test")


def test_clips_are_read_in_the_same_order_whichever_was_finished_first(tmp_path: Path) -> None:
    first, second, third = record("a"), record("b"), record("a", "val")
    for order in ([second, third, first], [third, first, second]):
        dataset.write_manifest(tmp_path, order)
        assert dataset.read_manifest(tmp_path) == [first, second, third]
        assert dataset.read_manifest(tmp_path, "val", "train") == [first, second, third]


def test_a_clip_that_is_listed_twice_counts_once(tmp_path: Path) -> None:
    dataset.write_manifest(tmp_path, [record("a"), record("b"), record("a", offset=0.04)])
    assert dataset.read_manifest(tmp_path) == [record("a", offset=0.04), record("b")]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("landmarks", np.zeros((FRAMES - 1, 131, 2), np.float32)),
        ("landmarks", np.full((FRAMES, 131, 2), np.nan, np.float32)),
        ("transforms", np.zeros((FRAMES, 3, 3), np.float32)),
        ("times", np.array(["x"] * FRAMES)),
        ("tracked", np.zeros(FRAMES)),
        ("mel", np.float16(1)),
        ("mel", np.zeros((80, 0), np.float16)),
        ("mel", np.full((80, 39), np.inf, np.float16)),
    ],
)
def test_arrays_that_do_not_fit_the_clip_are_an_input_error(
    tmp_path: Path, stored: ClipRecord, name: str, array: NDArray[Any]
) -> None:
    path = tmp_path / f"{stored.clip}.npz"
    np.savez(path, **{**np.load(path), name: array})
    with pytest.raises(InputError, match="prepare again"):
        dataset.load_clip(tmp_path, stored)


@pytest.mark.parametrize("ending", ["mp4", "npz"])
def test_a_missing_file_is_not_asked_to_be_deleted(tmp_path: Path, stored: ClipRecord, ending: str) -> None:
    path = tmp_path / f"{stored.clip}.{ending}"
    path.unlink()
    with pytest.raises(InputError, match=f"{path.name}: missing, though the manifest lists it; prepare again"):
        dataset.load_clip(tmp_path, stored)


@pytest.mark.parametrize("damage", ["empty", "cut", "scrambled", "text"])
def test_damaged_geometry_is_an_input_error(tmp_path: Path, stored: ClipRecord, damage: str) -> None:
    path = tmp_path / f"{stored.clip}.npz"
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "empty": b"",
            "cut": content[:middle],
            "scrambled": content[:200] + bytes(byte ^ 255 for byte in content[200:-2000]) + content[-2000:],
            "text": b"not an archive",
        }[damage]
    )
    for load in (dataset.load_clip, dataset.load_mesh):
        with pytest.raises(InputError, match="prepare again"):
            load(tmp_path, stored)


@pytest.mark.parametrize("size", [0, 500])
def test_a_damaged_film_is_an_input_error(tmp_path: Path, stored: ClipRecord, size: int) -> None:
    path = tmp_path / f"{stored.clip}.mp4"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match="prepare again"):
        dataset.load_clip(tmp_path, stored)


def test_a_film_shorter_than_its_record_is_an_input_error(tmp_path: Path, stored: ClipRecord) -> None:
    with pytest.raises(InputError, match=f"ends after {FRAMES} of {FRAMES + 1}"):
        dataset.read_crops(tmp_path / f"{stored.clip}.mp4", FRAMES + 1)
