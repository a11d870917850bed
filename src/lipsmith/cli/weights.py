"""List models and third-party weights: found or missing, and where to get them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from lipsmith.cli import console
from lipsmith.errors import WeightsError
from lipsmith.files import home
from lipsmith.inference.model_folder import find_model, model_names
from lipsmith.models.third_party import THIRD_PARTY, third_party


@dataclass(frozen=True, kw_only=True)
class Options(console.Common):
    """This verb lists everything and has no options of its own."""


def run(options: Options) -> None:
    """Print both tables on stdout, as the result of this verb."""
    models = [(name, _state(partial(find_model, name))) for name in model_names()]
    console.table("Models", ("name", "state"), models, sys.stdout)
    folder = home() / "weights"
    rows = [
        (
            name,
            _state(partial(third_party, name)) if (folder / weights.file).is_file() else "missing",
            weights.file,
            weights.use,
            weights.license,
            weights.origin,
        )
        for name, weights in THIRD_PARTY.items()
    ]
    columns = ("name", "state", "file", "used for", "license", "origin")
    console.table(f"\nThird-party weights in {folder}", columns, rows, sys.stdout)


def _state(check: Callable[[], object]) -> str:
    try:
        check()
    except WeightsError as error:
        return str(error)
    return "found"
