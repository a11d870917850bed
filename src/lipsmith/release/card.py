"""Writes the model card: data, training, validation figures, license and intended use."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from string import Template
from typing import Any, Final

_CARD: Final = Template("""# Model card: $name

This lipsmith model predicts the landmarks of lips and jaw from footage of a face and new speech, and renders the
lower half of the face to match. It consists of two networks in seven ONNX stages, which docs/architecture.md
describes.

## Data

$data

## Training

| | landmark generator | renderer |
|---|---|---|
$training

The recorded commands, with the settings of `training.json` in place of CONFIG:

$commands

Hardware: $hardware

The configurations are in `config.json`. The weights are averages over the run, selected by validation and rounded
to half precision.

## Validation

The figures use the strict protocol on the split `val`: references come from the first half of a clip, and the
second half is rebuilt.

| landmark generator | |
|---|---|
$landmarks

| renderer | |
|---|---|
$renderer

## License, consent, intended use

Weights: $license The footage belongs to its owners; no frame of it is part of the model folder.

Intended use: dubbing, correction of recordings, accessibility and research, with the consent of the person shown
and of the owner of the voice. Do not use it to make people say what they did not agree to say, or to deceive,
harass or defraud. Label results as synthetic; every result of `lipsmith dub` says so in its metadata, which must
not be removed.

Limits: the training data has few people, mostly frontal and close to the camera. Results are worse for large head
rotations, thin or transparent things before the mouth and unusual light, and may be worse for some groups of people.
docs/limits.md lists the known artifacts.
""")

_ROWS: Final = ("steps", "minutes", "batch", "clips", "targets", "learning_rate", "seed")


def model_card(
    name: str, landmarks: Mapping[str, Any], renderer: Mapping[str, Any], *, data: str, hardware: str, license: str
) -> str:
    """Markdown from the JSON files of the two runs (keys `training` and `validation`) and the given sentences."""
    trainings = landmarks["training"], renderer["training"]
    best = [run["validation"].get("step") for run in (landmarks, renderer)]
    rows = [("step of the weights", *best)]
    rows += [(row, *(run.get(row) for run in trainings)) for row in _ROWS]
    if any(starts := [run.get("start") for run in trainings]):
        rows.append(("begun with", *starts))
    return _CARD.substitute(
        name=name,
        data=data,
        hardware=hardware,
        license=license,
        commands="\n".join(f"    {command(*run)}" for run in zip(("landmarks", "renderer"), trainings, strict=True)),
        training="\n".join(f"| {_words(row)} | {_shown(left)} | {_shown(right)} |" for row, left, right in rows),
        landmarks=_table(landmarks["validation"]),
        renderer=_table(renderer["validation"]),
    )


def command(network: str, training: Mapping[str, Any]) -> str:
    """The command that trained `network` (landmarks, renderer), from the `training` record of its run."""
    recorded = {"--start": training.get("start"), "--minutes": training.get("minutes")}
    options = [f"{option} {shlex.quote(_shown(value))}" for option, value in recorded.items() if value is not None]
    return " ".join([f"lipsmith train {network} CONFIG --data DATA --out RUN", *options])


def _table(figures: Mapping[str, Any]) -> str:
    return "\n".join(
        f"| {_words(name)} | {_shown(value)} |" for name, value in sorted(figures.items()) if name != "step"
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: object) -> str:
    if value is None:
        return "n/a"
    if not isinstance(value, float):
        return str(value)
    # Rounding errors of zero are shown as zero, and large steps as whole numbers.
    value = round(value, 9)
    return f"{value:.0f}" if value.is_integer() else f"{value:.5g}"
