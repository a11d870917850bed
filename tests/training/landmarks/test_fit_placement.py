"""`Placement` is fitted to how lips and jaw move with the head, and ignores the pose of a mouth that talks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from landmark_clips import talking_clip
from lipsmith.data.clips import PreparedClip
from lipsmith.evaluation.landmarks import Trial, make_trial
from lipsmith.evaluation.metrics.landmarks import inner_opening
from lipsmith.face.landmarks import NUM_JAW, NUM_POINTS, NUM_POSE
from lipsmith.inference.speak import predict_content
from lipsmith.models.landmarks.config import LandmarkConfig
from lipsmith.models.landmarks.generator import LandmarkGenerator, build_landmark_generator
from lipsmith.training.landmarks.fit_placement import fit_placement
from lipsmith.training.landmarks.stages import as_backend

TINY = LandmarkConfig(
    dim=8,
    layers=1,
    heads=2,
    feed_forward=8,
    references=4,
    speech_channels=(2, 2, 2, 2, 2),
    speech_residuals=0,
    points="perceptron",
    point_channels=(8,),
    steady=5.0,
    nearness=1e-3,
    placed=True,
)
NOSE = 30
TURN = np.array([[1.5, 0.4], [-0.3, 2.0]])
"""How far lips and jaw move with the head, where an untrained network lets them follow by 0.75 to 1.05."""


def nodding(seed: int, *, told: float = 0.0) -> PreparedClip:
    """Return a talking clip whose head wanders and takes lips and jaw along; `told`: how far nose and lips move down as
    the mouth opens."""
    clip = talking_clip(seed, f"p{seed}", frames=100)
    random = np.random.default_rng(seed)
    rates, phases = random.uniform(0.05, 2, (2, 6)), random.uniform(0, 6, (2, 6))
    waves = np.sin(2 * np.pi * rates[None] * clip.times[:, None, None] + phases[None]).mean(-1)
    head = 0.02 * waves[:, None]
    move = np.concatenate([np.repeat(head, NUM_POSE, 1), np.repeat(head @ TURN, NUM_POINTS - NUM_POSE, 1)], axis=1)
    points = clip.landmarks + move
    down = told * inner_opening(clip.landmarks[:, NUM_POSE:])
    points[:, NOSE, 1] += down
    points[:, NUM_POSE:, 1] += down[:, None]
    return replace(clip, landmarks=points.astype(np.float32))


def predicted(network: LandmarkGenerator, trial: Trial) -> NDArray[np.float32]:
    """Return the content of the counted frames."""
    arguments = (trial.mel, trial.times, trial.pose, trial.references, TINY.window)
    return predict_content(as_backend(network), *arguments)[trial.counted]


def lips_off(network: LandmarkGenerator, trial: Trial) -> float:
    """Return how far the mean of the lips is off."""
    missing = (trial.truth[trial.counted] - predicted(network, trial))[:, NUM_JAW:].mean(1)
    return float(np.linalg.norm(missing, axis=-1).mean())


def test_lips_get_to_where_the_head_puts_them_in_a_clip_not_seen() -> None:
    network = build_landmark_generator(TINY).eval()
    new = make_trial(nodding(99), 4)
    before = lips_off(network, new)
    assert fit_placement(network, (make_trial(nodding(seed), 4) for seed in range(8)), TINY.window) == 8
    assert lips_off(network, new) < 0.4 * before


def test_a_nose_that_moves_with_the_mouth_moves_no_lips() -> None:
    network = build_landmark_generator(TINY).eval()
    fit_placement(network, (make_trial(nodding(seed, told=0.5), 4) for seed in range(8)), TINY.window)
    new, other = (make_trial(nodding(99, told=told), 4) for told in (0.5, 0.0))
    silent = replace(new, references=other.references)
    told = (predicted(network, silent) - predicted(network, other))[:, NUM_JAW:].mean(1)[:, 1]
    opening = inner_opening(new.truth[new.counted])
    assert told.std() < 0.1 * opening.std()


def test_the_fit_does_not_depend_on_what_was_fitted_before() -> None:
    network = build_landmark_generator(TINY).eval()
    trials = [make_trial(nodding(seed), 4) for seed in range(3)]
    weights = []
    for _ in range(2):
        fit_placement(network, trials, TINY.window)
        weights.append(network.transformer.state_dict()["placement.weight"].clone())
    np.testing.assert_allclose(weights[0], weights[1], atol=1e-6)
    assert weights[0].abs().max() > 0


@pytest.mark.parametrize("frames", [30, 60])
def test_clips_without_separate_references_are_not_used(frames: int) -> None:
    network = build_landmark_generator(TINY).eval()
    short = make_trial(talking_clip(0, "a", frames=frames), 4)
    assert fit_placement(network, [short], TINY.window) == int(short.strict)
    assert bool(network.transformer.state_dict()["placement.weight"].any()) == short.strict
