"""Writes one self-contained page of results: tables, plots and film strips."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import InputError
from lipsmith.evaluation.metrics.lse import mean_curve
from lipsmith.evaluation.plots import colors, curves, per_identity
from lipsmith.evaluation.systems import REAL
from lipsmith.evaluation.tables import COLUMNS, Table, make_table
from lipsmith.evaluation.totals import Row
from lipsmith.files import write_whole

STRIP_FRAMES: Final = 6
_LABEL: Final = 15
"""Characters in a line of a label."""
_GAIN: Final = 4.0
"""Factor on errors in a strip, which would otherwise look black."""
PLOTTED: Final = ("psnr", "lpips_alex", "lip_lmd", "lse_d")
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:#1d2230;background:#fff}
table{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}
th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid #dde1ea;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
svg{width:100%;max-width:720px;display:block}svg text{font-size:11px;fill:#4c566a}
.grid{stroke:#dde1ea}.legend span{margin-right:1rem}.legend i{display:inline-block;width:.8em;height:.8em;
margin-right:.35em;border-radius:2px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{font-weight:600}dd{margin:0}
figure{margin:1rem 0}figure img{max-width:100%}figcaption,.note{color:#4c566a}
"""


def strip(
    real: NDArray[np.uint8], systems: Mapping[str, NDArray[np.uint8]], is_truth: bool = True
) -> NDArray[np.uint8]:
    """Six frames spread over crops `(T, S, S, 3)`: a labeled row of real pictures, one of each system's, and one of the
    absolute errors of the last system.

    The last row, amplified four times, is omitted if `real` is not the ground truth.
    """
    chosen = np.linspace(0, len(real) - 1, min(STRIP_FRAMES, len(real))).round().astype(int)
    rows = {name: np.concatenate(list(crops[chosen]), axis=1) for name, crops in {REAL: real, **systems}.items()}
    if is_truth:
        last = next(reversed(rows))
        rows[f"error of {last}"] = _errors(rows[REAL], rows[last])
    return np.concatenate([np.concatenate([_label(name, len(row)), row], axis=1) for name, row in rows.items()])


def write_strip(
    folder: Path, clip: str, real: NDArray[np.uint8], systems: Mapping[str, NDArray[np.uint8]], is_truth: bool = True
) -> None:
    """Write the `strip` of a clip as PNG atomically."""
    image = strip(real, systems, is_truth)
    path = strip_path(folder, clip)
    path.parent.mkdir(parents=True, exist_ok=True)
    coded = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1]
    with write_whole(path) as beside:
        beside.write_bytes(coded.tobytes())


def strip_path(folder: Path, clip: str) -> Path:
    """The file of a clip's strip: the clip's relative path below `folder`."""
    return folder / f"{clip}.png"


def write_report(
    path: Path, source: Path, figures: Mapping[str, float], settings: Mapping[str, Any], rows: Sequence[Row]
) -> None:
    """Write the page of one evaluation, from `source`, the JSON of `lipsmith evaluate` or `lipsmith score`.

    Raises InputError for results of another command, or changed ones.
    """
    if "systems" not in settings or not rows or "system" not in rows[0]:
        raise InputError(
            f"{source}: these are not results of `lipsmith evaluate` or `lipsmith score`; those of other commands, "
            "such as `evaluate landmarks`, have no page."
        )
    try:
        text = page(figures, settings, rows, source.parent)
    except (TypeError, AttributeError, LookupError, ValueError) as error:
        raise InputError(f"{source}: the results are damaged ({error}); evaluate again.") from error
    path.write_text(text, encoding="utf-8", errors="replace")  # names may not be UTF-8


def page(figures: Mapping[str, float], settings: Mapping[str, Any], rows: Sequence[Row], folder: Path) -> str:
    """The page as HTML text. Only film strips below `folder`, that of the results, are part of it."""
    title = f"lipsmith: {settings.get('protocol', 'score')}, {settings.get('split') or settings.get('generated')}"
    body = "\n".join(_sections(figures, settings, rows, folder))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def _sections(
    figures: Mapping[str, float], settings: Mapping[str, Any], rows: Sequence[Row], folder: Path
) -> Iterator[str]:
    totals = nested(figures, settings["systems"], settings.get("plain", ""))
    yield html_table(make_table("", totals, settings.get("intervals")))
    yield (
        '<p class="note">±: half of the 95 % interval of the mean, by bootstrap over identities. Lip-sync figures are '
        f"those of the judge <b>{escape(str(settings.get('judge') or 'none'))}</b> and compare with no other judge's. "
        "The Fréchet distance rests on VGG-16 and is no FID.</p>"
    )
    yield from (f'<p class="note">{escape(reason)}</p>' for reason in settings.get("missing", {}).values())
    yield from _about(settings)
    yield from _curves(settings["systems"], rows)
    yield from _plots(settings["systems"], rows)
    yield from _strips(settings, rows, folder)
    yield "<h2>Settings</h2>" + _settings(settings)


def _about(settings: Mapping[str, Any]) -> Iterator[str]:
    """What each system is and how it was trained."""
    about = settings.get("about", {})
    lines = [f"<dt>{escape(name)}</dt><dd>{escape(about[name])}</dd>" for name in settings["systems"] if name in about]
    if lines:
        yield f"<h2>Systems</h2><dl>{''.join(lines)}</dl>"


def nested(figures: Mapping[str, float], systems: Sequence[str], plain: str) -> dict[str, dict[str, float]]:
    """Figures by system and metric, from flat names (`copy.psnr`; without prefix for the system `plain`)."""
    prefixes = {system: "" if system == plain else f"{system}." for system in systems}
    keys = [column.key for column in COLUMNS]  # some have a dot of their own
    return {
        system: {key: figures[prefix + key] for key in keys if prefix + key in figures}
        for system, prefix in prefixes.items()
    }


def html_table(table: Table) -> str:
    """The table as HTML, the best in bold."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    rows = table.rows(escape, lambda cell: f"<b>{escape(cell)}</b>")
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _curves(systems: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    lines = {}
    for system in systems:
        found = [_numbers(row["curve"]) for row in rows if row["system"] == system and row.get("curve")]
        if found and np.isfinite(curve := mean_curve(np.array(found))).any():
            lines[system] = curve.tolist()
    if lines:
        yield "<h2>Distance of lips and speech over their shift</h2>" + curves(lines, colors(systems))


def _plots(systems: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    titles = {column.key: column.title for column in COLUMNS}
    for metric in PLOTTED:
        values = {system: _by_identity(rows, system, metric) for system in systems}
        values = {system: found for system, found in values.items() if found}
        if values:
            yield f"<h2>{escape(titles[metric])} by identity</h2>" + per_identity(
                titles[metric], values, colors(systems)
            )


def _by_identity(rows: Sequence[Row], system: str, metric: str) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["system"] == system and row.get(metric) is not None:
            found.setdefault(row["identity"], []).append(float(row[metric]))
    means = {identity: float(np.mean(values)) for identity, values in found.items()}
    return {identity: mean for identity, mean in means.items() if np.isfinite(mean)}


def _picture(settings: Mapping[str, Any], row: Row, folder: Path) -> Path:
    return strip_path(folder / settings["strips"], str(row["clip"])).resolve()


def _strips(settings: Mapping[str, Any], rows: Sequence[Row], folder: Path) -> Iterator[str]:
    """Film strips of all systems: the best, the median and the worst clip of the last system."""
    if not settings.get("strips"):
        return
    metric = "psnr" if any("psnr" in row for row in rows) else "lse_c"
    own = [row for row in rows if row["system"] == settings["systems"][-1] and row.get(metric) is not None]
    ranked = sorted(own, key=lambda row: -float(row[metric]))
    if not ranked:
        return
    yield "<h2>Film strips</h2>"
    if not any(_picture(settings, row, folder).is_file() for row in ranked):
        yield f'<p class="note">They are no longer in {escape(str(settings["strips"]))}.</p>'
        return
    if not all(_picture(settings, row, folder).is_relative_to(folder.resolve()) for row in ranked):
        # Results from elsewhere may name any picture of this machine.
        yield f'<p class="note">They are not beside the results, but in {escape(str(settings["strips"]))}.</p>'
        return
    error = "; its absolute error is four times as bright" if metric == "psnr" else ""  # else none is drawn
    yield (
        f'<p class="note">Six frames of a clip, chosen by {escape(metric)} of '
        f"{escape(settings['systems'][-1])}{error}.</p>"
    )
    chosen = {len(ranked) // 2: "Median", len(ranked) - 1: "Worst", 0: "Best"}  # one place each, of one or two clips
    for place, word in sorted(chosen.items()):
        row = ranked[place]
        picture = _picture(settings, row, folder)
        if picture.is_file():
            yield _figure(picture, f"{word}: {row['clip']}, {metric} {float(row[metric]):.2f}")


def _figure(picture: Path, caption: str) -> str:
    coded = base64.b64encode(picture.read_bytes()).decode("ascii")
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{coded}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _settings(settings: Mapping[str, Any]) -> str:
    hidden = {"intervals", "missing", "about"}
    items = [(key, value) for key, value in settings.items() if key not in hidden and value is not None]
    lines = "".join(f"<tr><td>{escape(key)}</td><td>{escape(str(value))}</td></tr>" for key, value in items)
    return f"<table>{lines}</table>"


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [np.nan if value is None else float(value) for value in values]


def _label(name: str, height: int) -> NDArray[np.uint8]:
    """The name of a row `(height, 1.5 * height, 3)`, on white; broken into lines of `_LABEL` characters."""
    label = np.full((height, height * 3 // 2, 3), 255, np.uint8)
    size = height / 200
    for number, start in enumerate(range(0, len(name), _LABEL)):
        place = height // 16, height // 2 + round(42 * number * size)
        line = name[start : start + _LABEL]
        cv2.putText(label, line, place, cv2.FONT_HERSHEY_SIMPLEX, size, (29, 34, 48), 1, cv2.LINE_AA)
    return label


def _errors(real: NDArray[np.uint8], generated: NDArray[np.uint8]) -> NDArray[np.uint8]:
    difference = np.abs(real.astype(np.float32) - generated).mean(-1) * _GAIN
    colored = cv2.applyColorMap(np.clip(difference, 0, 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.asarray(colored[..., ::-1], np.uint8)
