"""Count parameters and multiply-accumulates of a model's parts."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from lipsmith.cli import console
from lipsmith.cli.results import write_figures
from lipsmith.errors import UsageError
from lipsmith.files import refuse_outputs

if TYPE_CHECKING:
    from lipsmith.release.cost import Part


@dataclass(frozen=True, kw_only=True)
class Options(console.JsonOptions, console.OutputOptions):
    """Counts are computed from the configs without running the networks."""

    config: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="CONFIG")]
    """The renderer's TOML file, or a packaged one, such as fast, paper, paper_small, wav2lip or iplap_small."""
    landmarks: str = "fast"
    """The landmark generator's TOML file, or the name of a packaged one."""
    references: Annotated[int | None, console.by_default("from the config")] = None
    """References per frame."""
    lips: Annotated[int | None, console.by_default("from the config")] = None
    """Lip references."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("references", "lips"):
            if (count := getattr(self, name)) is not None and count < 1:
                raise UsageError(f"--{name} {count} is below 1; give 1 or more.")


def run(options: Options) -> None:
    """Print one row per part."""
    refuse_outputs([options.json], options.overwrite, inputs=[options.config, options.landmarks])
    parts, settings = _counted(options)
    rows = [(part.name, part.per, part.parameters, part.macs / 1e9) for part in parts]
    figures = {f"{part.name}.gmac": part.macs / 1e9 for part in parts}
    figures |= {f"{part.name}.params": part.parameters for part in parts}
    write_figures(options.json, figures, settings, [asdict(part) for part in parts], overwrite=options.overwrite)
    columns = ("part", "once per", "parameters", "GMAC")
    console.table("Cost", columns, rows, None if options.json else sys.stdout)
    if options.json:
        console.result(options.json)


def _counted(options: Options) -> tuple[list[Part], dict[str, Any]]:
    """The parts, and the settings to record."""
    from lipsmith.config import load_config
    from lipsmith.release.cost import landmark_cost, renderer_cost, vgg_cost
    from lipsmith.release.peer_cost import iplap_cost, wav2lip_cost
    from lipsmith.training.landmarks.config import LandmarkTraining
    from lipsmith.training.renderer.config import IplapTraining, RendererTraining
    from lipsmith.training.renderer.systems import load_training

    config = load_training(options.config)
    if isinstance(config, RendererTraining):
        face = replace(
            config.model,
            references=options.references or config.model.references,
            lips=options.lips or config.model.lips,
        )
        mouth = load_config(LandmarkTraining, "landmarks", options.landmarks).model
        parts = renderer_cost(face) + landmark_cost(mouth) + [vgg_cost(face)]
        return parts, {"renderer": face, "landmarks": mouth}
    _refuse(options, "lips")
    if isinstance(config, IplapTraining):
        count = options.references or config.model.ranks
        return iplap_cost(config.model, count), {"renderer": config.model, "references": count}
    _refuse(options, "references")
    return wav2lip_cost(config.model), {"renderer": config.model}


def _refuse(options: Options, name: str) -> None:
    """Raise UsageError if a number is given that this system does not have."""
    if getattr(options, name) is not None:
        raise UsageError(f"--{name}: the cost of {options.config} does not depend on such a number; omit it.")
