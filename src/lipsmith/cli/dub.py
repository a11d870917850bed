"""Dub a video: the person in it says new speech.

The result is as long as the speech: if the speech is longer, the footage plays forward and backward; if it is shorter,
the footage is cut (or see --tail). Only the mouth, chin and cheeks change, and the metadata marks the result as
synthetic.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from lipsmith.cli import console
from lipsmith.dubbing.options import DubOptions
from lipsmith.dubbing.turns import parse_speeches
from lipsmith.errors import UsageError

if TYPE_CHECKING:
    from lipsmith.dubbing.pairs import Job


@dataclass(frozen=True, kw_only=True)
class Options(console.DeviceOptions, DubOptions):
    """Footage, speech, and how to dub."""

    video: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="VIDEO", help_behavior_hint="")] = None
    """A video, an animation, a still picture, or a folder of them."""

    speech: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="SPEECH", help_behavior_hint="")] = None
    """Any file with sound, a CSV file that says who speaks when (see --speech), or a folder of them. Of two folders,
    files of the same name belong together."""

    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="OUT")] = None
    """The result (.mp4, .m4v, .mov or .mkv); a folder if VIDEO or SPEECH is a folder. With --pairs, a folder for the
    results, instead of the table's folder."""

    list_faces: bool = False
    """List the faces of VIDEO by shot, and exit."""

    speeches: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="speech", metavar="NUMBER=FILE|CSV")
    ] = ()
    """The speech of one face, by its number from --list-faces, as in --speech 1=anna.wav --speech 2=ben.wav; or a CSV
    file with the columns start, end, face and speech. Replaces SPEECH. Faces without a speech stay as filmed."""

    pairs: Annotated[Path | None, tyro.conf.arg(metavar="CSV")] = None
    """A CSV file with the columns video, speech and output, instead of VIDEO and SPEECH."""

    model: str = "fast"
    """Name or folder of the model."""

    def __post_init__(self) -> None:
        super().__post_init__()
        DubOptions.__post_init__(self)
        if self.list_faces:
            _need(self.video is not None, "--list-faces needs a VIDEO")
            _need(self.pairs is None, "--list-faces lists the faces of VIDEO; leave out --pairs")
        elif self.pairs is not None:
            _need(
                self.video is None and self.speech is None and not self.speeches,
                "--pairs replaces VIDEO and SPEECH; give one or the other",
            )
        else:
            _need(self.video is not None, "Give VIDEO and SPEECH, or --pairs")
            one_film = self.video is None or not self.video.is_dir()
            _need(one_film or not self.speeches, "--speech names the faces of one film; give that instead of a folder")
            _need(not (self.speech and self.speeches), "--speech replaces SPEECH; give one or the other")
            _need(bool(self.speech or self.speeches), "Give SPEECH, or --speech NUMBER=FILE for each face")
            _need(self.output is not None, "Give the path of the result: -o OUT")


def run(options: Options) -> None:
    """Dub every pair and print the path of each result once it is written."""
    console.tune_process()
    if options.list_faces:
        _list_faces(options)
        return
    if options.pairs is not None:
        from lipsmith.dubbing.pairs import read_pairs

        _dub_all(options, read_pairs(options.pairs, options.output), options.output or options.pairs.parent)
        return
    assert options.video is not None
    assert options.output is not None
    if options.speech is not None and (options.video.is_dir() or options.speech.is_dir()):
        from lipsmith.dubbing.pairs import pair

        _dub_all(options, pair(options.video, options.speech, options.output), options.output)
        return
    from lipsmith.dubbing.job import dub

    result = dub(
        options.video,
        options.speech or parse_speeches(options.speeches),
        options.output,
        options,
        model=options.model,
        device=options.device,
        threads=options.threads,
        progress_of=console.progress,
    )
    console.result(result)


def _dub_all(options: Options, jobs: list[Job], folder: Path) -> None:
    from lipsmith.cli.batch import dub_here
    from lipsmith.dubbing.journal import journal_of

    journal = journal_of(folder, options.video, options.speech, options.pairs, options.output)
    dub_here(jobs, options, journal, options.model, options.device, options.threads)


def _list_faces(options: Options) -> None:
    from lipsmith.dubbing.faces import find_faces

    assert options.video is not None
    with console.progress(f"{options.video.name}: faces") as progress:
        faces = find_faces(options.video, options.start, options.end, options.threads, progress)
    rows = [
        (face.number, face.shot, *face.seconds, len(face.frames), round(face.size), *map(round, face.place))
        for face in faces
    ]
    columns = ("face", "shot", "from s", "to s", "frames", "width px", "x px", "y px")
    console.table("Faces", columns, rows, sys.stdout)


def _need(condition: bool, sentence: str) -> None:
    if not condition:
        raise UsageError(f"{sentence}; see lipsmith dub --help.")
