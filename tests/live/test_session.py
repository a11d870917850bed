"""Live sessions on a simulated clock: complete sound, synchronized frames, interruption and skipping."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from double import make_dubber
from lipsmith import Clip
from lipsmith.dubbing.draw import DrawnFrame, draw_frame
from lipsmith.dubbing.encoded import EncodedFaces
from lipsmith.dubbing.mouth import MouthTrack
from lipsmith.errors import InputError, UsageError
from lipsmith.face.landmarks import lip_opening
from lipsmith.live import Live, LiveFrame
from lipsmith.live.footage import LoopedFootage
from lipsmith.live.sound import Wave
from lipsmith.media.color import Picture
from simulated import SimulatedClock
from synthetic import face_at, make_film, speech
from video_samples import film

RATE = 16000


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_dubber().prepare([face_at(number / 25, (120, 120)) for number in range(8)])


def sound_of(frames: list[LiveFrame]) -> Wave:
    return np.concatenate([frame.sound for frame in frames])


def frames_of(clip: Clip, wave: Wave, chunk: int, rate: int = RATE, own_rate: int = RATE) -> list[LiveFrame]:
    """All frames of an unpaced session of `own_rate` to which `wave` is pushed in chunks."""
    session = Live(clip, own_rate, paced=False)

    def push() -> None:
        for begin in range(0, len(wave), chunk):
            session.push(wave[begin : begin + chunk], rate)
        session.flush()

    thread = threading.Thread(target=push)
    thread.start()
    frames = list(session.frames())
    thread.join()
    return frames


@pytest.mark.parametrize("chunk", [1, 333, 100_000])
def test_speech_in_chunks_of_any_size_is_complete(clip: Clip, chunk: int) -> None:
    wave = speech(0.4)
    frames = frames_of(clip, wave, chunk)
    sound = sound_of(frames)
    np.testing.assert_array_equal(sound[3200 : 3200 + len(wave)], wave)
    assert [frame.number for frame in frames] == list(range(15))
    assert len(sound) == round(15 / 25 * RATE)


@pytest.mark.parametrize("rate", [8000, 48000])
def test_other_rates_are_resampled(clip: Clip, rate: int) -> None:
    time = np.arange(round(0.4 * rate)) / rate
    sound = sound_of(frames_of(clip, (0.5 * np.sin(2 * np.pi * 200 * time)).astype(np.float32), 777, rate))
    expected = 0.5 * np.sin(2 * np.pi * 200 * np.arange(6400) / RATE)
    np.testing.assert_allclose(sound[3200 + 400 : 3200 + 6000], expected[400:6000], atol=0.02)


def test_a_pause_in_the_films_clock_does_not_slow_the_session(tmp_path: Path) -> None:
    """Its average rate is 2.2 frames per second; the frame that lasts 3 s is repeated."""
    times = [0.0, 0.04, 0.08, 3.08, 3.12, 3.16, 3.2]
    path = film(tmp_path / "a.mp4", [face_at(time, (120, 120)) for time in times], times=times)
    paused = make_dubber().prepare(path)
    with LoopedFootage(paused) as footage, closing(footage.images()) as images:
        assert Live(paused, RATE).frame_rate == pytest.approx(25)
        order = footage.index(np.arange(156)).tolist()
        assert order == [0, 1, *[2] * 75, 3, 4, 5, 6, 5, 4, 3, *[2] * 75][:156]
        assert len(list(islice(images, 3))) == 3


def test_chunks_do_not_change_the_picture(clip: Clip) -> None:
    wave = speech(0.4)
    for one, other in zip(frames_of(clip, wave, 160), frames_of(clip, wave, len(wave)), strict=True):
        assert np.abs(one.image.astype(int) - other.image).mean() < 0.2


def run_paced(clip: Clip, on_frame: Callable[[Live, int], None], frames: int) -> tuple[Live, list[LiveFrame]]:
    """Frames of a paced session on a simulated clock; calls `on_frame` after each."""
    session = Live(clip, RATE, clock=SimulatedClock())
    found = []
    for number, frame in enumerate(islice(session.frames(), frames)):
        found.append(frame)
        on_frame(session, number)
    return session, found


def test_an_idle_session_plays_the_footage_forward_and_back(clip: Clip) -> None:
    _, frames = run_paced(clip, lambda session, number: None, 40)
    assert not sound_of(frames).any()
    upper = np.stack([frame.image[:20] for frame in frames]).astype(int)  # rows above the mouth
    order = [0, 1, 2, 3, 4, 5, 6, 7, 6, 5, 4, 3, 2, 1]
    for number in range(40):
        np.testing.assert_array_equal(upper[number], upper[order[number % 14]])
    assert [frame.time for frame in frames] == pytest.approx([number / 25 for number in range(40)])


def test_speech_starts_after_the_look_ahead(clip: Clip) -> None:
    wave = np.full(RATE, 0.5, np.float32)

    def on_frame(session: Live, number: int) -> None:
        if number == 10:
            session.push(wave)

    _, frames = run_paced(clip, on_frame, 60)
    begin = int(np.flatnonzero(sound_of(frames))[0]) / RATE
    # The caller receives frame 10 while frame 11 is being rendered.
    assert begin - 10 / 25 == pytest.approx(0.28, abs=0.01)
    assert np.count_nonzero(sound_of(frames)) == RATE


def test_interrupt_silences_the_session_and_it_continues(clip: Clip) -> None:
    wave = np.full(5 * RATE, 0.5, np.float32)

    def on_frame(session: Live, number: int) -> None:
        if number in (5, 60):
            session.push(wave)
        if number == 30:
            session.interrupt()

    _, frames = run_paced(clip, on_frame, 90)
    loud = np.flatnonzero(np.abs(sound_of(frames)) > 0.1) / RATE
    assert loud[loud < 2].max() <= 32 / 25 + 0.01
    assert loud.max() > 3


def test_sound_and_picture_stay_synchronized(clip: Clip) -> None:
    _, frames = run_paced(clip, lambda session, number: session.push(speech(0.04)), 400)
    counts = np.cumsum([len(frame.sound) for frame in frames])
    ends = np.array([frame.number + 1 for frame in frames]) / 25 * RATE
    assert np.abs(counts - ends).max() <= 1


class SlowClock(SimulatedClock):
    """A clock that advances 0.15 s at each reading."""

    def now(self) -> float:
        self.time += 0.15
        return self.time


def test_a_slow_machine_skips_frames_but_no_sound(clip: Clip, caplog: pytest.LogCaptureFixture) -> None:
    session = Live(clip, RATE, clock=SlowClock())
    session.push(speech(2.0))
    with caplog.at_level(logging.WARNING):
        frames = list(islice(session.frames(), 40))
    assert session.skipped > 0
    assert caplog.text.count("too slow") == 1 + session.skipped // 250  # at once, and then rarely
    numbers = [frame.number for frame in frames]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] > 60
    cycle = [*range(8), *range(6, 0, -1)]
    for frame in frames:
        filmed = face_at(cycle[frame.number % 14] / 25, (120, 120))
        assert np.array_equal(frame.image[:50], filmed[:50])
    sound = sound_of(frames)
    np.testing.assert_array_equal(sound[3200 : 3200 + 2 * RATE], speech(2.0))


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """How far the lips are open in each frame that is rendered."""
    found: dict[int, float] = {}

    def draw(encoded: EncodedFaces, tracks: Sequence[MouthTrack], number: int, image: Picture) -> DrawnFrame:
        found[number] = float(lip_opening(tracks[0].points[tracks[0].place(number)]))
        return draw_frame(encoded, tracks, number, image)

    monkeypatch.setattr("lipsmith.live.session.draw_frame", draw)
    return found


@pytest.mark.parametrize("rate", [RATE, 48_000])
def test_lips_move_as_in_a_dub_of_the_whole(clip: Clip, openings: dict[int, float], rate: int) -> None:
    frames_of(clip, speech(1.0), 500, own_rate=rate)
    (track,) = clip.dub(np.concatenate([np.zeros(3200, np.float32), speech(1.0)])).mouths
    whole = lip_opening(np.asarray(track.points))
    assert [openings[number] for number in range(29)] == pytest.approx(whole[:29].tolist(), abs=0.01)


def test_lips_close_soon_after_an_interruption(clip: Clip, openings: dict[int, float]) -> None:
    session = Live(clip, RATE, clock=SimulatedClock())
    session.push(speech(2.0))
    with closing(session.frames()) as frames:
        list(islice(frames, 30))
        last = max(openings)
        session.interrupt()
        list(islice(frames, 30))
    assert max(openings[last + 5], openings[last + 6], openings[last + 7]) < openings[0] + 0.005


@pytest.mark.parametrize(("clock", "rendered"), [(SimulatedClock, 2), (SlowClock, 3)])
def test_a_late_session_renders_one_frame_more_ahead(
    clip: Clip, monkeypatch: pytest.MonkeyPatch, clock: type[SimulatedClock], rendered: int
) -> None:
    numbers: list[int] = []

    def draw(encoded: EncodedFaces, tracks: Sequence[MouthTrack], number: int, image: Picture) -> DrawnFrame:
        numbers.append(number)
        return draw_frame(encoded, tracks, number, image)

    monkeypatch.setattr("lipsmith.live.session.draw_frame", draw)
    frames = Live(clip, RATE, clock=clock()).frames()
    first = next(frames)
    del frames
    assert len(numbers) == rendered
    assert first.number == min(numbers)


class StallingClock(SimulatedClock):
    """A clock that advances 0.1 s more in one of 20 readings, for as long as it is not asked to sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.readings = 0

    def now(self) -> float:
        self.readings += 1
        self.time += 0.1 * (self.readings % 20 == 0)
        return self.time


def test_a_short_stall_skips_no_frames(clip: Clip) -> None:
    session = Live(clip, RATE, clock=StallingClock())
    frames = list(islice(session.frames(), 100))
    assert session.skipped == 0
    assert [frame.number for frame in frames] == list(range(100))


def test_a_film_plays_forward_and_back(tmp_path: Path) -> None:
    film = make_dubber().prepare(make_film(tmp_path / "film.mp4", 0.32, 25, (120, 120)))
    frames = list(islice(Live(film, RATE, clock=SimulatedClock()).frames(), 20))
    np.testing.assert_array_equal(frames[1].image[:20], frames[13].image[:20])


def test_a_film_that_cannot_be_copied_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = make_film(tmp_path / "film.mp4", 0.2, 25, (120, 120))
    clip = make_dubber().prepare(film)
    film.unlink()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(InputError, match="does not exist") as error:
        next(Live(clip, RATE).frames())
    assert not list(tmp_path.iterdir()), error


def test_nothing_waits_once_all_speech_is_yielded(clip: Clip) -> None:
    wave, frames = speech(0.4), []
    session = Live(clip, RATE, clock=SimulatedClock())
    session.push(wave)
    session.flush()
    with closing(session.frames()) as yielded:
        while session.waiting:
            frames.append(next(yielded))
    heard = np.trim_zeros(sound_of(frames))
    np.testing.assert_array_equal(heard, np.trim_zeros(wave))
    assert len(frames) == 15


def test_a_closed_session_ends(clip: Clip) -> None:
    with Live(clip, RATE, clock=SimulatedClock()) as session:
        frames: Iterator[LiveFrame] = session.frames()
        next(frames)
        session.close()
        assert len(list(frames)) <= 2


def test_a_session_without_pace_waits_only_for_the_look_ahead_and_ends_when_it_is_closed(clip: Clip) -> None:
    with Live(clip, RATE, paced=False) as session:
        session.push(speech(0.3))
        guard = threading.Timer(20, session.close)  # instead of waiting forever
        guard.start()
        frames = session.frames()
        assert [frame.number for frame in islice(frames, 5)] == [0, 1, 2, 3, 4]
        guard.cancel()
        session.close()
        assert len(list(islice(frames, 9))) <= 2


def test_callers_may_draw_on_frames() -> None:
    pictures = [face_at(number / 25, (120, 120)) for number in range(4)] + [np.full((120, 120, 3), 90, np.uint8)] * 6
    before = np.stack(pictures)
    for frame in frames_of(make_dubber().prepare(pictures), speech(0.4), 1000):
        frame.image[:] = 0
    assert np.array_equal(np.stack(pictures), before)


def test_a_still_picture_works(tmp_path: Path) -> None:
    still = make_dubber().prepare([face_at(0, (120, 120))])
    frames = frames_of(still, speech(0.2), 100)
    assert len(frames) == 10


@pytest.mark.parametrize("rate", [0, 100, 16000.5])
def test_an_invalid_rate_is_rejected(clip: Clip, rate: int) -> None:
    with pytest.raises(UsageError):
        Live(clip, rate)


@pytest.mark.parametrize("rate", [float(RATE), np.float64(RATE), np.int64(RATE)])
def test_a_rate_may_be_any_whole_number(clip: Clip, rate: float) -> None:
    session = Live(clip, rate, paced=False)  # type: ignore[arg-type]
    assert type(session.rate) is int
    session.push(speech(0.1), rate)  # type: ignore[arg-type]
    session.flush()
    assert len(list(session.frames())) == 8


@pytest.mark.parametrize("most_behind", [np.nan, -0.1, "1", None])
def test_a_limit_of_the_queue_below_zero_is_rejected(clip: Clip, most_behind: float) -> None:
    with pytest.raises(UsageError, match="most_behind"):
        Live(clip, RATE, most_behind=most_behind)


def test_an_empty_push_after_the_end_keeps_the_end(clip: Clip) -> None:
    session = Live(clip, RATE, paced=False)
    session.push(speech(0.1))
    session.flush()
    session.push([])
    assert len(list(session.frames())) == 8


def test_a_session_yields_its_frames_once(clip: Clip) -> None:
    session = Live(clip, RATE, paced=False)
    session.push(speech(0.4))
    session.flush()
    frames = session.frames()
    next(frames)
    with pytest.raises(UsageError, match="keep its first iterator"):
        next(session.frames())
    assert session.error is None
    assert [frame.number for frame in frames] == list(range(1, 15))
    session.close()
    assert list(session.frames()) == []
