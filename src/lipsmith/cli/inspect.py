"""Draw a contact sheet of prepared clips: crop, mesh, sketch, and mouth opening over the speech."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.errors import LipsmithError, UsageError
from lipsmith.files import refuse_outputs, write_whole

PICTURES = {".png": 400, ".jpg": 400, ".jpeg": 400, ".webp": 188}
"""Suffixes of the sheet, and the maximum number of clips for each: WebP is limited to 16383 pixels."""


@dataclass(frozen=True, kw_only=True)
class Options(console.OutputOptions):
    """Each clip shows the frame with the widest open mouth; red ticks mark frames without a detected face."""

    data: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DATA")]
    """A folder of prepared clips."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="SHEET")]
    """The sheet: a .png, .jpg or .webp file."""

    count: int = 24
    """Number of clips, from different people first."""

    split: str | None = None
    """Only this split: train, val or test."""

    def __post_init__(self) -> None:
        super().__post_init__()
        most = PICTURES.get(self.output.suffix.lower())
        if most is None:
            raise UsageError(f"{self.output}: the name of the sheet must end in {', '.join(PICTURES)}.")
        if not 1 <= self.count <= most:
            raise UsageError(f"--count {self.count} is not between 1 and {most}, the most for {self.output.suffix}.")


def run(options: Options) -> None:
    """Draw the sheet and print its path."""
    refuse_outputs([options.output], options.overwrite, inputs=[options.data])

    import cv2

    from lipsmith.data.contact_sheet import contact_sheet

    with console.progress("clips") as progress:
        sheet = contact_sheet(options.data, options.count, options.split, progress)
    with write_whole(options.output, options.overwrite) as beside:
        done, encoded = cv2.imencode(options.output.suffix.lower(), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        if not done:
            raise LipsmithError(f"{options.output} could not be encoded; choose another suffix.")
        beside.write_bytes(encoded.tobytes())
    console.result(options.output)
