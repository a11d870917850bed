"""The networks that `lipsmith train renderer` knows, by the key `system` of their configs; ours has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from lipsmith.config import build, read_toml
from lipsmith.errors import UsageError
from lipsmith.training.renderer.config import IplapTraining, RendererTraining, Wav2LipTraining
from lipsmith.training.renderer.iplap import IplapTask
from lipsmith.training.renderer.picture_task import PictureTask
from lipsmith.training.renderer.task import RendererTask
from lipsmith.training.renderer.wav2lip import Wav2LipTask

AnyTraining = RendererTraining | IplapTraining | Wav2LipTraining
PEERS: Final[dict[str, type[IplapTraining] | type[Wav2LipTraining]]] = {
    "wav2lip": Wav2LipTraining,
    "iplap": IplapTraining,
}


def load_training(name_or_path: str | Path) -> AnyTraining:
    """The config in a TOML file, or the packaged one of that name. Raises UsageError as `load_config`."""
    table = read_toml("renderer", name_or_path)
    system: Any = table.get("system")
    if system is None:
        return build(RendererTraining, table, str(name_or_path))
    if system not in PEERS:
        raise UsageError(f"{name_or_path}: system = '{system}' is unknown; it may be one of {', '.join(PEERS)}.")
    return build(PEERS[system], table, str(name_or_path))


def make_task(config: AnyTraining) -> PictureTask:
    """The task of training the network of `config`."""
    if isinstance(config, Wav2LipTraining):
        return Wav2LipTask(config)
    if isinstance(config, IplapTraining):
        return IplapTask(config)
    return RendererTask(config)
