"""Constant frame rates behind time stamps that a container's clock has rounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Final, TypeVar

T = TypeVar("T")

_COMMON: Final = (
    *map(Fraction, (24, 25, 30, 50, 60, 120, 15, 12, 10)),
    *(Fraction(1000 * whole, 1001) for whole in (24, 30, 60, 120)),
)
_JITTER: Final = 20  # stamps that are off by less than this part of an interval belong to a constant rate
_MOST: Final = 0.4  # of an interval; what is off by more could as well be the neighbor's


def tolerance(step: Fraction, tick: Fraction) -> Fraction:
    """Seconds by which a stamp of a constant rate may be off, for frames every `step` on a clock of `tick`."""
    return max(2 * tick, step / _JITTER)


def nominal(span: Fraction, intervals: int, tick: Fraction, declared: Fraction) -> Fraction:
    """The rate by which `intervals` take `span` seconds: the common one nearest to what is `declared`, or that."""
    if 2 * tick * intervals >= span:
        return declared  # the clock counts frames, so it has rounded nothing
    nearest = sorted(_COMMON, key=lambda rate: abs(rate - declared))
    return next((rate for rate in nearest if abs(intervals / rate - span) <= 2 * tick), declared)


def evened(timed: Iterable[tuple[T, float]], rate: Fraction, tick: Fraction) -> Iterator[tuple[T, float]]:
    """Times that a clock of `tick` has rounded, put back to multiples of 1 / `rate`.

    A time that is off by more than rounding, after a pause for example, stays, and later ones are counted from it.
    """
    step = 1 / rate
    most = float(min(tolerance(step, tick), step * Fraction(_MOST)))
    anchor, last = 0.0, -1.0
    for item, time in timed:
        exact = anchor + float(round((time - anchor) * rate) * step)
        if abs(exact - time) > most or exact <= last:
            anchor = exact = max(time, last + float(step) * _MOST)
        last = exact
        yield item, exact
