"""Draws plots as SVG text, without dependencies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final

import numpy as np

COLORS: Final = (
    "#4c566a",
    "#2a78d6",
    "#d1603d",
    "#3d9a5f",
    "#8b5bb5",
    "#c49a1a",
    "#1a9ba8",
    "#b03060",
    "#7a6a4f",
    "#8fb339",
    "#e39ac0",
    "#000000",
)
_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 16, 14, 44


class Axes:
    """Maps the data of one plot to positions in its picture, and draws them."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        margin = 0.06 * ((y[1] - y[0]) or 1.0)
        self._x, self._y = x, (y[0] - margin, y[1] + margin)
        self.marks: list[str] = []

    def across(self, value: float) -> float:
        """Horizontal position."""
        low, high = self._x
        return _LEFT + (value - low) / ((high - low) or 1.0) * (_WIDTH - _LEFT - _RIGHT)

    def down(self, value: float) -> float:
        """Vertical position."""
        low, high = self._y
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def line(self, xs: Sequence[float], ys: Sequence[float], color: str, title: str) -> None:
        """A curve; points that are not finite are skipped."""
        known = [(x, y) for x, y in zip(xs, ys, strict=True) if np.isfinite(y)]
        places = " ".join(f"{self.across(x):.1f},{self.down(y):.1f}" for x, y in known)
        self.marks.append(
            f'<polyline points="{places}" fill="none" stroke="{color}" stroke-width="2"><title>{escape(title)}'
            "</title></polyline>"
        )

    def dot(self, x: float, y: float, color: str, title: str) -> None:
        """A point with a tooltip."""
        self.marks.append(
            f'<circle cx="{self.across(x):.1f}" cy="{self.down(y):.1f}" r="4" fill="{color}" fill-opacity="0.8">'
            f"<title>{escape(title)}</title></circle>"
        )

    def svg(self, x_title: str, y_title: str, ticks: Mapping[float, str]) -> str:
        """The finished plot."""
        parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(y_title)}">']
        parts += [self._grid_line(value) for value in np.linspace(*self._y, 7)[1:-1]]
        parts += [
            f'<text x="{self.across(x):.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{escape(word)}</text>'
            for x, word in ticks.items()
        ]
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        parts.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x_title)}</text>')
        turned = f'transform="rotate(-90 14 {_HEIGHT / 2})"'
        parts.append(f'<text x="14" y="{_HEIGHT / 2}" text-anchor="middle" {turned}>{escape(y_title)}</text>')
        return "\n".join([*parts, *self.marks, "</svg>"])

    def _grid_line(self, value: float) -> str:
        y = self.down(value)
        return (
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        )


def colors(systems: Sequence[str]) -> dict[str, str]:
    """A color per system, the same in every plot of a page."""
    return {name: COLORS[index % len(COLORS)] for index, name in enumerate(systems)}


def curves(lines: Mapping[str, Sequence[float]], painted: Mapping[str, str]) -> str:
    """Mean distances over shifts -R..R, one line per system, with a legend; `painted`: `colors` of the systems."""
    values = np.array([list(line) for line in lines.values()], np.float64)
    reach = values.shape[1] // 2
    shifts = list(range(-reach, reach + 1))
    axes = Axes((-reach, reach), (float(np.nanmin(values)), float(np.nanmax(values))))
    for name, line in lines.items():
        axes.line(shifts, line, painted[name], name)
    ticks = {float(shift): str(shift) for shift in shifts if shift % 5 == 0}
    return legend(lines, painted) + axes.svg("frames by which the speech is moved earlier", "mean distance", ticks)


def per_identity(title: str, values: Mapping[str, Mapping[str, float]], painted: Mapping[str, str]) -> str:
    """One column per identity, one dot per system: `values[system][identity]`; `painted`: `colors` of the systems."""
    everybody = sorted({identity for found in values.values() for identity in found})
    finite = [value for found in values.values() for value in found.values() if np.isfinite(value)]
    axes = Axes((-0.5, len(everybody) - 0.5), (min(finite), max(finite)))
    for name, found in values.items():
        for identity, value in found.items():
            if np.isfinite(value):
                axes.dot(everybody.index(identity), value, painted[name], f"{name}, {identity}: {value:.4g}")
    every = max(1, len(everybody) // 16)
    ticks = {float(place): name for place, name in enumerate(everybody) if place % every == 0}
    return legend(values, painted) + axes.svg("identity", title, ticks)


def legend(names: Iterable[str], painted: Mapping[str, str]) -> str:
    """The color of each name."""
    items = "".join(f'<span><i style="background:{painted[name]}"></i>{escape(name)}</span>' for name in names)
    return f'<p class="legend">{items}</p>'
