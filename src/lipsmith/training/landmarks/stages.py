"""The landmark generator ready to run, from a training run's folder or from a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lipsmith.errors import WeightsError
from lipsmith.inference.backend import Backend, load_backend
from lipsmith.inference.model_folder import find_model


def load_stages(model: str, device: str = "auto", threads: int | None = None) -> tuple[Backend, int, int]:
    """The stages `speech` and `landmarks`, their window in frames and their number of references.

    `model`: a training run's folder, or a model's name or folder whose config has the table `landmarks`.
    Raises WeightsError where it is neither.
    """
    if (Path(model) / "landmarks.json").is_file():
        return _run_stages(Path(model), device, threads)
    folder = find_model(model)
    sizes: dict[str, Any] = folder.config.get("landmarks", {})
    if "window" not in sizes:
        raise WeightsError(f"{folder.path / 'config.json'} has no table 'landmarks'; give a model that dubs")
    return load_backend(folder, device, threads), int(sizes["window"]), int(sizes.get("references", 15))


def _run_stages(run: Path, device: str, threads: int | None) -> tuple[Backend, int, int]:
    import torch

    from lipsmith.training.landmarks.task import ModuleStages, load_trained

    if threads:
        torch.set_num_threads(threads)
    network, config = load_trained(run)
    wanted = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return ModuleStages(network.to(wanted)), config.window, config.references
