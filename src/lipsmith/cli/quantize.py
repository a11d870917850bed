"""Add 8-bit stages of the renderer to a model; `dub` uses them on CPUs that run them faster."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lipsmith.cli import console


@dataclass(frozen=True, kw_only=True)
class Options(console.Common):
    """Needs the `train` extra; takes a minute. Fails without writing anything if the pictures differ too much."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """Name or folder of the model."""
    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")]
    """Prepared clips: the split train calibrates the ranges, val measures the difference."""


def run(options: Options) -> None:
    """Quantize, and print the difference between 8-bit and float pictures."""
    from lipsmith.release.quantize import quantize

    found = quantize(options.model, options.data)
    console.table("8-bit", ("dB from float", "LPIPS of float"), [(found.psnr, found.lpips)], sys.stdout)
