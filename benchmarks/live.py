"""Benchmarks live sessions: frame rate, latency, drift between sound and picture, CPU and memory.

    python benchmarks/live.py [--sizes 640x480 1280x720] [--seconds 300] [--chunk 0.02] [--simulated HOURS]
    python benchmarks/live.py --films FOLDER

The footage is the moving demo face, saved and loaded again; the demo speech is pushed in chunks in real time, with
pauses. Latency: from the push of a sample until the caller receives the frame with that sample. Drift: end of the sound
minus end of the picture, after the last frame. `--simulated` runs this many hours on a simulated clock, with a test
double for the networks and two frames per second. `--films` correlates the lip opening of live sessions with that of
`dub`, in ten films of a folder with the speech of other people, without the first second.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import threading
import time
from collections import deque
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from double import make_dubber  # noqa: E402
from lipsmith import Clip, Dubber  # noqa: E402
from lipsmith.dubbing.source import Timeline  # noqa: E402
from lipsmith.face.landmarks import lip_opening  # noqa: E402
from lipsmith.live import Live  # noqa: E402
from lipsmith.live.features import LOOK_AHEAD, SpeechFeatures  # noqa: E402
from lipsmith.live.footage import LoopedFootage  # noqa: E402
from lipsmith.live.mouth import LiveMouth  # noqa: E402
from lipsmith.speech.mel import read_audio  # noqa: E402
from simulated import SimulatedClock  # noqa: E402
from synthetic import SPEECH_RATE, face_at, make_film, speech  # noqa: E402

FPS = 25


def main() -> None:
    """Run the benchmark and print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--sizes", nargs="*", default=["640x480", "1280x720"])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--chunk", type=float, default=0.02, help="seconds of sound per push")
    parser.add_argument("--simulated", type=float, metavar="HOURS")
    parser.add_argument("--films", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    if options.simulated:
        simulate(options.simulated)
        return
    if options.films:
        compare(options.films, Dubber.from_pretrained(options.model))
        return
    for size in options.sizes:
        width, height = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            measure(size, prepared(Path(folder), (width, height), options.model), options)


def prepared(folder: Path, size: tuple[int, int], model: str) -> Clip:
    """Save eight seconds of prepared footage, load it again, and print the time of loading."""
    dubber = Dubber.from_pretrained(model)
    clip = dubber.prepare(make_film(folder / "film.mp4", 8, FPS, size))
    clip.save(folder / "clip")
    began = time.perf_counter()
    loaded = Clip.load(folder / "clip", dubber)
    print(f"loaded in {time.perf_counter() - began:.2f} s")
    return loaded


class Pusher(threading.Thread):
    """Pushes the demo speech in real time, with pauses of two seconds, and records when each sample was pushed."""

    def __init__(self, session: Live, chunk: float) -> None:
        super().__init__(daemon=True)
        self._session, self._chunk = session, round(chunk * SPEECH_RATE)
        self.pushed: deque[tuple[float, int]] = deque()
        self.stop = threading.Event()

    def run(self) -> None:
        """Push until `stop` is set."""
        words, due, total = np.maximum(np.abs(speech()), 1e-4) * np.sign(speech() + 1e-9), time.monotonic(), 0
        while not self.stop.is_set():
            for begin in range(0, len(words), self._chunk):
                part = words[begin : begin + self._chunk]
                due += len(part) / SPEECH_RATE
                time.sleep(max(0.0, due - time.monotonic()))
                total += len(part)
                self.pushed.append((time.monotonic(), total))
                self._session.push(part)
                if self.stop.is_set():
                    return
            self._session.flush()
            due += 2.0


def measure(size: str, clip: Clip, options: argparse.Namespace) -> None:
    """Run a session of `options.seconds` and print its figures."""
    session = Live(clip, SPEECH_RATE)
    pusher, latencies, heard = Pusher(session, options.chunk), [], 0
    frames = session.frames()
    next(frames)  # the first frame includes late imports
    cpu, began, count, drift = cpu_seconds(), time.monotonic(), 0, 0.0
    pusher.start()
    for frame in frames:
        now = time.monotonic()
        count += 1
        drift = frame.time + len(frame.sound) / SPEECH_RATE - (frame.number + 1) / FPS
        heard += int(np.count_nonzero(frame.sound))
        while pusher.pushed and pusher.pushed[0][1] <= heard:
            latencies.append(now - pusher.pushed.popleft()[0])
        if now - began > options.seconds:
            break
    pusher.stop.set()
    session.close()
    wall, used = time.monotonic() - began, cpu_seconds() - cpu
    median, late = np.percentile(latencies, [50, 95])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{size}: {count / wall:.2f} of {FPS} frames per second, {session.skipped} skipped, {used / wall:.2f} cores, "
        f"latency {median:.3f} s median, {late:.3f} s 95th percentile, drift {1000 * drift:.1f} ms, {peak:.0f} MB"
    )


def cpu_seconds() -> float:
    """CPU time of this process, all threads."""
    return time.process_time()


def simulate(hours: float) -> None:
    """Alternate speech and silence for `hours` of simulated time, and print memory every hour."""
    rate = 2
    clip = make_dubber().prepare([face_at(number / 5, (96, 96)) for number in range(10)], rate=rate)
    session, words = Live(clip, SPEECH_RATE, clock=SimulatedClock()), speech(20.0)
    said, per_hour = 0, 3600 * rate
    for frame in islice(session.frames(), round(hours * per_hour)):
        if frame.number % (60 * rate) == 0:
            session.push(words)
            session.flush()
        said += loud(frame.sound)
        if frame.number % per_hour == per_hour - 1:
            waiting = f"{session.waiting:.2f} s queued, {memory():.0f} MB"
            print(f"{frame.time / 3600:.0f} h: {said / SPEECH_RATE:.0f} s of speech, {waiting}", flush=True)


class SameFrames:
    """The source frames of a dub, instead of the looped footage of a session."""

    def __init__(self, timeline: Timeline, rate: float) -> None:
        self._timeline, self._rate = timeline, rate

    def index(self, number: NDArray[np.intp]) -> NDArray[np.intp]:
        """Source frames of the output frames `number`."""
        at = np.searchsorted(self._timeline.times, (number - 0.5) / self._rate)
        return self._timeline.index[np.clip(at, 0, len(self._timeline) - 1)]


def compare(folder: Path, dubber: Dubber) -> None:
    """Print the correlation of the lip opening for each film, and the median."""
    films, found = sorted(folder.glob("*.mp4")), []
    for number in range(10):
        film, other = films[5 * number % len(films)], films[(7 * number + 11) % len(films)]
        found.append(correlation(dubber.prepare(film, end=4.0), read_audio(other)[: 6 * SPEECH_RATE]))
        print(f"{film.name} with {other.name}: {found[-1]:.3f}", flush=True)
    print(f"median {np.median(found):.3f}")


def correlation(clip: Clip, wave: NDArray[np.float32]) -> float:
    """Correlation of the lip opening in a live session with that in the dub."""
    result, rate = clip.dub(wave), float(clip.source.footage.rate)
    features, heard, found = SpeechFeatures(clip.backend), 0, []
    footage = cast("LoopedFootage", SameFrames(result.timeline, rate))
    mouth = LiveMouth(clip.backend, clip.config, clip.chosen[0], footage, 1 / rate)
    for number in range(len(result)):
        until = min(len(wave), round(((number + 1) / rate + LOOK_AHEAD) * SPEECH_RATE))
        features.push(wave[heard:until])
        heard = until
        track = mouth.track(number, features, 1.0)
        found.append(
            np.nan if track is None else float(lip_opening(track.points[np.searchsorted(track.frames, number)]))
        )
    expected = np.interp(np.arange(len(result)) / rate, result.mouths[0].times, lip_opening(result.mouths[0].points[:]))
    used = np.isfinite(found) & (np.arange(len(result)) > rate)
    return float(np.corrcoef(np.array(found)[used], expected[used])[0, 1])


def loud(sound: NDArray[np.float32]) -> int:
    """Number of samples that are not silent."""
    return int(np.count_nonzero(sound))


def memory() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
