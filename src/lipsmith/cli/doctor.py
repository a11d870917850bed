"""Print what a report of a problem needs: versions, the machine, the backend, models and weights.

Nothing is sent anywhere. Exit code 4 when the shipped model cannot run here.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from lipsmith.cli import console
from lipsmith.errors import WeightsError
from lipsmith.files import home


@dataclass(frozen=True, kw_only=True)
class Options(console.Common):
    """Nothing to choose: everything is looked at."""


def run(options: Options) -> None:
    """Print the tables on stdout, where they are this verb's result."""
    from lipsmith.inference import diagnosis
    from lipsmith.models.third_party import THIRD_PARTY

    backend = diagnosis.backend_of()
    folder = home() / "weights"
    weights = [("looked for in", str(folder))]
    weights += [
        (name, "found" if (folder / entry.file).is_file() else "missing") for name, entry in THIRD_PARTY.items()
    ]
    for title, rows in (
        ("Versions", diagnosis.versions()),
        ("Machine", [*diagnosis.machine(), backend]),
        ("Models", diagnosis.models()),
        ("Third-party weights, for training and measuring alone", weights),
    ):
        console.table(title, ("what", "found"), rows, sys.stdout)
        print()
    if backend[1].startswith("none"):
        raise WeightsError(f"the model {diagnosis.DEFAULT_MODEL} cannot run here; the table Machine says why")
