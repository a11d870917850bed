"""The networks that `lipsmith train renderer` knows, by the key `system` of their configs; ours has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from lipsmith.config import build, read_table
from lipsmith.errors import UsageError
from lipsmith.training.renderer.config import IplapTraining, RendererTraining, Wav2LipTraining

AnyTraining = RendererTraining | IplapTraining | Wav2LipTraining
PEERS: Final[dict[str, type[IplapTraining] | type[Wav2LipTraining]]] = {
    "wav2lip": Wav2LipTraining,
    "iplap": IplapTraining,
}


def load_training(name_or_path: str | Path) -> AnyTraining:
    """The config in a TOML file, or the packaged one of that name. Raises UsageError as `load_config`."""
    table = read_table("renderer", name_or_path)
    system: Any = table.get("system")
    if system is None:
        return build(RendererTraining, table, str(name_or_path))
    if system not in PEERS:
        raise UsageError(f"{name_or_path}: system = '{system}' is unknown; it may be one of {', '.join(PEERS)}")
    return build(PEERS[system], table, str(name_or_path))
