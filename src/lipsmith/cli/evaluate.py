"""Evaluate a model on prepared clips, together with the baselines copy, mean and landmark warp."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from lipsmith.cli import console
from lipsmith.cli.results import seen_from, write_figures
from lipsmith.errors import UsageError
from lipsmith.files import refuse_outputs, write_whole

if TYPE_CHECKING:
    from lipsmith.data.clips import ClipRecord
    from lipsmith.evaluation.model_system import ModelSystem
    from lipsmith.evaluation.run import Evaluation
    from lipsmith.evaluation.systems import System

TITLES = {
    1: "Systems and ablations",
    2: "Number of references",
    3: "Number of lip references",
}


@dataclass(frozen=True, kw_only=True)
class Options(console.DeviceOptions, console.JsonOptions, console.OutputOptions):
    """Without a model, only the baselines are evaluated."""

    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")]
    """Prepared clips."""
    model: str | None = None
    """Name or folder of the model; for --table 2 and 3 it may be a run of `train renderer`."""
    variant: Annotated[tuple[str, ...], console.by_default("none")] = ()
    """More models as NAME=FOLDER: model folders, or runs of `train renderer`, such as ablations and compared systems.
    Runs render the landmarks that --model predicts."""
    outputs: Annotated[tuple[str, ...], console.by_default("none")] = ()
    """Films of other systems as NAME=FOLDER, made from the clips' sources and named as the clips or the sources.
    Clips that one of the folders lacks are left out."""
    protocol: Literal["strict", "paper", "cross"] = "strict"
    """strict: references come from a clip's first half, and the second half is rebuilt. paper: as in IP_LAP, with
    neighboring frames among the references. cross: another person's speech."""
    split: tuple[Literal["val", "test", "train"], ...] = ("test",)
    """Splits to evaluate; of several, the people are taken together."""
    landmarks: Literal["true", "predicted"] = "true"
    """Source of the lips and jaw to render: the film itself (true), or the model's prediction from speech."""
    side: int | None = None
    """Size in pixels to which crops are downscaled for measurement. Face and mouth are then measured too, and the
    system `enlarged`, which is the model's picture without the references' detail."""
    table: Literal[1, 2, 3] = 1
    """The paper's table: 1 systems and ablations, 2 number of references, 3 number of lip references."""
    adapt: float | None = None
    """Also evaluate the model adapted for this many minutes to the first half of each clip; only clips of at least 8 s
    are evaluated then. Strict protocol only."""
    judge: str = "sync"
    """The lip-sync judge: a name or folder."""
    markdown: Path | None = None
    """Also write the table as Markdown."""
    latex: Path | None = None
    """Also write the table as LaTeX."""
    strips: Path | None = None
    """Also write a film strip of each clip into this folder, which `lipsmith report` reads if it is beside the JSON."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.table != 1 and self.model is None:
            raise UsageError(f"--table {self.table} varies a model's references: add --model, a name or a folder.")
        if self.adapt is not None and (self.model is None or self.protocol != "strict" or self.table != 1):
            raise UsageError("--adapt needs --model, --protocol strict and --table 1.")
        if self.adapt is not None and not 0 < self.adapt < math.inf:
            raise UsageError("--adapt must be a number above 0.")
        if self.side is not None:
            console.require_side(self.side)
        for option, values in (("--variant", self.variant), ("--outputs", self.outputs)):
            if not all(all(value.partition("=")) for value in values):
                raise UsageError(f"{option} needs NAME=FOLDER.")
            if values and self.table != 1:
                raise UsageError(f"{option} belongs to --table 1, not to --table {self.table}.")
        if self.outputs and self.protocol == "cross":
            raise UsageError(
                "--outputs say the clips' own speech; compare films of other speech with `lipsmith score`."
            )
        if not (self.model or self.variant) and (self.landmarks == "predicted" or self.protocol == "cross"):
            raise UsageError("Predicted landmarks and the cross-driven protocol need a model: add --model NAME.")
        require_wave(self.judge)
        self._check_names()

    def _check_names(self) -> None:
        """Raise UsageError for a --model that only --variant takes, and for names that two systems would have."""
        from lipsmith.evaluation.metrics.regions import FACE, MOUTH
        from lipsmith.evaluation.systems import RESERVED
        from lipsmith.inference.model_folder import networks_of_run

        if self.model and self.table == 1 and "renderer" in networks_of_run(self.model):
            raise UsageError(
                f"--model {self.model} is a run of renderer; add it to --table 1 as --variant NAME={self.model}."
            )
        given = [name for name, _ in _pairs(self.variant + self.outputs)]
        if regions := [name for name in given if name in (FACE, MOUTH)]:
            raise UsageError(f"The figures of a region are named {regions[0]}, too; give that system another name.")
        names = [*RESERVED, _plain(self), *given]
        if twice := [name for name in names if name and names.count(name) > 1]:
            raise UsageError(
                f"Two systems are named {twice[0]}; give --model, each --variant and each of --outputs a unique name."
            )


def require_wave(judge: str) -> None:
    """Raise UsageError for a judge that cannot score prepared clips."""
    from lipsmith.evaluation.metrics.lse import OFFICIAL

    if judge == OFFICIAL:
        raise UsageError(
            f"--judge {judge} needs waveforms, but prepared clips store mels; use it with `lipsmith score`."
        )


def run(options: Options) -> None:
    """Evaluate, print the table, write the files."""
    outputs = [path for path in (options.json, options.markdown, options.latex) if path]
    folders = [Path(folder) for _, folder in _pairs(options.outputs)]
    films = (film for folder in folders for film in folder.rglob("*"))
    inputs = (options.data, options.model, *(folder for _, folder in _pairs(options.variant)), *folders, *films)
    refuse_outputs(outputs, options.overwrite, inputs=inputs, folder=options.strips)
    evaluation, settings = _evaluate(options)
    _show(options, evaluation, settings)
    for path in outputs:
        console.result(path)


def _pairs(values: tuple[str, ...]) -> list[list[str]]:
    """Name and folder of each NAME=FOLDER."""
    return [value.split("=", 1) for value in values]


def _evaluate(options: Options) -> tuple[Evaluation, dict[str, Any]]:
    import torch

    from lipsmith.adaptation.system import SHORTEST
    from lipsmith.evaluation.listening import split_phonemes
    from lipsmith.evaluation.outputs import find_outputs, shown_by_all
    from lipsmith.evaluation.protocols import MIN_STRICT_SECONDS
    from lipsmith.evaluation.report import write_strip
    from lipsmith.evaluation.run import Plan, check_sides, evaluate, long_clips
    from lipsmith.evaluation.scoring import Scorer, load_networks
    from lipsmith.evaluation.totals import sample

    if options.threads:
        torch.set_num_threads(options.threads)
    shortest = SHORTEST if options.adapt else MIN_STRICT_SECONDS
    records = long_clips(options.data, options.split, shortest)
    outputs = [find_outputs(name, Path(folder), options.data, records) for name, folder in _pairs(options.outputs)]
    shown = shown_by_all(outputs, records)
    systems = _systems(options, outputs)
    plan = Plan(
        options.data, options.split, options.protocol, options.landmarks, _speaker(systems), options.side,
        shortest=shortest, shown=shown,
    )  # fmt: skip
    check_sides(plan, systems)
    about = _about(options)
    scorer = Scorer(load_networks(options.judge), regions=options.side is not None)
    with console.progress("phonemes") as progress:
        phonemes = split_phonemes(options.data, options.split, progress, scorer.networks.missing)
        plan = replace(plan, phonemes=phonemes)
    if options.model and options.adapt:
        systems.insert(-1, _adapted(options, options.model, options.adapt, plan.records()))  # before the model
    with console.progress("evaluating") as progress:
        watch = partial(write_strip, options.strips) if options.strips else None
        found = evaluate(plan, systems, scorer, progress=progress, watch=watch)
    settings = {
        "data": options.data, "model": options.model, "protocol": options.protocol, "split": " ".join(options.split),
        "landmarks": "predicted" if plan.predicts else "true", "table": options.table, "side": options.side,
        "adapt": options.adapt, "variant": options.variant or None, "outputs": options.outputs or None,
        "sample": sample(found.rows),
        **scorer.settings,
        "systems": list(found.totals), "about": about, "plain": _plain(options), "intervals": found.intervals,
        "missing": scorer.networks.missing, "strips": seen_from(options.json, options.strips),
    }  # fmt: skip
    return found, settings


def _systems(options: Options, outputs: Sequence[System]) -> list[System]:
    from lipsmith.evaluation.baselines import Copy, Mean, Warp
    from lipsmith.evaluation.model_system import load_system
    from lipsmith.evaluation.run_systems import load_variant
    from lipsmith.evaluation.systems import ENLARGED

    place = options.device, options.threads
    if options.model and options.table == 2:
        return [load_variant(f"references_{n}", options.model, *place, references=n) for n in (1, 5, 10, 25)]
    if options.model and options.table == 3:
        return [load_variant(f"lips_{n}", options.model, *place, lips=n) for n in (1, 3, 5)]
    systems: list[System] = [Copy(), Mean(), Warp(), *outputs]
    for name, folder in _pairs(options.variant):
        systems.append(load_variant(name, folder, *place))
    if options.model and options.side:
        systems.append(load_system(ENLARGED, options.model, *place, detail=False))
    return [*systems, load_system(_plain(options), options.model, *place)] if options.model else systems


def _about(options: Options) -> dict[str, str]:
    """A sentence on each system, for `lipsmith report`."""
    from lipsmith.evaluation.about import UNTRAINED, about_model, about_outputs
    from lipsmith.evaluation.systems import ADAPTED, ENLARGED

    about = dict(UNTRAINED) if options.table == 1 else {}
    about |= {name: about_outputs(Path(folder)) for name, folder in _pairs(options.outputs)}
    about |= {name: about_model(folder) for name, folder in _pairs(options.variant)}
    if options.model:
        plain = Path(options.model).resolve().name
        about[plain] = about_model(options.model)
        if options.side:
            about[ENLARGED] = f"{plain} without the references' detail."
        if options.adapt:
            about[ADAPTED] = f"{plain}, adapted for {options.adapt:g} minutes to the first half of each clip."
    return about


def _adapted(options: Options, model: str, minutes: float, clips: Sequence[ClipRecord]) -> System:
    from lipsmith.adaptation.mouth_task import mouth_config
    from lipsmith.adaptation.system import adapt_to_clips
    from lipsmith.adaptation.task import adaptation_config
    from lipsmith.inference.model_folder import find_model

    folder = find_model(model)
    with console.progress("adapting") as progress:
        configs = mouth_config(folder, minutes), adaptation_config(folder, minutes)
        return adapt_to_clips(folder, *configs, options.data, clips, options.device, progress)


def _speaker(systems: list[System]) -> ModelSystem | None:
    """The system that predicts landmarks: the last model."""
    from lipsmith.evaluation.model_system import ModelSystem

    return next((system for system in reversed(systems) if isinstance(system, ModelSystem)), None)


def _plain(options: Options) -> str:
    """The system whose figures have no prefix."""
    return Path(options.model).resolve().name if options.model and options.table == 1 else ""


def title_of(settings: Mapping[str, Any]) -> str:
    """The table's title: what was measured, on how much."""
    parts = [f"protocol {settings['protocol']}", f"split {' and '.join(settings['split'].split())}"]
    parts += [f"{settings['landmarks']} landmarks", *([f"{settings['side']} pixels"] if settings["side"] else [])]
    return f"{TITLES[settings['table']]}: {', '.join([*parts, settings['sample']])}"


def _show(options: Options, evaluation: Evaluation, settings: dict[str, Any]) -> None:
    from lipsmith.evaluation.run import flat_figures
    from lipsmith.evaluation.systems import REAL
    from lipsmith.evaluation.tables import make_table

    title = title_of(settings)
    table = make_table(title, evaluation.totals, evaluation.intervals)
    written = any((options.json, options.markdown, options.latex))
    figures = flat_figures(evaluation, _plain(options))
    figures["clips"] = len({row["clip"] for row in evaluation.rows})
    figures["frames"] = sum(row["frames"] for row in evaluation.rows if row["system"] == REAL)
    # Neither a closed pipe nor a full disk must lose figures that took a quarter of an hour.
    try:
        write_figures(options.json, figures, settings, evaluation.rows, overwrite=options.overwrite)
        for path, text in ((options.markdown, table.markdown()), (options.latex, table.latex())):
            if path:
                with write_whole(path, options.overwrite) as beside:
                    beside.write_text(text, encoding="utf-8")
    finally:
        if settings["missing"]:
            console.table("Not measured", ("figure", "why"), list(settings["missing"].items()))
        console.table(title, table.header, table.body, None if written else sys.stdout)
