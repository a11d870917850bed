"""Print the information for a bug report: versions, the machine, the backend, models and weights.

Nothing is sent over the network. The exit code is 4 if the shipped model cannot run here.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from lipsmith.cli import console
from lipsmith.errors import WeightsError


@dataclass(frozen=True, kw_only=True)
class Options(console.Common):
    """This verb checks everything and has no options of its own."""


def run(options: Options) -> None:
    """Print the tables on stdout, as the result of this verb."""
    from lipsmith.inference import diagnosis
    from lipsmith.models.third_party import THIRD_PARTY, third_party_state, weights_folder

    backend = diagnosis.backend_of()
    weights = [("folder", str(weights_folder()))]
    weights += [(name, third_party_state(name)) for name in THIRD_PARTY]
    for title, rows in (
        ("Versions", diagnosis.versions()),
        ("Machine", [*diagnosis.machine(), backend]),
        ("Models", diagnosis.models()),
        ("Third-party weights, all optional", weights),
    ):
        console.table(title, ("what", "found"), rows, sys.stdout)
        print()
    if backend[1].startswith("none"):
        raise WeightsError(f"The model {diagnosis.DEFAULT_MODEL} cannot run here; see the table Machine.")
