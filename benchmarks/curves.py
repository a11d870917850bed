"""Draws a validation figure of training runs over the samples they saw, as SVG.

python benchmarks/curves.py runs/tables/wav2lip_small runs/tables/paper_small --out curves.svg [--figure face_psnr]
"""

from __future__ import annotations

import argparse
import json
from html import escape
from pathlib import Path

from lipsmith.evaluation.plots import COLORS, Axes

STYLE = (
    "<style>text{font:12px sans-serif;fill:#4c566a}.grid{stroke:#d8dee9}</style>"
    '<rect width="100%" height="100%" fill="#fff"/>'
)


def main() -> None:
    """Draw one curve for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--figure", default="face_psnr")
    parser.add_argument("--least", type=float, default=0.0, help="values below are not drawn")
    options = parser.parse_args()
    curves = {run.name: curve(run, options.figure) for run in options.runs}
    most = max(samples for points in curves.values() for samples, _ in points)
    values = [value for points in curves.values() for _, value in points]
    axes = Axes((0, most), (max(min(values), options.least), max(values)))
    for index, (name, points) in enumerate(curves.items()):
        color = COLORS[1 + index % (len(COLORS) - 1)]
        shown = [(samples, value) for samples, value in points if value >= options.least]
        axes.line([samples for samples, _ in shown], [value for _, value in shown], color, name)
        axes.marks.append(f'<text x="84" y="{130 + 16 * index}" style="fill:{color}">{escape(name)}</text>')
    ticks = {share * most: f"{share * most:,.0f}" for share in (0.25, 0.5, 0.75)}
    drawn = axes.svg("targets seen", f"{options.figure.replace('_', ' ')} on val", ticks)
    opening, rest = drawn.split(">", 1)
    options.out.write_text(f'{opening} xmlns="http://www.w3.org/2000/svg">{STYLE}{rest}\n', encoding="utf-8")


def curve(run: Path, figure: str) -> list[tuple[float, float]]:
    """Targets seen and the figure, at every validation of a run."""
    training = json.loads((run / "renderer.json").read_text(encoding="utf-8"))["training"]
    lines = map(json.loads, (run / "log.jsonl").read_text(encoding="utf-8").splitlines())
    samples = training["clips"] * training["targets"]
    found = ((samples * line["step"], line.get(f"val/{figure}")) for line in lines)
    return [(seen, value) for seen, value in found if value is not None]


if __name__ == "__main__":
    main()
