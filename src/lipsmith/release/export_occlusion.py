"""Exports the network that finds what lies before a face, in its model folder."""

from __future__ import annotations

from pathlib import Path

from lipsmith.inference.model_folder import find_model, write_config
from lipsmith.inference.occlusion import CELLS, MODEL, STAGE
from lipsmith.inference.weights import WEIGHTS, with_weights
from lipsmith.models.occlusion import OcclusionConfig, OcclusionNetwork, OcclusionStage
from lipsmith.release.export import write_stage


def export_occlusion(folder: Path) -> None:
    """Write the ONNX stage into the model folder of a trained network.

    Raises WeightsError if `folder` holds none, or if the stage on ONNX Runtime differs from torch.
    """
    model = find_model(folder.resolve())
    architecture = model.architecture(OcclusionConfig, MODEL, "an occlusion network")
    stage = OcclusionStage(with_weights(OcclusionNetwork(architecture), model.path / WEIGHTS))
    columns, rows = CELLS
    write_stage(stage, {"pictures": ("n", 6, rows, columns)}, ("found",), model.path / STAGE)
    write_config(model.path, {key: value for key, value in model.config.items() if key != "files"})
