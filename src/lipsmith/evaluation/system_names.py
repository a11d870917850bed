"""Names under which films and baselines stand in tables; here, so that a command knows them before it measures."""

from __future__ import annotations

from typing import Final

REAL: Final = "real"
"""The film itself, where a figure needs no truth."""
COPY: Final = "copy"
MEAN: Final = "mean"
WARP: Final = "warp"
TAKEN: Final = (REAL, COPY, MEAN, WARP)
"""What no other system may be called."""
