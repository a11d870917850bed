"""Sync figures from embeddings, by hand and by properties; judges on the grid of 25 frames per second."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lipsmith.errors import WeightsError
from lipsmith.evaluation.metrics.judge import OfficialJudge, OwnJudge, SpeechTrack, load_judge, on_grid
from lipsmith.evaluation.metrics.lse import (
    SECOND,
    estimate_lags,
    mean_curve,
    shift_distances,
    sync_accuracy,
    sync_figures,
)
from lipsmith.evaluation.metrics.mfcc import mfcc
from lipsmith.models.sync.official import OfficialSyncNet
from lipsmith.models.sync.syncnet import SyncNet, SyncNetConfig
from lipsmith.training.checkpoint import save_model

SMALL = SyncNetConfig(height=16, width=32, mouth_widths=(4, 8), mel_widths=(4, 8), blocks=1, embedding=8)


def walk(length: int, lag: int, reach: int = 5) -> np.ndarray:
    """Return the distances of speech that is `lag` frames late, from points on a line."""
    mouth = np.arange(length, dtype=np.float32)[:, None]
    speech = np.arange(-reach, length + reach, dtype=np.float32)[:, None] - lag
    return shift_distances(mouth, speech)


def test_distances_by_hand() -> None:
    np.testing.assert_array_equal(walk(2, 0, 1), [[1, 0, 1], [1, 0, 1]])


@given(st.integers(-5, 5))
def test_the_offset_is_the_lag_of_the_speech(lag: int) -> None:
    figures = sync_figures(walk(9, lag))
    assert figures.offset == lag
    assert figures.lse_d == 0
    assert figures.lse_c == np.median(np.abs(np.arange(-5, 6) - lag))
    assert figures.by_name == {"lse_d": 0, "lse_c": figures.lse_c, "offset": lag}


def test_shifts_without_enough_sound_are_nan() -> None:
    distances = np.ones((4, 3), np.float32)
    distances[:3, 0] = np.nan
    distances[:2, 2] = np.nan
    np.testing.assert_array_equal(mean_curve(distances), [np.nan, 1, 1])


def test_nothing_to_compare_gives_no_figures() -> None:
    for distances in (np.full((3, 3), np.nan, np.float32), np.zeros((0, 3), np.float32)):
        assert np.isnan(list(sync_figures(distances).by_name.values())).all()


def test_sync_accuracy_counts_only_what_can_be_compared() -> None:
    right = walk(SECOND, 0, 10)
    wrong = np.ones_like(right)
    assert sync_accuracy([right]) == sync_accuracy([np.float32(0.01) * right]) == 1
    assert sync_accuracy([wrong]) == 0
    # 9 late: shifts of 3..10 early are farther away than no shift; 3..10 late are all nearer.
    assert sync_accuracy([walk(SECOND, 9, 10)]) == 8 / 16
    right[:, 0] = np.nan
    assert sync_accuracy([right, wrong]) == 15 / (15 + 16)
    assert sync_accuracy([right[:-1]]) == 0
    assert sync_accuracy([right[:-1], right]) == 1


@pytest.mark.parametrize("rate", [24, 25, 30, 50])
def test_any_frame_rate_is_resampled_to_the_grid(rate: int) -> None:
    times = np.arange(2 * rate) / rate
    index, ticks = on_grid(times)
    assert abs(ticks[-1] - times[-1]) <= 0.02 + 1e-9
    np.testing.assert_allclose(np.diff(ticks), 0.04)
    assert np.abs(times[index] - ticks).max() <= 0.5 / min(rate, 25) + 1e-9


def test_our_judge_gives_nan_outside_the_sound() -> None:
    judge = OwnJudge(SyncNet(SMALL))
    crops = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    mel = np.random.default_rng(1).uniform(-4, 4, (80, 39)).astype(np.float32)
    distances = judge.distances(crops, np.arange(12) / 25, SpeechTrack(mel))
    assert distances.shape == (8, 31)
    assert np.isfinite(distances[:, 15]).all()
    assert np.isnan(distances[0, :15]).all()
    assert np.nanmin(distances) >= 0
    assert np.nanmax(distances) <= 2
    for frames, windows in ((4, 0), (5, 1)):
        assert judge.distances(crops[:frames], np.arange(frames) / 25, SpeechTrack(mel)).shape == (windows, 31)


def test_our_judge_reuses_speech_only_of_the_same_clip() -> None:
    torch.manual_seed(0)
    net, random = SyncNet(SMALL), np.random.default_rng(0)
    crops, times = random.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8), np.arange(12) / 25
    one, other = (SpeechTrack(random.uniform(-4, 4, (80, 60)).astype(np.float32)) for _ in range(2))
    judge = OwnJudge(net)
    for begin, sound in ((0.0, one), (0.0, other), (0.2, other), (0.2, other)):
        alone = OwnJudge(net).distances(crops, begin + times, sound)
        np.testing.assert_array_equal(judge.distances(crops, begin + times, sound), alone)


def test_a_judge_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    net = SyncNet(SMALL).half().float().eval()
    save_model(tmp_path / "judge", "sync", net, asdict(SMALL), {"step": 1})
    crops = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    sound = SpeechTrack(np.zeros((80, 30), np.float32))
    times = np.arange(6) / 25
    loaded = load_judge(str(tmp_path / "judge"))
    np.testing.assert_array_equal(loaded.distances(crops, times, sound), OwnJudge(net).distances(crops, times, sound))


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"kind": "dub"}')
    with pytest.raises(WeightsError, match="not a lip-sync judge"):
        load_judge(str(tmp_path))


def test_the_official_weights_load_by_name() -> None:
    """Names and shapes of `syncnet_v2.model`, as its authors' code defines them."""
    state = OfficialSyncNet().state_dict()
    expected = {
        "netcnnaud.0.weight": (64, 1, 3, 3), "netcnnaud.4.weight": (192, 64, 3, 3),
        "netcnnaud.8.weight": (384, 192, 3, 3), "netcnnaud.11.weight": (256, 384, 3, 3),
        "netcnnaud.14.weight": (256, 256, 3, 3), "netcnnaud.18.weight": (512, 256, 5, 4),
        "netfcaud.0.weight": (512, 512), "netfcaud.1.running_mean": (512,), "netfcaud.3.weight": (1024, 512),
        "netcnnlip.0.weight": (96, 3, 5, 7, 7), "netcnnlip.4.weight": (256, 96, 1, 5, 5),
        "netcnnlip.8.weight": (256, 256, 1, 3, 3), "netcnnlip.11.weight": (256, 256, 1, 3, 3),
        "netcnnlip.14.weight": (256, 256, 1, 3, 3), "netcnnlip.18.weight": (512, 256, 1, 6, 6),
        "netfclip.3.weight": (1024, 512),
    }  # fmt: skip
    assert {name: tuple(state[name].shape) for name in expected} == expected


def test_the_official_judge_needs_a_waveform() -> None:
    torch.manual_seed(0)
    judge = OfficialJudge(OfficialSyncNet())
    crops = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    wave = np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32)
    sound = SpeechTrack(np.zeros((80, 80), np.float32), wave)
    distances = judge.distances(crops, np.arange(6) / 25, sound)
    assert distances.shape == (2, 31)
    assert np.isfinite(distances[0]).tolist() == [False] * 15 + [True] * 16
    with pytest.raises(WeightsError, match="waveforms"):
        judge.distances(crops, np.arange(6) / 25, SpeechTrack(sound.mel))


def test_the_official_judge_gets_what_it_was_trained_on() -> None:
    """BGR in 0..255 at 224 pixels, and coefficients of 16-bit samples."""
    seen: list[torch.Tensor] = []
    heard: list[torch.Tensor] = []
    network: Any = SimpleNamespace(
        mouth=lambda pictures: seen.append(pictures) or torch.zeros(len(pictures), 1),
        speech=lambda coefficients: heard.append(coefficients) or torch.zeros(len(coefficients), 1),
        eval=lambda: network,
    )
    crops = np.tile(np.array([250, 20, 3], np.uint8), (5, 64, 64, 1))
    wave = np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32)
    judge = OfficialJudge(network)
    judge.distances(crops, 0.6 + np.arange(5) / 25, SpeechTrack(np.zeros((80, 1), np.float32), wave))
    assert seen[0].shape == (1, 3, 5, 224, 224)
    assert seen[0][0, :, 0, 0, 0].tolist() == [3, 20, 250]
    in_step = torch.from_numpy(mfcc(wave * 32768)[60:80].T).float()
    torch.testing.assert_close(torch.cat(heard)[15, 0], in_step, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("begin", [0.0, 0.613, 59.5])
def test_the_official_judge_processes_only_the_sound_of_the_given_frames(
    begin: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    judge, heard = OfficialJudge(OfficialSyncNet()), []
    wave = np.random.default_rng(1).normal(0, 0.1, 60 * 16000).astype(np.float32)
    crops = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)

    def listening(part: np.ndarray) -> np.ndarray:
        heard.append(len(part) / 16000)
        return mfcc(part)

    monkeypatch.setattr("lipsmith.evaluation.metrics.judge.mfcc", listening)
    near = judge.distances(crops, begin + np.arange(6) / 25, SpeechTrack(np.zeros((80, 1), np.float32), wave))
    assert max(heard) < 2
    monkeypatch.setattr("lipsmith.evaluation.metrics.judge.samples", lambda first, last: slice(0, None))
    monkeypatch.setattr(
        "lipsmith.evaluation.metrics.judge.mfcc", lambda part: mfcc(part)[max(0, first_step(begin) - 1) :]
    )
    whole = judge.distances(crops, begin + np.arange(6) / 25, SpeechTrack(np.zeros((80, 1), np.float32), wave))
    np.testing.assert_array_equal(np.isfinite(near), np.isfinite(whole))
    np.testing.assert_allclose(near, whole, rtol=1e-5)


def first_step(begin: float) -> int:
    """Return the first step of coefficients that is compared with a mouth at `begin` seconds."""
    return round((begin - 15 / 25) * 100)


def test_clips_without_distances_take_the_lag_of_their_identity_or_zero() -> None:
    unheard = np.full((20, 11), np.nan, np.float32)
    lags = estimate_lags([walk(60, 2), unheard, unheard], np.array([0, 0, 1]))
    assert lags.tolist() == [2, 2, 0]


def test_lags_of_short_clips_follow_their_identity() -> None:
    """Two long clips are 2 late; a short one of the same person that prefers 4 gets 2, a stranger's does not."""
    grid = np.arange(-6, 7)
    late = np.abs(grid - 2).astype(np.float32)
    odd = np.minimum(late, 3 * np.abs(grid - 4)).astype(np.float32) - 0.01 * (grid == 4)
    clips = [np.tile(late, (200, 1)), np.tile(late, (200, 1)), np.tile(odd, (5, 1)), np.tile(np.abs(grid), (5, 1))]
    lags = estimate_lags([clip.astype(np.float32) for clip in clips], np.array([0, 0, 0, 1]))
    assert lags.tolist() == [2, 2, 2, 0]
