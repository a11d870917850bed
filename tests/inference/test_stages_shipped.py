"""The networks compute from the shipped weights what the shipped ONNX files do.

Training, evaluation and GPUs use the former, dubs on a CPU the latter.
"""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the networks need the train extra")

from lipsmith.inference.model_folder import find_model
from lipsmith.inference.occlusion import CELLS, MODEL, STAGE
from lipsmith.inference.stages import load_stages
from lipsmith.inference.weights import WEIGHTS, with_weights
from lipsmith.models.landmarks.config import LandmarkConfig
from lipsmith.models.occlusion import OcclusionConfig, OcclusionNetwork, OcclusionStage
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.release.export import OUTPUTS, check_onnx, stage_axes


@pytest.mark.parametrize("stage", OUTPUTS)
def test_a_stage_of_the_shipped_model_equals_its_file(stage: str) -> None:
    model = find_model("fast")
    axes = stage_axes(model.part(LandmarkConfig, "landmarks"), model.part(RendererConfig, "renderer"))
    check_onnx(load_stages(model.path)[stage], axes[stage], model.path / f"{stage}.onnx")


def test_the_shipped_occlusion_network_equals_its_file() -> None:
    model = find_model(MODEL)
    network = OcclusionNetwork(model.architecture(OcclusionConfig, MODEL, "an occlusion network"))
    stage = OcclusionStage(with_weights(network, model.path / WEIGHTS))
    check_onnx(stage, {"pictures": ("n", 6, *CELLS[::-1])}, model.path / STAGE)
