"""Losses of the landmark generator against values worked out by hand."""

from __future__ import annotations

import pytest
import torch

from lipsmith.face.landmarks import CONTENT, NUM_CONTENT, NUM_JAW
from lipsmith.training.losses.landmarks import (
    LandmarkLossWeights,
    discordance,
    gaps,
    gestures,
    landmark_loss,
    left_open,
    phoneme_error,
    plosives_left_open,
    point_weights,
    position_error,
    velocity_error,
)

EVEN = torch.ones(NUM_CONTENT)


def content(frames: int = 3) -> torch.Tensor:
    return torch.rand(2, frames, NUM_CONTENT, 2, generator=torch.Generator().manual_seed(0))


def test_weights_have_mean_one_and_the_requested_ratios() -> None:
    points = point_weights(LandmarkLossWeights(outer=2.0, inner=3.0))
    assert points.mean() == pytest.approx(1.0)
    assert points[NUM_JAW] / points[0] == pytest.approx(2.0)
    assert points[-1] / points[0] == pytest.approx(3.0)


def test_position_error_is_the_weighted_mean_of_absolute_differences() -> None:
    truth = content()
    assert position_error(truth + 0.25, truth, EVEN) == pytest.approx(0.25, abs=1e-6)
    moved = truth.clone()
    moved[:, :, -1] += 0.57
    inner = point_weights(LandmarkLossWeights(inner=3.0))
    # One point of 57 is off by 0.57; inner points weigh 3 of (37 + 60) / 57.
    assert position_error(moved, truth, inner) == pytest.approx(0.01 * 3 * 57 / 97, rel=1e-4)


def test_velocity_error_is_the_length_of_the_difference_of_steps() -> None:
    truth = content(3)
    drift = torch.tensor([3.0, 4.0]) * torch.arange(3.0)[:, None, None]
    assert velocity_error(truth + drift, truth, EVEN) == pytest.approx(5.0, rel=1e-5)
    assert velocity_error(truth + 0.1, truth, EVEN) == pytest.approx(0.0, abs=1e-5)
    assert velocity_error(truth[:, :1], truth[:, :1], EVEN) == 0.0


def test_velocity_error_has_a_gradient_at_zero_motion() -> None:
    still = torch.zeros(1, 3, NUM_CONTENT, 2, requires_grad=True)
    velocity_error(still, torch.zeros_like(still), EVEN).backward()
    assert still.grad is not None
    assert torch.isfinite(still.grad).all()


def test_gestures_are_nine_gaps_inner_width_and_outer_opening() -> None:
    lips = mouth(384.0)
    for point, place in ((82, (9, 1)), (78, (0, 0)), (308, (4, 0)), (0, (0, 0)), (17, (3, 4))):
        lips[0, 0, CONTENT.index(point)] = torch.tensor(place, dtype=torch.float32)
    # 82 is the fourth upper point from the corner 78, a unit lower than the others.
    expected = torch.tensor([[[3.0] * 3 + [2.0] + [3.0] * 5 + [4.0, 5.0]]])
    for elsewhere in (0, 7):
        torch.testing.assert_close(gestures(lips + elsewhere), expected)


def curve(*values: float) -> torch.Tensor:
    return torch.tensor(values)[None, :, None]


def test_discordance_of_equal_and_opposite_curves() -> None:
    talk = curve(1.0, -1.0, 1.0, -1.0)
    for mean in (0, 5):
        assert discordance(talk + mean, talk + mean) == pytest.approx(0.0, abs=1e-6)
    assert discordance(-talk, talk) == pytest.approx(2.0, rel=1e-4)


def test_discordance_punishes_mumbling_and_bias() -> None:
    talk = curve(1.0, -1.0, 1.0, -1.0)
    # Lin: 2 cov / (var + var' + bias^2) = 2 * 0.5 / (1 + 0.25), and 2 / (1 + 1 + 2^2).
    assert discordance(0.5 * talk, talk) == pytest.approx(1 - 1 / 1.25, rel=1e-4)
    assert discordance(talk + 2, talk) == pytest.approx(1 - 2 / 6, rel=1e-4)


def test_motion_below_the_trackers_noise_has_little_weight() -> None:
    whisper = curve(1e-5, -1e-5, 1e-5, -1e-5)
    assert discordance(-whisper, whisper) < 1e-3


def test_terms_are_unweighted_and_skipped_at_weight_zero() -> None:
    truth = content()
    once = landmark_loss(truth + 0.1, truth, LandmarkLossWeights(concordance=1.0))
    without = landmark_loss(truth + 0.1, truth, LandmarkLossWeights(l1=2.0))
    assert set(once) == {"l1", "velocity", "concordance"}
    assert set(without) == {"l1", "velocity"}
    closing = landmark_loss(truth + 0.1, truth, LandmarkLossWeights(closure=1.0, plosive=1.0), torch.ones(2, 3).bool())
    assert set(closing) == {"l1", "velocity", "closure", "plosive"}
    torch.testing.assert_close(without["l1"], once["l1"])


def mouth(*pixels: float) -> torch.Tensor:
    """Return `(1, F, 57, 2)`: inner lips that many pixels of 128 apart, at all nine points."""
    lips = torch.zeros(1, len(pixels), NUM_CONTENT, 2)
    lower = NUM_JAW + 20 + 20 - torch.arange(1, 10)
    lips[:, :, lower, 1] = torch.tensor(pixels)[:, None] / 128
    return lips


def test_gaps_are_those_between_the_inner_lips() -> None:
    torch.testing.assert_close(gaps(mouth(2.0, 0.0)), torch.tensor([[[2 / 128] * 9, [0.0] * 9]]))


def test_only_lips_that_should_touch_have_a_closure_error() -> None:
    truth = mouth(0.5, 3.0, 0.0, 0.5)
    # Frame 0 is 1.5 px too open, frame 2 by 1 less a quarter; frame 1 need not touch, frame 3 does more than it must.
    assert left_open(mouth(2.0, 9.0, 1.0, 0.0), truth) == pytest.approx((1.5 + 0.75) / 128 / 4)
    assert left_open(truth, truth) == 0


def test_a_plosive_can_close_within_two_frames() -> None:
    truth, bilabial = mouth(4, 4, 0, 4, 4, 4, 4, 4), torch.zeros(1, 8, dtype=torch.bool)
    bilabial[0, 3] = True
    assert plosives_left_open(mouth(4, 3, 4, 4, 4, 4, 4, 4), truth, bilabial) == pytest.approx((3 - 0.25) / 128)
    assert plosives_left_open(mouth(0, 4, 4, 4, 4, 0.25, 4, 4), truth, bilabial) == 0
    both = torch.zeros(1, 6, dtype=torch.bool)
    both[0, [0, 5]] = True
    assert plosives_left_open(mouth(3, 3, 3, 1, 1, 1), mouth(0, 4, 4, 4, 4, 0), both) == pytest.approx(1.75 / 128)
    bilabial[0, 7] = True  # frames with open true lips have no loss
    assert plosives_left_open(mouth(4, 3, 4, 4, 4, 4, 4, 4), truth, bilabial) == pytest.approx((3 - 0.25) / 128)


def test_a_plosive_requires_all_nine_gaps_to_close() -> None:
    truth, bilabial = mouth(0), torch.ones(1, 1, dtype=torch.bool)
    pointed = mouth(4)
    pointed[:, :, NUM_JAW + 20 + 20 - 5] = 0  # the middle touches, eight others are open by 4 px
    assert plosives_left_open(pointed, truth, bilabial) == pytest.approx((4 * 8 / 9 - 0.25) / 128)


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=r"closure = -1\.0 should be at least 0"):
        LandmarkLossWeights(closure=-1.0)


def test_unknown_phonemes_are_ignored() -> None:
    logits = torch.tensor([[[0.0, 9.0]]])
    assert phoneme_error(logits, torch.tensor([[[1.0, float("nan")]]])) == pytest.approx(0.6931, abs=1e-4)
    assert phoneme_error(logits, torch.full((1, 1, 2), float("nan"))) == 0
