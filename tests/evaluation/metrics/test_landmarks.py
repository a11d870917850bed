"""Figures of predicted landmarks against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from landmark_clips import talking_clip
from lipsmith.evaluation.metrics.landmarks import (
    amplitude,
    correlation,
    inner_opening,
    jitter,
    l1_percent,
    landmark_figures,
    lip_lmd,
    opening_r,
)
from lipsmith.evaluation.trials import Trial, leak_r, make_trial, measure, strangers, total
from lipsmith.face.landmarks import CONTENT, NUM_CONTENT, NUM_JAW, NUM_POSE
from lipsmith.speech.mel import MEL_LIMIT

Floats = NDArray[np.float32]
UPPER, LOWER = CONTENT.index(13), CONTENT.index(14)


def mouth(*openings: float) -> Floats:
    content = np.full((len(openings), NUM_CONTENT, 2), 0.5, np.float32)
    content[:, LOWER, 1] += np.array(openings, np.float32)
    return content


def test_positions_are_told_in_per_cent_and_pixels() -> None:
    truth = mouth(0.1, 0.2, 0.3)
    moved = truth + np.array([0.03, 0.04], np.float32)
    assert l1_percent(moved, truth) == pytest.approx(3.5, rel=1e-4)
    assert lip_lmd(moved, truth) == pytest.approx(0.05 * 128, rel=1e-4)


def test_lip_lmd_does_not_mind_the_jaw() -> None:
    truth = mouth(0.1, 0.2)
    moved = truth.copy()
    moved[:, :NUM_JAW] += 1
    assert lip_lmd(moved, truth) == 0.0
    assert l1_percent(moved, truth) == pytest.approx(100 * NUM_JAW / NUM_CONTENT, rel=1e-5)


def test_opening_is_the_distance_of_the_inner_lips_middles() -> None:
    np.testing.assert_allclose(inner_opening(mouth(0.0, 0.25)), [0, 0.25], atol=1e-6)


def test_r_by_hand() -> None:
    # Deviations (-1, 0, 1) and (-1, 1, 0): 1 / sqrt(2 * 2).
    assert correlation(np.array([0.0, 1.0, 2.0]), np.array([0.0, 2.0, 1.0])) == pytest.approx(0.5)
    assert correlation(np.ones(3), np.arange(3.0)) == 0.0
    assert opening_r(mouth(0.1, 0.2, 0.3), mouth(0.3, 0.2, 0.1)) == pytest.approx(-1.0, rel=1e-5)


def test_amplitude_is_the_ratio_of_swings() -> None:
    assert amplitude(mouth(0.2, 0.3, 0.2), mouth(0.1, 0.3, 0.1)) == pytest.approx(0.5, rel=1e-4)
    assert np.isnan(amplitude(mouth(0.1, 0.2), mouth(0.2, 0.203)))


def test_jitter_is_the_ratio_of_second_differences() -> None:
    straight, bent, twice = mouth(0.1, 0.2, 0.3), mouth(0.1, 0.2, 0.1), mouth(0.1, 0.3, 0.1)
    assert jitter(twice, bent) == pytest.approx(2.0, rel=1e-4)
    assert jitter(straight, bent) == pytest.approx(0.0, abs=1e-5)
    assert np.isnan(jitter(bent[:2], bent[:2]))
    assert np.isnan(jitter(bent, mouth(0.2, 0.2, 0.2)))


def test_truth_against_itself() -> None:
    truth = mouth(0.1, 0.2, 0.15, 0.3)
    figures = landmark_figures(truth, truth)
    wanted = {"l1_percent": 0.0, "lip_lmd": 0.0, "opening_r": 1.0, "amplitude": 1.0, "jitter": 1.0}
    assert figures == pytest.approx(wanted)


class Loud:
    """Opens the mouth as the loudness says; or, where `peeks`, as the original pose says."""

    def __init__(self, peeks: bool = False) -> None:
        self.peeks = peeks

    def __call__(self, stage: str, /, **inputs: Floats) -> tuple[Floats, ...]:
        if stage == "speech":
            return (inputs["mel"][:, 0, 0, 8:9] + MEL_LIMIT,)
        tokens, pose = inputs["tokens"], inputs["pose"]
        content = np.full((*tokens.shape[:2], NUM_CONTENT, 2), 0.5, np.float32)
        content[:, :, LOWER, 1] += pose[:, :, 0, 0] if self.peeks else 0.01 * tokens[..., 0]
        return (content,)


def trial(seed: int, frames: int = 80) -> Trial:
    """A talking face whose first pose point gives the opening away."""
    clip = talking_clip(seed, f"p{seed}", frames=frames)
    clip.landmarks[:, 0, 0] = inner_opening(clip.landmarks[:, NUM_POSE:])
    return make_trial(clip, 4)


def test_the_leak_is_what_the_pose_tells_and_not_what_speech_tells() -> None:
    trials = [trial(seed) for seed in range(8)]
    honest, peeking = (
        np.mean([leak_r(Loud(peeks), item, strangers(trials, item.record.identity), 15) for item in trials])
        for peeks in (False, True)
    )
    assert measure(Loud(), trials[0], 15)["opening_r"] > 0.9
    assert peeking > 0.99
    assert abs(honest) < 0.35


def test_short_foreign_speech_is_repeated_and_none_is_not_measured() -> None:
    item = trial(1)
    whole = item.mel[:, :40]
    twice = np.tile(whole, 8)
    assert leak_r(Loud(), item, [whole], 15) == leak_r(Loud(), item, [twice], 15)
    assert np.isnan(leak_r(Loud(), item, [], 15))


def test_strangers_are_all_other_people_one_speech_of_each_in_any_order() -> None:
    lengths = (80, 90, 100, 70, 60)
    named = zip(range(5), "aabbc", lengths, strict=True)
    trials = [make_trial(talking_clip(seed, name, frames=frames), 4) for seed, name, frames in named]
    for order in (trials, trials[::-1]):
        chosen = strangers(order, "a")
        assert [any(mel is trial.mel for mel in chosen) for trial in trials] == [False, False, True, False, True]


def test_silence_is_measured_beside_the_most_closed_reference() -> None:
    figures = measure(Loud(), trial(2), 15)
    assert figures["silence_opening"] == pytest.approx(0.0, abs=1e-4)
    assert figures["least.silence_opening"] < figures["mean.silence_opening"]


def test_strict_trials_keep_references_and_counted_frames_apart() -> None:
    clip = talking_clip(3, "a", frames=60)
    clip.landmarks[:30, 0, 0], clip.landmarks[30:, 0, 0] = 0.0, 1.0
    strict = make_trial(clip, 5)
    assert strict.strict
    assert (strict.references[:, 0, 0] == 0).all()
    # The second half begins at frame 30, 1.2 s; frames from 1.4 s on count.
    assert np.flatnonzero(strict.counted).tolist() == list(range(35, 60))
    assert not make_trial(talking_clip(3, "a", frames=40), 5).strict


def test_totals_are_means_over_identities_and_skip_what_was_not_measured() -> None:
    rows = [{"x": 1.0, "y": 1.0}, {"x": 3.0, "y": float("nan")}, {"x": 8.0, "y": 5.0}]
    assert total(rows, ["a", "a", "b"]) == {"x": 5.0, "y": 3.0}
