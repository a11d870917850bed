"""The pictures of live sessions: in their order, also after a stall."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from double import make_dubber
from lipsmith import Clip
from lipsmith.live import Live
from lipsmith.live.footage import LoopedFootage, Playback
from lipsmith.media.color import Picture
from simulated import SimulatedClock
from synthetic import face_at


class CountingSource:
    """The pictures of a clip; counts those that are shown."""

    def __init__(self, clip: Clip) -> None:
        self._source, self.footage, self.shown = clip.source, clip.source.footage, 0
        self.frames = clip.source.frames

    def show(self, order: NDArray[np.intp], times: NDArray[np.float64]) -> Iterator[Picture]:
        for image in self._source.show(order, times):
            self.shown += 1
            yield image


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_dubber().prepare([face_at(number / 25, (120, 120)) for number in range(8)])


def test_after_a_stall_of_an_hour_only_pictures_that_are_shown_are_decoded(clip: Clip) -> None:
    source, clock = CountingSource(clip), SimulatedClock()
    frames = Live(replace(clip, source=source), clock=clock).frames()
    next(frames)
    clock.time += 3600
    numbers = [next(frames).number for _ in range(4)]
    frames.close()
    assert numbers[-1] > 89_990
    assert source.shown < 100


@pytest.mark.parametrize("jump", [1, 16, 17, 90_001])
def test_a_jump_of_any_length_shows_the_picture_of_its_frame(clip: Clip, jump: int) -> None:
    with LoopedFootage(clip) as footage, closing(Playback(footage)) as playback:
        pictures = [np.asarray(image) for image in clip.source.show(np.arange(8), clip.times)]
        for number in (0, 1, 1 + jump, 2 + jump):
            np.testing.assert_array_equal(playback.image(number), pictures[footage.index(np.array([number]))[0]])
