"""Draw a contact sheet of prepared clips: crop, mesh, sketch, and the mouth's opening over the speech."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lipsmith.cli import console
from lipsmith.errors import UsageError
from lipsmith.files import refuse_existing, write_whole

PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, kw_only=True)
class Options(console.OutputOptions):
    """Each clip is shown where its mouth is open widest; red ticks mark frames in which no face was found."""

    data: Annotated[Path, tyro.conf.Positional]
    """A folder of prepared clips."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="SHEET")]
    """The sheet: a .png, .jpg or .webp file."""

    count: int = 24
    """Number of clips, of different people first."""

    split: str | None = None
    """Only this split: train, val or test."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output.suffix.lower() not in PICTURES:
            raise UsageError(f"{self.output}: a sheet's name ends in {', '.join(PICTURES)}")
        if not 1 <= self.count <= 400:
            raise UsageError(f"--count {self.count} is not between 1 and 400")


def run(options: Options) -> None:
    """Draw the sheet and name it."""
    refuse_existing(options.output, options.overwrite)

    import cv2

    from lipsmith.contact_sheet import contact_sheet

    with console.progress("clips") as progress:
        sheet = contact_sheet(options.data, options.count, options.split, progress)
    with write_whole(options.output) as beside:
        _, encoded = cv2.imencode(options.output.suffix.lower(), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        beside.write_bytes(encoded.tobytes())
    console.result(options.output)
