"""Footage to prepared clips: results, skipped footage with the reason, and continuing an interrupted run."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import perilous
from lipsmith.data.clips import ClipRecord, load_clip, load_mesh, read_manifest
from lipsmith.data.prepare import LEFT_OUT, Summary, prepare, workers
from lipsmith.data.prepare.journal import FAILED
from lipsmith.data.prepare.layouts import Job
from lipsmith.errors import InputError, UsageError
from lipsmith.face import crop
from lipsmith.face.landmarks import select
from lipsmith.files import LOCKS
from lipsmith.media import VideoWriter
from lipsmith.media.sound import sound_of
from lipsmith.speech.mel import mel_spectrogram
from synthetic import STILL, face_at, large_face_enters, make_film, speech
from video_samples import film, pictures

COMMAND = (sys.executable, "-m", "lipsmith", "prepare")
QUARTER_TURN = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]


def one(source: Path, root: Path) -> Summary:
    return prepare([source], root, side=64, workers=1)


def files(root: Path) -> dict[str, int]:
    """Return every file below `root` with its modification time."""
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def faces(seconds: float, size: tuple[int, int] = (320, 320)) -> list[NDArray[np.uint8]]:
    return [face_at(index / 25, size) for index in range(round(seconds * 25))]


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of one second of a face that does not move, with speech."""
    folder = tmp_path_factory.mktemp("footage") / "train"
    folder.mkdir()
    return make_film(folder / "ann_1.mp4", 1.0, motion=STILL, audio=speech(1.0))


@pytest.fixture(scope="module")
def prepared(still: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ClipRecord]:
    root = tmp_path_factory.mktemp("prepared")
    (record,) = one(still, root).records
    return root, record


def test_a_film_becomes_a_clip(still: Path, prepared: tuple[Path, ClipRecord]) -> None:
    root, record = prepared
    assert record == ClipRecord("train/ann/ann_1", "train", "ann", str(still), 25, 25.0, 1.0, 1.0, start=0.0, first=0)
    assert read_manifest(root) == [record]
    clip = load_clip(root, record)
    assert clip.images is not None
    assert clip.images.shape == (25, 64, 64, 3)
    assert clip.landmarks.shape == (25, 131, 2)
    assert clip.times == pytest.approx(np.arange(25) / 25, abs=1e-4)
    assert clip.tracked.all()
    assert set(files(root)) == {"manifest.jsonl", "train/ann/ann_1.mp4", "train/ann/ann_1.npz"}


def test_crops_of_a_still_face_do_not_move(prepared: tuple[Path, ClipRecord]) -> None:
    """The tolerance is a tenth of a source pixel, anywhere in the crop."""
    root, record = prepared
    transforms = load_clip(root, record, images=False).transforms
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    places = crop.apply(crop.invert(transforms), corners[None])
    assert np.ptp(places, axis=0).max() < 0.1


def test_points_pictures_and_speech_are_aligned(still: Path, prepared: tuple[Path, ClipRecord]) -> None:
    root, record = prepared
    clip = load_clip(root, record)
    assert select(load_mesh(root, record)) == pytest.approx(clip.landmarks, abs=2e-3)
    expected = crop.crop_image(face_at(0.4, motion=STILL), clip.transforms[10], 64)
    assert clip.images is not None
    assert np.abs(clip.images[10].astype(float) - expected).mean() < 3
    mel = mel_spectrogram(speech(1.0))
    assert clip.mel.shape == mel.shape
    assert np.abs(clip.mel - mel).mean() < 0.25  # the film's sound is AAC


def test_two_shots_become_two_independent_clips(tmp_path: Path) -> None:
    first = [face_at(0, motion=STILL)] * 20
    second = [np.ascontiguousarray(255 - (255 - face_at(0, motion=STILL)[:260, 300:40:-1]) // 2)] * 20
    images = [np.pad(image, [(0, 320 - len(image)), (0, 320 - image.shape[1]), (0, 0)]) for image in (*first, *second)]
    source = film(tmp_path / "two.mp4", images, audio=speech(1.6))
    records = one(source, tmp_path / "out").records
    assert [(record.clip, record.frames) for record in records] == [("train/two/two", 20), ("train/two/two+2", 20)]
    for record in records:
        clip = load_clip(tmp_path / "out", record, images=False)
        assert clip.times[0] == 0
        assert clip.mel.shape == (80, 65)
        # Smoothing across the cut would bend the transforms beside it.
        assert np.ptp(clip.transforms[:, 0, 0]) < 0.01 * clip.transforms[0, 0, 0]
    whole = mel_spectrogram(speech(1.6)).astype(float)
    later = load_clip(tmp_path / "out", records[1], images=False).mel
    assert np.abs(later[:, 4:60] - whole[:, 64 + 4 : 64 + 60]).mean() < 0.25


def test_the_main_face_is_prepared_even_if_it_appears_last(tmp_path: Path) -> None:
    """The same rule applies in dubbing and scoring."""
    source = film(tmp_path / "film.mp4", large_face_enters(), audio=speech(1.6))
    (record,) = one(source, tmp_path / "out").records
    assert record.frames < 40
    side = 1 / load_clip(tmp_path / "out", record, images=False).transforms[:, 0, 0]
    assert side.min() > 100


def test_a_film_that_cannot_be_read_twice_is_skipped(
    still: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crops come from a second reading; frames missing there must be reported."""
    monkeypatch.setattr("lipsmith.data.prepare.clip.crop_frames", lambda frames, stretch, size: iter(()))
    with pytest.raises(InputError, match=r"ann_1\.mp4: the second reading found no frame at 0\.00 s"):
        one(still, tmp_path)
    assert set(files(tmp_path)) == {LEFT_OUT}


def test_a_second_run_does_nothing(still: Path, prepared: tuple[Path, ClipRecord]) -> None:
    root, record = prepared
    before = {name: at for name, at in files(root).items() if name != "manifest.jsonl"}
    summary = one(still, root)
    assert (summary.fresh, summary.records, summary.left_out) == ([], [record], {})
    assert {name: at for name, at in files(root).items() if name != "manifest.jsonl"} == before


def test_a_killed_run_continues(still: Path, tmp_path: Path) -> None:
    """Simulates a kill between two films while writing: partial files and a truncated line of the manifest."""
    one(still, tmp_path / "out")
    other = tmp_path / "bob.mp4"
    other.write_bytes(still.read_bytes())
    root = tmp_path / "out"
    before = files(root)["train/ann/ann_1.npz"]
    (root / "train/bob").mkdir()
    (root / "train/bob/.bob.mp4.partial").write_bytes(b"half")
    (root / "train/ann/.ann_1.npz.partial").write_bytes(b"half")
    with (root / "manifest.jsonl").open("a") as manifest:
        manifest.write('{"clip": "train/bob/bob", "spl')
    summary = prepare([still, other], root, side=64, workers=1)
    assert [record.clip for record in summary.fresh] == ["train/bob/bob"]
    assert [record.clip for record in read_manifest(root)] == ["train/ann/ann_1", "train/bob/bob"]
    assert files(root)["train/ann/ann_1.npz"] == before
    assert not [name for name in files(root) if "partial" in name]


def test_a_deleted_clip_is_prepared_again(still: Path, tmp_path: Path) -> None:
    one(still, tmp_path)
    (tmp_path / "train/ann/ann_1.npz").unlink()
    assert len(one(still, tmp_path).fresh) == 1
    assert len(read_manifest(tmp_path)) == 1


def test_a_second_film_of_the_same_name_does_not_replace_the_first(still: Path, tmp_path: Path) -> None:
    one(still, tmp_path / "out")
    (tmp_path / "train").mkdir()
    (tmp_path / "train/ann_1.mp4").write_bytes(still.read_bytes())
    summary = one(tmp_path / "train/ann_1.mp4", tmp_path / "out")
    assert [record.clip for record in summary.records] == ["train/ann/ann_1", "train/ann/ann_1~2"]


@pytest.mark.skipif(not LOCKS, reason="this system locks no files")
def test_two_runs_cannot_share_a_folder(still: Path, tmp_path: Path) -> None:
    """They would remove each other's partial files and lose lines of the manifest."""
    refused: list[str] = []

    def meanwhile(done: int, total: int) -> None:
        with pytest.raises(UsageError, match="Another run") as error:
            one(still, tmp_path)
        refused.append(str(error.value))

    prepare([still], tmp_path, side=64, workers=1, progress=meanwhile)
    assert refused
    assert len(one(still, tmp_path).records) == 1


def test_names_of_the_maximum_length_work(still: Path, tmp_path: Path) -> None:
    source = tmp_path / ("ф" * 125 + ".mp4")
    source.write_bytes(still.read_bytes())
    (record,) = one(source, tmp_path / "out").records
    assert load_clip(tmp_path / "out", record).record.identity == source.stem


def test_sound_with_channels_in_opposite_phase_is_not_silent(tmp_path: Path) -> None:
    """As in dubbing. The mean of the channels is silence."""
    wave = speech(0.6)
    sound = sound_of(np.stack([wave, -wave]), 16000)
    with VideoWriter(tmp_path / "film.mp4", 320, 320, 25, sound=sound) as writer:
        for image in faces(0.6):
            writer.write(image)
    (record,) = one(tmp_path / "film.mp4", tmp_path / "out").records
    heard = load_clip(tmp_path / "out", record, images=False).mel
    assert np.abs(heard - mel_spectrogram(wave)[:, : heard.shape[1]]).mean() < 0.3


def test_crops_of_another_size_are_refused(still: Path, prepared: tuple[Path, ClipRecord]) -> None:
    with pytest.raises(UsageError, match="a side of 64"):
        prepare([still], prepared[0], side=96, workers=1)


def test_a_skipped_film_is_tried_again_after_it_changes(still: Path, tmp_path: Path) -> None:
    source = tmp_path / "film.mp4"
    source.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(InputError, match=r"film\.mp4"):
            one(source, tmp_path / "out")
    assert set(files(tmp_path / "out")) == {LEFT_OUT}
    assert len((tmp_path / "out" / LEFT_OUT).read_text().splitlines()) == 1
    source.write_bytes(still.read_bytes())
    assert one(source, tmp_path / "out").left_out == {}


def test_a_film_that_failed_from_a_system_error_is_tried_again(
    still: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, other = tmp_path / "out", tmp_path / "other.mp4"
    other.write_bytes(still.read_bytes())

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("lipsmith.data.prepare.clip.prepare_clip", fail)
        with pytest.raises(InputError, match=r"ann_1\.mp4: OSError.*Input/output"):
            one(still, root)
        with pytest.raises(InputError, match=r"None of 2 sources .*ann_1\.mp4: OSError.*Input/output"):
            prepare([still, other], root, side=64, workers=1)
    assert "Input/output" in (root / LEFT_OUT).read_text()
    summary = one(still, root)
    assert (len(summary.fresh), summary.left_out) == (1, {})
    assert not (root / LEFT_OUT).exists()


def test_there_are_no_more_workers_than_available_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler may assign only a part of the machine, without memory for a worker on every core."""
    counts: list[int] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(workers, "_side_by_side", lambda tasks, count: iter(counts.append(count) or ()))
    assert list(workers.outcomes([], Path(), 64, None)) == []
    assert counts == [3]


@pytest.mark.timeout(120)
def test_a_clip_that_crashes_its_worker_does_not_affect_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_run", perilous.run)
    names = ["good_1", "deadly", "good_2", "deadly_once", "good_3", "good_4"]
    found = list(workers.outcomes([Job(tmp_path / name, "train", "ann", name) for name in names], tmp_path, 64, 2))
    assert sorted(Path(outcome.source).name for outcome in found) == sorted(names)
    (failed,) = [outcome for outcome in found if outcome.reason == FAILED]
    assert failed.detail.startswith(f"{tmp_path / 'deadly'}: preparing it crashed its process twice")


@pytest.mark.timeout(120)
def test_workers_end_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_run", perilous.run)
    jobs = [Job(tmp_path / name, "train", "ann", name) for name in ("endless", "good")]
    found = workers.outcomes(jobs, tmp_path, 64, 2)
    assert Path(next(found).source).name == "good"
    found.close()
    assert multiprocessing.active_children() == []


@pytest.fixture(scope="module")
def mixed(still: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of usable and unusable footage."""
    folder = tmp_path_factory.mktemp("mixed")
    whole = still.read_bytes()
    (folder / "damaged.mp4").write_bytes(whole[:1000] + bytes(len(whole) - 1000))
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("no film at all\n" * 100)
    film(folder / "mute.mp4", faces(0.6))
    film(folder / "silent.mp4", faces(0.6), audio=np.zeros(9600, np.float32))
    film(folder / "faceless.mp4", pictures(20, 320, 320), audio=speech(0.8))
    film(folder / "single.mp4", faces(0.04), audio=speech(1))
    film(folder / "slow.mp4", faces(0.12), 1, audio=speech(0.6))  # the sound ends before the first frame does
    beside = [np.concatenate([image, image[:, ::-1]], 1) for image in faces(0.6)]
    film(folder / "couple.mp4", beside, audio=speech(0.6))
    turned = [np.ascontiguousarray(np.rot90(image)) for image in faces(0.6, (320, 240))]
    film(folder / "rotated.mp4", turned, matrix=QUARTER_TURN, audio=speech(0.6))
    film(folder / "large.mp4", [face_at(0, (3840, 2160))] * 15, audio=speech(0.6), options={"preset": "ultrafast"})
    return folder


REASONS = {
    "damaged": "unreadable",
    "truncated": "unreadable",
    "empty": "unreadable",
    "text": "unreadable",
    "mute": "no speech",
    "silent": "no speech",
    "faceless": "no face",
    "single": "too short",
    "slow": "no speech",
    "couple": "several faces",
}


def test_unusable_footage_is_skipped_with_the_reason(mixed: Path, tmp_path: Path) -> None:
    out, figures = tmp_path / "out", tmp_path / "figures.json"
    done = subprocess.run(
        [*COMMAND, mixed, out, "--side", "64", "--workers", "2", "--json", figures], capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == f"{out}\n{figures}\n"
    lines = [json.loads(line) for line in (out / LEFT_OUT).read_text().splitlines()]
    assert {Path(source).stem: reason for source, reason, *_ in lines} == REASONS
    for name, reason in REASONS.items():
        assert any(f"{name}.mp4" in line and reason in line for line in done.stderr.splitlines())
    assert f"{len(REASONS)} of {len(REASONS) + 2} failed" in done.stderr
    assert "Traceback" not in done.stderr
    whole = {f"train/{name}/{name}{ending}" for name in ("large", "rotated") for ending in (".mp4", ".npz")}
    assert set(files(out)) == whole | {"manifest.jsonl", LEFT_OUT}
    assert sorted(path.name for path in (out / "train").iterdir()) == ["large", "rotated"]
    written = json.loads(figures.read_text())["figures"]
    assert written["percent_with_face"] == 100
    assert written["fps"] == pytest.approx(written["frames"] / written["seconds"])
    upright = load_clip(out, next(record for record in read_manifest(out) if record.identity == "rotated")).landmarks
    assert upright[:, :74, 1].mean() < upright[:, 74:, 1].mean()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["{mixed}/text.mp4", "{out}"], 3, "text.mp4"),
        (["{mixed}/mute.mp4", "{mixed}/single.mp4", "{out}"], 3, "None of 2 sources could be prepared"),
        (["{out}/nowhere.mp4", "{out}"], 3, "nowhere.mp4 does not exist"),
        (["{mixed}"], 2, "lipsmith prepare SRC... DST"),
        (["{mixed}", "{mixed}/text.mp4"], 2, "is a file"),
        (["{mixed}", "{out}", "--side", "3"], 2, "--side 3"),
        (["{mixed}", "{out}", "--workers", "0"], 2, "--workers 0"),
    ],
)
def test_a_run_without_usable_footage_fails_with_one_sentence(
    words: list[str], code: int, said: str, mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lipsmith.cli import main

    out = tmp_path / "out"
    words = [word.format(mixed=mixed, out=out) for word in words]
    assert main(["prepare", *words, *(["--workers", "1"] if code == 3 else [])]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err.splitlines()[-1]
    assert not set(files(out)) - {LEFT_OUT}


def test_an_interrupted_run_leaves_no_partial_files(still: Path, tmp_path: Path) -> None:
    """As with Ctrl-C, the signal reaches the command and its workers."""
    make_film(tmp_path / "film.mp4", 10.0, motion=STILL, audio=speech(10.0))
    (tmp_path / "again.mp4").write_bytes((tmp_path / "film.mp4").read_bytes())
    words = [*COMMAND, still, tmp_path / "film.mp4", tmp_path / "again.mp4", tmp_path / "out", "--workers", "2"]
    run = subprocess.Popen([str(word) for word in words], stderr=subprocess.PIPE, text=True, start_new_session=True)
    waited = time.monotonic() + 60
    while not list((tmp_path / "out").rglob("*.npz")) and time.monotonic() < waited:
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130, said
    assert "Traceback" not in said
    left = set(files(tmp_path / "out"))
    assert left <= {"manifest.jsonl", "train/ann/ann_1.mp4", "train/ann/ann_1.npz"}
    assert "train/ann/ann_1.npz" in left


def test_workers_ignore_interrupts_while_they_start() -> None:
    with workers.processes(1) as pool:
        blocked = workers.submit(pool, signal.pthread_sigmask, signal.SIG_BLOCK, ()).result()
    assert signal.SIGINT in blocked
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.timeout(120)
def test_real_footage_is_prepared(clips: Path, tmp_path: Path) -> None:
    """One short clip of each of three people."""
    films = [sorted((clips / split).glob("*.mp4")) for split in ("train", "val", "test")]
    chosen = [min(some, key=lambda path: path.stat().st_size) for some in films]
    summary = prepare(chosen, tmp_path, workers=1)
    assert summary.left_out == {}
    assert {record.split for record in summary.records} == {"train", "val", "test"}
    assert min(record.tracked for record in summary.records) == 1
