"""List models and third-party weights: found or missing, and where to get them."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from lipsmith.cli import console
from lipsmith.errors import WeightsError
from lipsmith.inference.model_folder import find_model, model_names
from lipsmith.models.third_party import THIRD_PARTY, third_party_state, weights_folder


@dataclass(frozen=True, kw_only=True)
class Options(console.Common):
    """This verb lists everything and has no options of its own."""


def run(options: Options) -> None:
    """Print both tables on stdout, as the result of this verb."""
    models = [(name, _state(name)) for name in model_names()]
    console.table("Models", ("name", "state"), models, sys.stdout)
    rows = [
        (name, third_party_state(name), weights.file, weights.use, weights.license, weights.origin)
        for name, weights in THIRD_PARTY.items()
    ]
    columns = ("name", "state", "file", "used for", "license", "origin")
    console.table(f"\nThird-party weights in {weights_folder()}", columns, rows, sys.stdout)


def _state(model: str) -> str:
    try:
        find_model(model)
    except WeightsError as error:
        return str(error)
    return "found"
