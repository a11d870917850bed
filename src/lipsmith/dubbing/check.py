"""What can be known of a dub before any work is done."""

from __future__ import annotations

from pathlib import Path

from lipsmith.dubbing.options import DubOptions
from lipsmith.errors import UsageError
from lipsmith.files import refuse_existing, refuse_input, require
from lipsmith.media import open_sound
from lipsmith.media.writing import CONTAINERS


def check_job(video: Path, speech: Path, out: Path, options: DubOptions) -> None:
    """Raise before any work for inputs that are not there and a result that could not be put where it belongs."""
    require(video, speech)
    if out.suffix.lower() not in CONTAINERS:
        raise UsageError(f"{out}: the result must end in {', '.join(CONTAINERS)}.")
    refuse_existing(out, options.overwrite)
    refuse_input(out, video, speech, options.background)
    if options.background is not None:
        open_sound(options.background)
