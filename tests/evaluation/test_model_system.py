"""A model on crops larger than its own: its picture is enlarged, with or without the detail of the references."""

from __future__ import annotations

import numpy as np
import pytest

from double import CONFIG, SIZE, Double
from lipsmith.errors import WeightsError
from lipsmith.evaluation.model_system import ModelSystem, load_system
from lipsmith.evaluation.systems import ReconstructionTask

SIDE = 2 * SIZE


def task() -> ReconstructionTask:
    """Return a task of crops with fine stripes, of which every frame may be used."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[:, ::2] = 200
    random = np.random.default_rng(0)
    points = (0.5 + 0.1 * random.standard_normal((8, 131, 2))).astype(np.float32)
    images, frames = np.stack([picture] * 8), np.arange(8)
    upper = images.copy()
    upper[:, SIDE // 2 :] = 0
    return ReconstructionTask(
        clip="a",
        images=images,
        landmarks=points,
        still=np.tile(np.array([[0.1, 0.9], [0.9, 0.9]], np.float32), (8, 1, 1)),
        targets=frames,
        upper=upper,
        points=points,
        mel=np.zeros((8, 80, 16), np.float32),
        sound=np.zeros((80, 26), np.float32),
        times=np.arange(8) / 25,
        allowed=frames,
        pool=frames,
        predicted=False,
    )


def test_native_detail_adds_the_detail_of_the_references() -> None:
    sharp, soft = (
        ModelSystem("x", Double(), CONFIG, detail=detail).reconstruct(task()).astype(int) for detail in (True, False)
    )
    assert sharp.shape == soft.shape == (8, SIDE, SIDE, 3)
    inside = np.s_[:, 80:120, 20:-20]
    assert np.abs(np.diff(sharp[inside], axis=2)).mean() > 150
    assert np.abs(np.diff(soft[inside], axis=2)).mean() < 5
    assert np.array_equal(sharp[:, : SIDE // 2], task().images[:, : SIDE // 2])


def test_a_model_of_another_kind_is_refused_as_by_a_dub() -> None:
    with pytest.raises(WeightsError, match="sync is a model of kind sync, which does not dub; give one that does"):
        load_system("judge", "sync")
