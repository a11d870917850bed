"""Obedience: lines worked out by hand, shut lips, and missing requests."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.evaluation.metrics.obedience import obedience
from lipsmith.face.landmarks import INNER_LIP, NUM_POINTS, OUTER_LIP, ranks

SIDE = 128
LIPS = OUTER_LIP + INNER_LIP


def asked(openings: list[float], widths: list[float] | None = None) -> NDArray[np.float32]:
    """Return landmarks `(F, 131, 2)` in crop units with these inner-lip openings and mouth widths, in pixels at 128."""
    points = np.full((len(openings), NUM_POINTS, 2), 0.5, np.float32)
    points[:, ranks((14,))[0], 1] += np.array(openings) / SIDE
    points[:, ranks((291,))[0], 0] += np.array(widths or [40.0] * len(openings)) / SIDE
    return points


def found(openings: list[float], widths: list[float] | None = None) -> NDArray[np.float32]:
    """Return lips `(F, 40, 2)` in pixels at 128 with these openings and widths."""
    return asked(openings, widths)[:, ranks(LIPS)] * SIDE


def test_slope_and_rest_are_the_line_of_found_over_requested_openings() -> None:
    figures = obedience(found([1.5, 3.5, 7.5]), asked([2.0, 6.0, 14.0]))
    assert figures["obedience.slope"] == pytest.approx(0.5, abs=1e-4)
    assert figures["obedience.rest"] == pytest.approx(0.5, abs=1e-3)


def test_shut_is_the_share_of_frames_requested_shut_that_are_shut() -> None:
    figures = obedience(found([0.2, 0.9, 1.1, 0.1, 5.0]), asked([0.0, 0.5, 0.9, 1.2, 6.0]))
    assert figures["obedience.shut"] == pytest.approx(2 / 3)
    assert figures["obedience.asked_shut"] == 3


def test_width_has_a_slope_and_a_rest() -> None:
    # Found is half of the request plus 11 px: 4, 9 and 14 px too narrow.
    figures = obedience(found([3.0] * 3, [26.0, 31.0, 36.0]), asked([3.0] * 3, [30.0, 40.0, 50.0]))
    assert figures["obedience.width_slope"] == pytest.approx(0.5, abs=1e-4)
    assert figures["obedience.width_rest"] == pytest.approx(-9.0, abs=1e-3)


def test_figures_without_requests_are_nan() -> None:
    figures = obedience(found([2.0, 3.0, 4.0]), asked([3.0, 3.1, 2.9]))
    assert np.isnan([figures[f"obedience.{name}"] for name in ("slope", "rest", "shut", "width_slope")]).all()
    assert figures["obedience.asked_shut"] == 0
