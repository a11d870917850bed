"""One sentence on each row of a table: what the system is, what it was trained on and for how long."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from lipsmith.errors import WeightsError
from lipsmith.evaluation.run_systems import CARD
from lipsmith.evaluation.systems import COPY, MEAN, REAL, WARP
from lipsmith.inference.model_folder import find_model, read_card, read_record

NOTE: Final = "about.txt"
"""File in a folder of films, a run or a model, whose first paragraph is added to the sentence."""
UNTRAINED: Final = {
    REAL: "The film itself.",
    COPY: "No training: the lower half of the nearest allowed frame.",
    MEAN: "No training: the mean of the reference pool.",
    WARP: "No training: the mean of the three nearest allowed frames, warped by landmarks.",
}
_NAMES: Final = {"wav2lip": "Wav2Lip", "iplap": "IP_LAP"}
_LOG_FILE: Final = "log.jsonl"
_WORDS: Final = {"landmarks": "landmark generator", "renderer": "renderer"}


def about_outputs(folder: Path) -> str:
    """What is known of the system that made the films in a folder."""
    return f"Films in {folder.name}. {_note(folder) or f'Training unknown: describe it in {NOTE} there.'}"


def about_model(source: str) -> str:
    """How the training run in the folder `source`, or the model of that name or folder, was trained."""
    if (Path(source) / CARD).is_file():
        return f"{_about_run(Path(source))} {_note(Path(source))}".strip()
    folder = find_model(source).path
    known = []
    for name, word in _WORDS.items():
        with suppress(WeightsError):
            known.append(f"{word}: {_begun(read_record(folder, name))}")
    training = f"Last training of its {'; of its '.join(known)}." if known else ""
    return f"{training} {_note(folder)}".strip() or f"Training unknown: describe it in {NOTE} there."


def _note(folder: Path) -> str:
    """The first paragraph of the note in a folder; empty without one."""
    note = folder / NOTE
    text = note.read_text(encoding="utf-8", errors="replace") if note.is_file() else ""
    return " ".join(text.strip().partition("\n\n")[0].split())


def _about_run(run: Path) -> str:
    """From the card and the log of a run of `train renderer`."""
    card = read_card(run, "renderer")
    training = card["training"]
    system = _NAMES.get(training.get("system"), "Our renderer")
    steps, minutes = _end(run / _LOG_FILE)
    samples = training.get("clips", 0) * training.get("targets", 0)
    spent = f"{minutes:.0f} minutes, {steps:,} steps of {samples} pictures ({steps * samples:,} in all)"
    best = card["validation"].get("step", steps)
    start = f", begun with {training['start']}" if training.get("start") else ""
    footage = f" on {card['footage']}" if card.get("footage") else ""
    return f"{system}, trained for {spent}{footage}{start}; weights of step {best:,.0f}."


def _begun(part: Mapping[str, Any]) -> str:
    training = part["training"]
    minutes, start = training.get("minutes"), training.get("start")
    spent = f"{minutes:g} minutes" if minutes else f"{training.get('steps', 0):,} steps"
    footage = f" on {part['footage']}" if part.get("footage") else ""
    return spent + footage + (f", begun with {start}" if start else "")


def _end(log: Path) -> tuple[int, float]:
    """Steps and minutes of the last entry of a log; zero without one."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    for line in reversed(lines):
        try:
            row = json.loads(line)
            return int(row["step"]), float(row["minutes"])
        except (ValueError, KeyError):  # a crash may leave a truncated line
            continue
    return 0, 0.0
