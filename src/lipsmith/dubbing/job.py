"""One dub from paths to a path: what can be known before any work, then the pipeline as the options ask."""

from __future__ import annotations

from pathlib import Path

from lipsmith.dubbing.options import DubOptions
from lipsmith.dubbing.pipeline import Clip, Dubber
from lipsmith.errors import UsageError
from lipsmith.files import refuse_existing, refuse_input, require
from lipsmith.media import open_sound
from lipsmith.media.background import Background
from lipsmith.media.writing import CONTAINERS
from lipsmith.progress import ProgressOf, unwatched
from lipsmith.speech.recording import Speech, load_speech


def dub(
    video: Path | str,
    speech: Path | str,
    out: Path | str,
    options: DubOptions | None = None,
    *,
    model: str | Path = "fast",
    device: str = "auto",
    threads: int | None = None,
    progress_of: ProgressOf = unwatched,
) -> Path:
    """Write to `out` the film or picture `video` saying `speech`, any file with sound, and return the path.

    `model`, `device`, `threads`: see `Dubber.from_pretrained`. `progress_of` opens the progress of each of the two
    passes over the film by its title. Raises a `LipsmithError`, before any long work where it can be known.
    """
    options = options or DubOptions()
    check_job(Path(video), Path(speech), Path(out), options)
    recording = load_speech(speech)
    dubber = Dubber.from_pretrained(model, device, threads, options.precision)
    with progress_of(f"{Path(video).name}: faces") as progress:
        clip = dubber.prepare(video, options.face, options.start, options.end, progress=progress)
    return write_film(clip, recording, Path(out), options, progress_of)


def write_film(clip: Clip, recording: Speech, out: Path, options: DubOptions, progress_of: ProgressOf) -> Path:
    """`Clip.dub` and `Result.save` as `options` ask."""
    result = clip.dub(recording, tail=options.tail, strength=options.strength)
    with progress_of(f"{out.name}: dubbing") as progress:
        background = Background(options.background, options.gain) if options.background else None
        chosen = (options.overwrite, options.side_by_side, progress, options.language, options.label)
        return result.save(out, *chosen, background)


def check_job(video: Path, speech: Path, out: Path, options: DubOptions) -> None:
    """Raise before any work for inputs that are not there and a result that could not be put where it belongs."""
    require(video, speech)
    if out.suffix.lower() not in CONTAINERS:
        raise UsageError(f"{out}: the result must end in {', '.join(CONTAINERS)}.")
    refuse_existing(out, options.overwrite)
    refuse_input(out, video, speech, options.background)
    if options.background is not None:
        open_sound(options.background)
