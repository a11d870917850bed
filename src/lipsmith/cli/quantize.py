"""Put an 8-bit render stage beside a model's float one: faster on CPUs with VNNI, where `dub` then takes it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lipsmith.cli import console


@dataclass(frozen=True, kw_only=True)
class Options(console.Common):
    """Needs the `train` extra; takes a minute. Refused, and nothing written, where pictures differ too much."""

    model: Annotated[str, tyro.conf.Positional]
    """The model's name or folder."""
    data: Annotated[Path, tyro.conf.Positional]
    """Prepared clips: the split train sets the ranges, val tells the differences."""


def run(options: Options) -> None:
    """Quantize, and tell how far the pictures are from float ones."""
    from lipsmith.release.quantize import quantize

    found = quantize(options.model, options.data)
    console.table("8-bit", ("dB from float", "LPIPS of float"), [(found.psnr, found.lpips)], sys.stdout)
