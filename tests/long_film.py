"""A film of several shots, parts of few frames, and workers with cheap stand-ins for the networks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from double import Double, make_dubber
from dub_samples import SIZE, write_film, write_wav
from lipsmith import Dubber, DubOptions
from lipsmith.cluster.worker import Worker
from lipsmith.dubbing.job import surroundings
from lipsmith.dubbing.pairs import Job
from synthetic import face_at, speech

PART = 4
SHOTS = (7, 4, 9, 6)
"""Frames of the shots."""
_PLACES = ("dubbing.draw.PART", "dubbing.job.PART", "dubbing.parts.PART", "cluster.tasks.PART")


def make_long(folder: Path, out: Path) -> Job:
    """Write the film and a speech of its length to `folder`; return the job that dubs it."""
    images: list[NDArray[np.uint8]] = []
    for shot, frames in enumerate(SHOTS):
        filmed = [face_at((len(images) + number) / 25, SIZE) for number in range(frames)]
        images += [np.ascontiguousarray(image[:, ::-1] // 2) if shot % 2 else image for image in filmed]
    film = write_film(folder / "long.mp4", images)
    return Job(film, write_wav(folder / "long.wav", speech(sum(SHOTS) / 25)), out)


@contextmanager
def small_parts() -> Iterator[None]:
    """Make parts of `PART` frames, and shares of two parts, inside the `with`."""
    with ExitStack() as patches:
        for patch in _patches():
            patches.enter_context(patch)
        yield


def _patches() -> list[AbstractContextManager[object]]:
    sizes = dict.fromkeys(_PLACES, PART) | {"cluster.tasks.SHARE": 2}
    return [mock.patch(f"lipsmith.{place}", size) for place, size in sizes.items()]


def make_worker(options: DubOptions, backend: Double | None = None) -> Worker:
    """Return a worker that needs no weights."""

    def dubber(precision: str) -> Dubber:
        return make_dubber(backend)

    return Worker(dubber, options, 1, surroundings(), logging.INFO)


def make_small_worker(options: DubOptions) -> Worker:
    """Return such a worker in a process of its own, whose parts stay small."""
    for patch in _patches():
        patch.__enter__()
    return make_worker(options)
