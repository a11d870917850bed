"""Runs one adaptation from films to a model folder, and continues an interrupted one.

Until the model is complete, a hidden folder next to it keeps the work, so that the same command continues:

    key.json    films and model of this work, which cannot be used for any others
    clips/      the prepared face
    mouth/      the training run of the landmark generator
    run/        the training run of the renderer
    model/      the model while it is written, in a folder of its own name, as in log lines
    moved       when that is complete
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any, Final, TypeGuard

from lipsmith.errors import InputError, UsageError, WeightsError, blames_inputs, missing_extra

try:  # before the modules that need it, too
    import torch
except ModuleNotFoundError as missing:
    raise missing_extra("Adaptation", "train", missing) from missing

from lipsmith import __version__
from lipsmith.adaptation.card import Adaptation, adaptation_card
from lipsmith.adaptation.footage import prepare_person
from lipsmith.adaptation.mouth_task import MouthTask, mouth_config, speaks_itself
from lipsmith.adaptation.task import AdaptationTask, Watch, adaptation_config
from lipsmith.config import path_of
from lipsmith.disk import discard
from lipsmith.files import (
    FileLock,
    hidden_for,
    refuse_clashes,
    refuse_filled,
    require,
    state_of,
    write_whole,
)
from lipsmith.inference.model_folder import ModelFolder, checked_threads, find_model
from lipsmith.inference.onnx import INT8
from lipsmith.inference.torch import torch_device
from lipsmith.models.vgg import find_vgg
from lipsmith.progress import Progress, ProgressOf, unwatched
from lipsmith.release.export import export
from lipsmith.release.quantize import quantize
from lipsmith.training.log import LOG
from lipsmith.training.loop import Settings, fit

_LOG = logging.getLogger(__name__)
UNFINISHED: Final = ".adaptation"
"""Not that of dubs, whose folders are removed after a week."""
_KEY: Final = "key.json"
"""Without it, nobody can continue the work."""
_RUNS: Final = ("mouth", "run")
_MODEL: Final = "model"
_MOVED: Final = "moved"
"""A file that is there while the complete model moves to its place, and afterwards."""


def adapt(
    films: Path | str | Sequence[Path | str],
    out: Path | str,
    minutes: float = 10.0,
    *,
    model: str | Path = "fast",
    device: str = "auto",
    threads: int | None = None,
    overwrite: bool = False,
    progress_of: ProgressOf = unwatched,
    watch: Watch | None = None,
) -> Adaptation:
    """Adapt `model` to the person in `films` and write the complete model folder `out`.

    The main face of each shot is learned, as in a dub: how it moves with its own speech, unless the film is silent or
    has another's voice, then how it looks. The last tenth of each shot is held back; the written weights are the best
    on it, which are those of `model` if the training gains nothing. `minutes` is the time of the training, which ends
    earlier if the held-back figures stand still; preparing a film takes less than its length, learning to speak up to a
    quarter of `minutes`, and writing the model a minute or two more. After an interruption, the same call continues.
    `progress_of` opens the progress of each step; `watch` receives the held-back figures as they come, those of the
    start first.

    Raises InputError for films that show no face for 2 s, UsageError for an `out` that cannot be written or a `device`
    that does not exist, WeightsError if the model or the weights of VGG are missing.
    """
    given = [path_of(film, "A film") for film in (films if _are_several(films) else [films])]
    out = Path(os.path.abspath(path_of(out, "The model folder")))  # noqa: PTH100 - links are not resolved
    threads = checked_threads(threads)
    _remove_over(hidden_for(out, UNFINISHED))
    base = find_model(model)
    _check(given, out, minutes, overwrite, base)
    torch_device(device)  # here, and not after the film has been prepared
    key, config = _key(given, base), adaptation_config(base, minutes)  # the key says of a model that it cannot dub
    with _torch_of_caller(threads), _kept_work(out, key) as work:
        with progress_of(f"{out.name}: face") as progress:
            clips = prepare_person(given, work / "clips", base.settings.face_size, threads, progress)
        settings = Settings(work / "clips", work / "run", device, str(model))
        with progress_of(f"{out.name}: mouth") as progress:
            mouth = _fit_mouth(base, minutes, replace(settings, out=work / "mouth"), progress)
        with progress_of(f"{out.name}: training") as progress:
            after = fit(AdaptationTask(config, watch), settings, progress)
        seconds = sum(clip.seconds for clip in clips)
        found = Adaptation(out, seconds, *_log_of(settings.out), after, *mouth)
        with progress_of(f"{out.name}: writing"):
            card = adaptation_card(found, base.settings.name, given, config.train_only, _card_of(base))
            _write(found, work, base, card)
    _LOG.log(logging.INFO if found.is_better else logging.WARNING, "%s", found.verdict)
    return found


def _are_several(films: object) -> TypeGuard[Iterable[object]]:
    return isinstance(films, Iterable) and not isinstance(films, str | bytes)


@contextmanager
def _torch_of_caller(threads: int | None) -> Iterator[None]:
    """Let torch compute with `threads`; afterwards its settings and its random numbers on the CPU are as before."""
    before, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    with torch.random.fork_rng(devices=()):
        try:
            torch.set_num_threads(threads or before)
            yield
        finally:
            torch.set_num_threads(before)
            torch.set_float32_matmul_precision(precision)


def _check(films: Sequence[Path], out: Path, minutes: float, overwrite: bool, base: ModelFolder) -> None:
    if not films:
        raise UsageError("Give at least one film.")
    if not isinstance(minutes, float | Real) or not 0 < minutes < math.inf:
        raise UsageError("The minutes must be a number above 0.")
    require(*films)
    refuse_clashes([out], [*films, base.path])
    refuse_filled(out, overwrite)
    if out.is_dir() and any(out.iterdir()) and not (out / "config.json").is_file():
        raise UsageError(f"{out} holds something else than a model; choose another folder.")
    find_vgg()


def _key(films: Sequence[Path], base: ModelFolder) -> dict[str, Any]:
    """Everything that the work depends on, as JSON values."""
    return {"version": __version__, "model": dict(base.settings.files), "films": [state_of(film) for film in films]}


@contextmanager
def _kept_work(out: Path, key: Mapping[str, Any]) -> Iterator[Path]:
    """The folder of the work next to `out`; it is removed at the end or if the films are at fault, which shows before
    any training, and stays after an interruption. Raises UsageError if another process works in it."""
    folder = hidden_for(out, UNFINISHED)
    folder.mkdir(parents=True, exist_ok=True)
    with closing(FileLock(folder / "lock")) as lock:
        if not lock.is_held:
            raise UsageError(f"Another run is writing {out}; wait for its end or choose another name.")
        _begin(folder, key, out)
        try:
            yield folder
        except BaseException as error:
            if blames_inputs(error) and not any((folder / run).exists() for run in _RUNS):
                (folder / _KEY).unlink()
                shutil.rmtree(folder, ignore_errors=True)
                raise
            _LOG.info("%s: the work so far is kept; the same command continues it", out)
            raise
        (folder / _KEY).unlink()
        shutil.rmtree(folder, ignore_errors=True)


def _remove_over(folder: Path) -> None:
    """Remove what a process left that was killed after its model was in place."""
    is_left = any(path.is_file() for path in (folder / _MODEL).rglob("*"))
    is_moved = (folder / _MOVED).is_file() and not is_left
    if folder.is_dir() and (is_moved or not (folder / _KEY).is_file()):
        discard(folder, first=_KEY)


def _begin(folder: Path, key: Mapping[str, Any], out: Path) -> None:
    """Remove the work of another `key`, and say so."""
    with suppress(OSError, ValueError):
        if json.loads((folder / _KEY).read_text(encoding="utf-8")) == key:
            return
        _LOG.info("%s: films or model have changed since the interruption; the adaptation starts over", out)
    for kept in ("clips", *_RUNS):
        shutil.rmtree(folder / kept, ignore_errors=True)
    with write_whole(folder / _KEY) as beside:
        beside.write_text(json.dumps(key), encoding="utf-8")


def _fit_mouth(
    base: ModelFolder, minutes: float, settings: Settings, progress: Progress | None
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Figures on the held-back frames before and after the training of the landmark generator; none if the films teach
    nothing about speech."""
    if "landmarks" not in base.config or not speaks_itself(base, settings.data):
        _LOG.info("the sound of the films is not this person's speech, or none, so only pictures are learned")
        return {}, {}
    after = fit(MouthTask(mouth_config(base, minutes)), settings, progress)
    return _log_of(settings.out)[2], after


def _log_of(run: Path) -> tuple[float, int, Mapping[str, float]]:
    """Minutes and steps of a run, and its first figures on the held-back frames."""
    rows = [json.loads(row) for row in (run / LOG).read_text(encoding="utf-8").splitlines()]
    values = {name: math.nan if value is None else value for name, value in rows[0].items()}
    before = {name.removeprefix("val/"): value for name, value in values.items() if name.startswith("val/")}
    return rows[-1]["minutes"], rows[-1]["step"], before


def _card_of(base: ModelFolder) -> str:
    card = base.path / "CARD.md"
    return card.read_text(encoding="utf-8") if card.is_file() else "It has no card.\n"


def _write(found: Adaptation, work: Path, base: ModelFolder, card: str) -> None:
    """Export the run to the model folder, with 8-bit stages if its pictures are as good."""
    model, terms = work / _MODEL / found.folder.name, f"those of {base.settings.name}."
    (work / _MOVED).unlink(missing_ok=True)
    shutil.rmtree(work / _MODEL, ignore_errors=True)
    model.mkdir(parents=True)
    mouth = work / "mouth" if found.mouth_after else base.path
    export(mouth, work / "run", model, found.folder.name, data="see above", hardware="see above", license=terms)
    (model / "CARD.md").write_text(card, encoding="utf-8")
    try:
        quantize(model, work / "clips", ("train", "train"))
    except (InputError, WeightsError) as error:
        _LOG.warning("%s: no 8-bit stages, so that a dub may be slower: %s", found.folder, error)
        for file in INT8.values():
            (found.folder / file).unlink(missing_ok=True)
    (work / _MOVED).touch()
    _move(model, found.folder)


def _move(complete: Path, folder: Path) -> None:
    """Give a complete folder its name: at once where nothing is there, else file by file."""
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):  # it is not empty, a link, or a volume of its own
        complete.replace(folder)
        return
    for path in complete.iterdir():
        path.replace(folder / path.name)
    complete.rmdir()
