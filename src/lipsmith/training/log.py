"""Logging of a run: log lines, `log.jsonl`, TensorBoard curves, and throughput."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from lipsmith.disk import disk_errors
from lipsmith.files import write_whole

_LOG = logging.getLogger("lipsmith.training")
LOG: Final = "log.jsonl"
"""Name of the log in a run's folder: one JSON object per line, with `step`, `minutes` and values such as
`val/score`; null is not a number."""


class Log:
    """Sends lines to `logging`, and values to `log.jsonl` and to TensorBoard, if it is installed.

    `run`: the run's folder, or None in all processes except the first, which then report nothing. `step`: the step from
    which the run continues; later entries of an interrupted run are removed.
    """

    def __init__(self, run: Path | None, step: int) -> None:
        self._path = None if run is None else run / LOG
        self._curves = None
        if run is not None:
            with disk_errors(run / LOG):
                run.mkdir(parents=True, exist_ok=True)
                _remove_after(run / LOG, step)
                self._curves = _tensorboard(run, step)

    def say(self, line: str) -> None:
        """Log one line of text."""
        if self._path is not None:
            _LOG.info(line)

    def add(self, group: str, values: Mapping[str, float], step: int, minutes: float) -> None:
        """Log the values of `group` (`train`, `val`) at a step."""
        if self._path is None:
            return
        row: dict[str, float | None] = {"step": step, "minutes": round(minutes, 3)}
        row |= {f"{group}/{name}": _in_json(value) for name, value in values.items()}
        with disk_errors(self._path):
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            if self._curves is not None:
                for name, value in values.items():
                    self._curves.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        """Write all curves, and end the thread that does."""
        if self._curves is not None:
            self._curves.close()

    def picture(self, name: str, image: Tensor, step: int) -> None:
        """Send a picture `(3, H, W)` in [0, 1] to TensorBoard."""
        if self._curves is not None:
            self._curves.add_image(name, image, step)


def _in_json(value: float) -> float | None:
    """Six digits; None for what is not a finite number, which JSON does not know."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _remove_after(path: Path, step: int) -> None:
    if path.is_file():
        rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
        with write_whole(path) as beside:
            beside.write_text("".join(row for row in rows if _is_until(row, step)), encoding="utf-8")


def _is_until(row: str, step: int) -> bool:
    """Whether a line is complete and of a step up to `step`; a crash may leave a truncated line."""
    try:
        return int(json.loads(row)["step"]) <= step
    except ValueError:
        return False


def _tensorboard(run: Path, step: int) -> Any:  # noqa: ANN401 - the writer, which need not be installed
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        _LOG.info("tensorboard is not installed: no curves")
        return None
    return SummaryWriter(str(run), purge_step=step + 1 if step else None)


class Meter:
    """Measures throughput and the share of time spent on batches, without synchronizing the device.

    On a GPU the times come from events in its queue; only `read` synchronizes.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._device = device
        self._restart()

    @contextmanager
    def data(self) -> Iterator[None]:
        """A context around the creation of one batch."""
        start = self._mark()
        yield
        self._spans.append((start, self._mark()))

    def add(self, samples: int) -> None:
        """Count the samples of one step."""
        self._samples += samples

    def read(self) -> dict[str, float]:
        """`samples_per_second` and `data_share` (0..1) since the last reading; resets both."""
        end = self._mark()
        if self._cuda:
            torch.cuda.synchronize(self._device)
        total = max(self._between(self._begin, end), 1e-9)
        data = sum(self._between(*span) for span in self._spans)
        samples = self._samples
        self._restart()
        return {"samples_per_second": samples / total, "data_share": data / total}

    def _restart(self) -> None:
        self._spans: list[tuple[Any, Any]] = []
        self._samples = 0
        self._begin = self._mark()

    def _mark(self) -> Any:  # noqa: ANN401 - an event on a GPU, seconds elsewhere
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _between(self, start: Any, end: Any) -> float:  # noqa: ANN401
        return float(start.elapsed_time(end)) / 1000 if self._cuda else float(end - start)
