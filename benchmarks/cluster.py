"""Measures what a batch costs on a cluster besides the dubs, and works out 10,000 films on 100 machines from it.

    python benchmarks/cluster.py [--seconds 20] [--films 10000] [--machines 100] [--cores 2] [--minutes 1]

The footage is the moving demo face at 640x480 and 25 frames per second; the speech is that of the demo. All is
processor time of one core, which other programs affect least: a film as a worker of one thread dubs it; the start of a
worker (process, imports, model); what a worker does a second time for each share of a split film; and what the command
itself does for a film (checks, two lines of the journal, Ray), measured with workers that only create the results.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "benchmarks"), str(ROOT / "tests"), *sys.path])

from dub import write_speech  # noqa: E402
from lipsmith import Dubber, DubOptions  # noqa: E402
from lipsmith.cluster.pool import Pool  # noqa: E402
from lipsmith.cluster.run import outcomes  # noqa: E402
from lipsmith.cluster.tasks import Report, Task  # noqa: E402
from lipsmith.cluster.worker import Worker  # noqa: E402
from lipsmith.dubbing.batch import run_all  # noqa: E402
from lipsmith.dubbing.job import surroundings  # noqa: E402
from lipsmith.dubbing.pairs import Job  # noqa: E402
from lipsmith.inference.model_folder import find_model  # noqa: E402
from synthetic import make_film  # noqa: E402

RATE, SIZE = 25, (640, 480)
IDLE_FILMS = 300


class Idle(Worker):
    """A worker that only creates the result."""

    def work(self, task: Task) -> Report:
        task.job.output.touch()
        return Report()


def make(kind: type[Worker]) -> Worker:
    """A worker with one thread."""
    return kind(partial(Dubber.from_pretrained, "fast", "cpu", 1), DubOptions(), 1, surroundings(), logging.ERROR)


def start() -> tuple[float, float]:
    """Processor seconds and memory (MB) of a worker that has started."""
    code = "import cluster; cluster.make(cluster.Worker).load()"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1024


def film(folder: Path, seconds: float) -> tuple[float, float]:
    """Processor seconds of a dub per second of film, and of what every share of a split film repeats."""
    video, words = make_film(folder / "film.mp4", seconds, RATE, SIZE), write_speech(folder / "words.wav", seconds)
    job = Job(video, words, folder / "out.mp4")
    worker = make(Worker)
    worker.load()
    began = time.process_time()
    report = worker.work(Task(job, may_split=False))
    spent = time.process_time() - began
    if report.error:
        raise report.error
    clip = worker._batch("auto").dubber.prepare(job.video)
    began = time.process_time()
    clip.dub(job.speech)
    return spent / seconds, (time.process_time() - began) / seconds


def command(folder: Path) -> float:
    """Processor seconds of the command for a film."""
    video, words = folder / "film.mp4", folder / "words.wav"
    jobs = [Job(video, words, folder / f"idle{number}.mp4") for number in range(IDLE_FILMS)]
    model = find_model("fast").settings
    with Pool(partial(make, Idle), 1) as pool:
        pool.grow(1)
        while not pool.idle:
            pool.wait()
        journal = folder / ".lipsmith-journal-idle.jsonl"
        began = time.process_time()
        run = run_all(jobs, DubOptions(), model, partial(outcomes, workers=pool), journal)
        assert len(list(run)) == IDLE_FILMS
        return (time.process_time() - began) / IDLE_FILMS


def main() -> None:
    """Measure, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="length of the film that is measured")
    parser.add_argument("--films", type=int, default=10_000)
    parser.add_argument("--machines", type=int, default=100)
    parser.add_argument("--cores", type=int, default=2, help="of each machine")
    parser.add_argument("--minutes", type=float, default=1, help="length of each film")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        starting, memory = start()
        dubbing, again = film(Path(name), options.seconds)
        commanding = command(Path(name))
    print(f"start of a worker: {starting:.1f} s, {memory:.0f} MB")
    print(f"dub: {dubbing:.2f} s for a second of film; {again:.3f} s of it again for each share of a split film")
    print(f"the command: {1000 * commanding:.1f} ms for a film")
    workers, one = options.machines * options.cores, 60 * options.minutes * dubbing
    alone = options.films * one / workers
    whole, commands = alone + starting + one, options.films * commanding
    machines = f"{options.machines} machines of {options.cores} cores"
    print(f"\n{options.films} films of {options.minutes:g} min on {machines}:")
    print(f"one machine: {options.films * one / options.cores / 3600:.0f} h")
    print(f"dubs alone, divided by the cores: {alone / 60:.1f} min")
    print(f"start of the workers: {starting:.0f} s")
    print(f"the last films, while other workers have nothing to do: at most {one:.0f} s")
    print(f"a lost machine: its {options.cores} films again, {options.cores * one / workers:.1f} s")
    print(f"the command, beside the dubs: {commands:.0f} s, {100 * commands / whole:.1f} % of a core")
    print(f"in all: {whole / 60:.1f} min, {100 * alone / whole:.1f} % of it dubs")


if __name__ == "__main__":
    main()
