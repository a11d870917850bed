"""Offsets of prepared clips and films: found by landmarks or by the judge, and recorded in the manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from landmark_clips import LOUD, LoudStages, talking_clip
from lipsmith.cli import main
from lipsmith.data.clips import read_manifest
from lipsmith.data.prepare import prepare
from lipsmith.errors import InputError
from lipsmith.evaluation.films import Film, find_face, pieces
from lipsmith.evaluation.landmarks import make_trial
from lipsmith.evaluation.metrics.judge import FPS, OwnJudge, SpeechTrack, load_judge
from lipsmith.evaluation.metrics.lse import REACH, sync_accuracy, sync_figures
from lipsmith.evaluation.offsets import (
    choose_shifts,
    find_film_offset,
    find_judged_offsets,
    find_landmark_offsets,
    note_offsets,
    opening_agreement,
    shift_seconds,
)
from lipsmith.models.sync.syncnet import SyncNet, SyncNetConfig
from lipsmith.speech.mel import mel_spectrogram, read_audio
from sync_clips import write_clips
from synthetic import make_film, speech
from video_samples import with_empty_sound

SMALL = SyncNetConfig(height=16, width=32, mouth_widths=(4, 8), mel_widths=(4, 8), blocks=1, embedding=8)
ZERO = 20
"""Index of no shift among the 41."""


def ignore(done: int, total: int) -> None:
    """Ignore progress."""


@pytest.mark.parametrize("lag", [-0.2, -0.08, 0.0, 0.12, 0.2])
def test_correlation_is_highest_at_the_lag_of_the_sound(lag: float) -> None:
    agreed = opening_agreement(LoudStages(), make_trial(talking_clip(4, "a", frames=120, lag=lag), 4), 15)
    for curve in (agreed.whole, agreed.before, agreed.counted):
        assert curve.shape == (41,)
        assert curve.max() > 0.9
        assert shift_seconds(int(curve.argmax())) == pytest.approx(lag, abs=0.021)


def test_each_clips_lag_is_found(data: Path) -> None:
    found = find_landmark_offsets(LOUD, data, "val", ignore)
    seconds = {clip.split("/")[1]: value for clip, value in found.seconds.items()}
    assert seconds["early"] == pytest.approx(-0.16, abs=0.021)
    assert seconds["right"] == pytest.approx(0.0, abs=0.021)
    assert seconds["late"] == pytest.approx(0.12, abs=0.021)
    assert found.figures["shifted.opening_r"] > found.figures["opening_r"] + 0.1
    assert found.figures["clips"] == 3
    assert found.figures["moved"] >= 2
    assert [row["offset"] for row in found.rows] == list(found.seconds.values())


def test_found_offsets_are_recorded_and_not_found_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipsmith.training.landmarks.stages.load_generator", lambda *_: LOUD)
    words = ["evaluate", "landmarks", "loud", "--data", str(data), "--split", "val", "--write-offsets"]
    assert main(words) == 0
    again = find_landmark_offsets(LOUD, data, "val", ignore)
    assert max(abs(value) for value in again.seconds.values()) <= 0.02
    # Offsets add up: a second offset of 0.04 s is added to the first.
    before = {record.clip: record.offset for record in read_manifest(data)}
    clip = next(iter(before))
    note_offsets(data, {clip: 0.04})
    after = {record.clip: record.offset for record in read_manifest(data)}
    assert after.pop(clip) == pytest.approx(before.pop(clip) + 0.04)
    assert after == before


def peaked(index: int, height: float) -> NDArray[np.float64]:
    curve = np.full(41, 0.1)
    curve[index] = height
    return curve


def test_only_a_clear_optimum_of_a_long_clip_counts_alone() -> None:
    long = [make_trial(talking_clip(seed, name, frames=60), 4) for seed, name in enumerate("ab")]
    brief = make_trial(talking_clip(2, "c", frames=30), 4)
    trials = [*long, brief]
    assert choose_shifts(trials, [peaked(25, 0.9), peaked(25, 0.12), peaked(25, 0.12)]) == [25, ZERO, ZERO]


def test_a_short_clip_follows_its_identity() -> None:
    trials = [make_trial(talking_clip(seed, "a", frames=frames), 4) for seed, frames in enumerate((100, 100, 30))]
    assert choose_shifts(trials, [peaked(25, 0.9), peaked(25, 0.8), peaked(3, 0.9)]) == [25, 25, 25]


def test_a_long_clip_follows_its_identity_unless_its_own_optimum_is_clear() -> None:
    trials = [make_trial(talking_clip(seed, "a", frames=100), 4) for seed in range(4)]
    curves = [peaked(25, 0.9), peaked(25, 0.8), peaked(3, 0.9), peaked(3, 0.45)]
    assert choose_shifts(trials, curves) == [25, 25, 3, 25]


def test_frames_that_are_counted_do_not_choose_their_shift() -> None:
    clip, late = (talking_clip(4, "a", frames=200, lag=lag) for lag in (0.0, 0.2))
    half = clip.mel.shape[1] // 2
    changing = replace(clip, mel=np.concatenate([clip.mel[:, :half], late.mel[:, half:]], axis=1))
    agreed = opening_agreement(LoudStages(), make_trial(changing, 4), 15)
    assert shift_seconds(int(agreed.before.argmax())) == pytest.approx(0.0, abs=0.021)
    assert shift_seconds(int(agreed.counted.argmax())) == pytest.approx(0.2, abs=0.021)


def test_judged_offsets_add_to_the_recorded_ones(tmp_path: Path) -> None:
    class Judge:
        name = "one that prefers a shift"
        shifts = iter((0, 3, -1))

        def distances(self, crops: object, times: NDArray[np.float64], sound: object) -> NDArray[np.float32]:
            curve = np.ones((len(times) - 4, 2 * REACH + 1), np.float32)
            curve[:, next(self.shifts) + REACH] = 0.5
            return curve

    in_sync, late, early = (record.clip for record in write_clips(tmp_path, {"val": [0, 3, -1]}))
    note_offsets(tmp_path, {late: 0.02})
    seen: list[tuple[int, int]] = []
    found = find_judged_offsets(tmp_path, Judge(), "val", lambda *done: seen.append(done))
    assert found.seconds == pytest.approx({in_sync: 0.0, late: 0.12, early: -0.04})
    assert [row["offset_seconds"] for row in found.rows] == pytest.approx([0.0, 0.14, -0.04])
    assert (found.figures["clips"], found.figures["out_of_sync"]) == (3, 1)
    assert seen == [(1, 3), (2, 3), (3, 3)]


UNSEEN = ("p020_001", "p023_001")
"""Clips of people that are not in the training data of the judge, from sources in sync."""


@pytest.mark.parametrize("name", UNSEEN)
def test_the_shipped_judge_works_on_unseen_people(clips: Path, name: str) -> None:
    path, judge = clips / "test" / f"{name}.mp4", load_judge()
    offset = find_film_offset(path, judge, 5.0)
    assert abs(offset.frames) <= 1
    assert offset.figures.lse_c > 0.1
    late = np.concatenate([np.zeros(6 * 640, np.float32), read_audio(path)])
    piece = next(pieces(Film(path), find_face(Film(path), 5.0)))
    distances = judge.distances(piece.crops[:125], piece.times[:125], SpeechTrack(mel_spectrogram(late)))
    assert abs(np.nanmean(distances, axis=0).argmin() - 15 - 6) <= 1
    in_sync = judge.distances(piece.crops[:125], piece.times[:125], SpeechTrack(mel_spectrogram(late[6 * 640 :])))
    assert sync_accuracy([in_sync]) >= 0.85


def test_an_offset_reads_only_the_requested_seconds(tmp_path: Path) -> None:
    path = make_film(tmp_path / "long.mp4", 3.0, size=(256, 256), audio=speech(3.0))
    judge, heard = OwnJudge(SyncNet(SMALL)), []

    class Listener:
        name = judge.name

        def distances(
            self, crops: NDArray[np.uint8], times: NDArray[np.float64], sound: SpeechTrack
        ) -> NDArray[np.float32]:
            heard.append((crops, times, sound))
            return judge.distances(crops, times, sound)

    found = find_film_offset(path, Listener(), 1.0)
    ((crops, times, sound),) = heard
    assert sound.wave is not None
    assert 1 + REACH / FPS < len(sound.wave) / 16000 < 2.5
    whole = judge.distances(crops, times, SpeechTrack(mel_spectrogram(read_audio(path))))
    np.testing.assert_allclose(found.figures.curve, sync_figures(whole).curve, atol=1e-5)
    assert np.isfinite(found.figures.curve[-1])


@pytest.mark.parametrize(("best", "warned"), [(-REACH, True), (REACH - 1, False), (REACH, True)])
def test_an_offset_at_the_end_of_the_search_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, best: int, warned: bool
) -> None:
    class Judge:
        name = "one that prefers a shift"

        def distances(self, crops: object, times: NDArray[np.float64], sound: object) -> NDArray[np.float32]:
            curve = np.ones((len(times), 2 * REACH + 1), np.float32)
            curve[:, best + REACH] = 0.5
            return curve

    path = make_film(tmp_path / "film.mp4", 1.0, size=(256, 256), audio=speech(1.0))
    assert find_film_offset(path, Judge()).frames == best
    assert ("is the largest of the search" in caplog.text) == warned


def test_a_film_whose_sound_ends_early_has_an_offset(tmp_path: Path) -> None:
    path = make_film(tmp_path / "film.mp4", 3.0, size=(256, 256), audio=speech(1.0))
    found = find_film_offset(path, OwnJudge(SyncNet(SMALL)))
    assert 0 < found.windows < 25
    assert np.isfinite([found.figures.lse_d, found.figures.lse_c]).all()


def test_an_empty_sound_stream_is_named(tmp_path: Path) -> None:
    film = with_empty_sound(make_film(tmp_path / "film.mp4", 0.4, 25, (64, 64)), tmp_path / "empty.mkv")
    with pytest.raises(InputError, match=r"empty\.mkv has an empty sound track"):
        find_film_offset(film, OwnJudge(SyncNet(SMALL)))


def test_offsets_are_recorded_for_training(clips: Path, tmp_path: Path) -> None:
    prepare([clips / "test" / f"{UNSEEN[0]}.mp4"], tmp_path, workers=1)
    found = find_judged_offsets(tmp_path, load_judge())
    (clip,) = found.seconds
    assert abs(found.seconds[clip]) <= 0.04
    assert 0.5 < found.figures["sync_accuracy"] <= 1
    # Offsets are searched around the recorded ones.
    note_offsets(tmp_path, {clip: 0.2})
    again = find_judged_offsets(tmp_path, load_judge())
    assert again.seconds[clip] == pytest.approx(found.seconds[clip] - 0.2, abs=0.021)
    assert again.figures["sync_accuracy"] < found.figures["sync_accuracy"]
    assert main(["sync", str(tmp_path)]) == 0
    assert [record.offset for record in read_manifest(tmp_path)] == [0.2]  # it was only measured
    assert main(["sync", str(tmp_path), "--write"]) == 0
    (record,) = read_manifest(tmp_path)
    assert record.offset == again.rows[0]["offset_seconds"]
    assert record.offset == pytest.approx(0.2 + again.seconds[clip], abs=1e-4)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--seconds", "0.1"), "should be a number of at least 1"),
        (("--seconds", "nan"), "should be a number of at least 1"),
        (("--seconds", "inf"), "should be a number of at least 1"),
        (("--judge", "syncnet_v2"), "score"),
    ],
)
def test_invalid_requests_are_refused_before_the_work(
    words: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sync", str(tmp_path), *words]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--write",), ("--split", "val")])
def test_a_film_has_no_manifest_and_no_splits(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sync", "film.mp4", *words]) == 2
    assert f"{words[0]} needs a folder of prepared clips" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("sync", "{}", "--write"), ("evaluate", "landmarks", "fast", "--data", "{}", "--write-offsets")]
)
def test_a_manifest_that_cannot_be_written_is_noticed_before_the_work(
    words: tuple[str, ...], data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != data)
    monkeypatch.setattr("lipsmith.evaluation.offsets.read_manifest", lambda *_: pytest.fail("began"))
    split = ["--split", "val"]
    assert main([word.format(data) for word in words] + split) == 2
    assert f"The folder {data} cannot be written to" in capsys.readouterr().err
