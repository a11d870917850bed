"""Figures of a clip that compare several systems: with the real faces, and with the landmarks that were requested."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from landmark_clips import face, opened
from lipsmith.errors import WeightsError
from lipsmith.evaluation.metrics.judge import SpeechTrack
from lipsmith.evaluation.scoring import Networks, RealStretch, Scorer, load_networks
from lipsmith.evaluation.systems import REAL
from lipsmith.face import FaceMesh
from lipsmith.face.landmarks import CONTENT, INNER_LIP, NUM_JAW, OUTER_LIP, POSE

FRAMES = 11
CROPS = np.zeros((FRAMES, 16, 16, 3), np.uint8)
NO_LIPS = np.zeros((FRAMES, 40, 2), np.float32)
NO_SOUND = SpeechTrack(np.zeros((80, 0), np.float32))


def stretch(meshes: NDArray[np.float32], asked: NDArray[np.float32] | None = None) -> RealStretch:
    return RealStretch(CROPS, meshes, np.arange(FRAMES) / 25, NO_SOUND, is_truth=False, asked=asked)


def test_identity_is_compared_with_the_mean_of_the_real_faces() -> None:
    def recognizer(crops: NDArray[np.uint8], meshes: NDArray[np.float32]) -> NDArray[np.float64]:
        assert len(crops) == len(meshes) == 3  # every fifth frame
        return np.tile([0.6, 0.8] if crops.any() else [1.0, 0.0], (len(crops), 1))

    scorer = Scorer(Networks(FaceMesh(), None, None, recognizer, None, {}))  # type: ignore[arg-type]
    shown = stretch(np.zeros((FRAMES, 478, 2), np.float32))
    rows = scorer.score(shown, {"other": CROPS + 1}, {REAL: NO_LIPS, "other": NO_LIPS})
    assert rows[REAL]["csim"] == pytest.approx(1)
    assert rows["other"]["csim"] == pytest.approx(0.6)


def test_a_system_should_obey_what_was_asked_and_the_film_its_own_landmarks() -> None:
    shut, opening = face(np.random.default_rng(0)), np.linspace(0, 0.05, FRAMES)
    points, asked = opened(shut, opening), opened(shut, 2 * opening)
    meshes = np.zeros((FRAMES, 478, 2), np.float32)
    meshes[:, list(POSE + CONTENT)] = points
    lips = 128 * points[:, -len(OUTER_LIP + INNER_LIP) :]
    assert CONTENT[NUM_JAW:] == OUTER_LIP + INNER_LIP
    scorer = Scorer(Networks(FaceMesh(), None, None, None, None, {}))
    rows = scorer.score(stretch(meshes, asked), {"half": CROPS}, {REAL: lips, "half": lips})
    assert rows[REAL]["obedience.slope"] == pytest.approx(1, abs=1e-3)
    assert rows["half"]["obedience.slope"] == pytest.approx(0.5, abs=1e-3)


def test_a_judge_that_does_not_exist_is_told_before_the_work() -> None:
    with pytest.raises(WeightsError, match="No model 'no-such-judge'"):
        load_networks("no-such-judge")
