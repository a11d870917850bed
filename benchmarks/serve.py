"""Benchmarks `lipsmith serve`: preview, load, queue, and the overhead against dubs without the service.

    python benchmarks/serve.py [--clients 50] [--seconds 10] [--json FILE]

The footage is the moving demo face at 640x480 and 25 frames per second; the speech is that of the demo.

- Preview: three seconds of a prepared film.
- Load: clients upload and poll at once while four jobs run, in four rounds. Counts errors and lost jobs, and reads the
  memory of both processes after each round.
- Queue: three jobs of four seconds, submitted at once, and three dubs by a loaded model in this process, in seven
  alternating rounds; medians.
- Cost: the same dub by `Clip.dub` in this process (plain), by the service (served), and by the service with the
  comparison film of the page (page), in turns. CPU time is least affected by other programs; least_wall is the shortest
  elapsed time of all turns.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from statistics import mean, median

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from dub import write_speech  # noqa: E402
from lipsmith import Clip, Dubber  # noqa: E402
from service import RunningService, errors_under_load, memory_mb, run_service, upload_file, wait_for_faces, wait_for_job  # noqa: E402
from synthetic import make_film  # noqa: E402

SIZE = (640, 480)
VARIANTS = ("plain", "served", "page")
ROUNDS = 4
POLLS = 20
QUEUED, QUEUE_ROUNDS = 3, 7
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run all benchmarks and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10, help="length of the film and the speech")
    parser.add_argument("--jobs", type=int, default=5, help="dubs per variant")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = make_film(folder / "film.mp4", options.seconds, 25, SIZE)
        words = write_speech(folder / "words.wav", options.seconds)
        with run_service(folder / "data", "--threads", str(options.threads)) as service:
            figures = preview(service, film, words) | load(service, film, words, options.clients)
            dubber = Dubber.from_pretrained("fast", threads=options.threads)
            clip = dubber.prepare(film)
            figures |= queue(service, clip, film, write_speech(folder / "short.wav", 4))
            figures |= cost(service, clip, film, words, options.jobs)
    for key, value in figures.items():
        print(f"{key:28} {value:10.2f}")
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "settings": vars(options)}, default=str, indent=2))


def preview(service: RunningService, film: Path, words: Path) -> dict[str, float]:
    """Times of preparing a film and of a three-second preview."""
    with service.client() as client:
        request = {
            "video": upload_file(client, film),
            "speech": upload_file(client, words),
            "preview": 3,
            "compare": True,
        }
        started = time.perf_counter()
        assert wait_for_faces(client, str(request["video"])).status_code == 200
        prepared = time.perf_counter()
        used = cpu_seconds(service.worker())
        done = wait_for_job(client, client.post("/v1/jobs", json=request).json()["id"], 600)
        assert done["state"] == "done", done
        return {
            "preparing_s": prepared - started,
            "preview_s": time.perf_counter() - prepared,
            "preview_cpu_s": cpu_seconds(service.worker()) - used,
        }


def load(service: RunningService, film: Path, words: Path, clients: int) -> dict[str, float]:
    """Errors, lost jobs and memory while clients upload and poll and four jobs run."""
    errors, sizes = 0, []
    with service.client() as client:
        request = {"video": upload_file(client, film), "speech": upload_file(client, words)}
        jobs = [client.post("/v1/jobs", json=request).json()["id"] for _ in range(4)]
        started = time.perf_counter()
        for _ in range(ROUNDS):
            errors += errors_under_load(service, words, clients, POLLS)
            sizes.append(memory_mb(service))
        seconds = time.perf_counter() - started
        lost = sum(wait_for_job(client, job, 3600)["state"] != "done" for job in jobs)
    growth = [last - first for first, last in zip(sizes[0], sizes[-1], strict=True)]
    return {
        "clients": clients,
        "answers": ROUNDS * clients * (1 + 2 * POLLS),
        "load_s": seconds,
        "errors": errors,
        "lost_jobs": lost,
        "server_mb": sizes[-1][0],
        "server_growth_mb": growth[0],
        "worker_mb": sizes[-1][1],
        "worker_growth_mb": growth[1],
    }


def queue(service: RunningService, clip: Clip, film: Path, words: Path) -> dict[str, float]:
    """Times of queued jobs, also relative to as many dubs by a loaded model; medians of alternating rounds."""
    plain, queued = [], []
    with service.client() as client:
        request = {"video": upload_file(client, film), "speech": upload_file(client, words)}
        assert wait_for_faces(client, request["video"]).status_code == 200
        run_queue(client, request)
        dub(clip, words)
        for _ in range(QUEUE_ROUNDS):
            plain.append(timed(service, lambda: dub(clip, words, QUEUED)))
            queued.append(timed(service, lambda: run_queue(client, request)))
    cpu, wall = (median(column) for column in zip(*queued, strict=True))
    plain_cpu, plain_wall = (median(column) for column in zip(*plain, strict=True))
    return {
        "queued_cpu_s": cpu,
        "queued_wall_s": wall,
        "queued_cpu_over_plain": cpu / plain_cpu,
        "queued_wall_over_plain": wall / plain_wall,
    }


def run_queue(client: httpx.Client, request: dict[str, str]) -> None:
    """Request the dubs and return when all are done."""
    jobs = [client.post("/v1/jobs", json=request).json()["id"] for _ in range(QUEUED)]
    wait_for_events(client, jobs[-1])
    assert {client.get(f"/v1/jobs/{job}").json()["state"] for job in jobs} == {"done"}


def dub(clip: Clip, words: Path, times: int = 1) -> None:
    """Dub without the service."""
    for _ in range(times):
        clip.dub(words).save(words.with_name("plain.mp4"), overwrite=True)


def timed(service: RunningService, work: Callable[[], object]) -> tuple[float, float]:
    """CPU time of all processes involved, and elapsed time."""
    used, started = total_cpu_seconds(service), time.perf_counter()
    work()
    return total_cpu_seconds(service) - used, time.perf_counter() - started


def cost(service: RunningService, clip: Clip, film: Path, words: Path, jobs: int) -> dict[str, float]:
    """Times of dubs by the service, with and without the comparison film, and by `Clip.dub` in this process.

    The variants take turns, so that other load on the machine affects all alike.
    """
    times: dict[str, list[tuple[float, float]]] = {variant: [] for variant in VARIANTS}
    with service.client() as client:
        request = {"video": upload_file(client, film), "speech": upload_file(client, words)}
        assert wait_for_faces(client, request["video"]).status_code == 200
        for _ in range(jobs):
            times["plain"].append(timed(service, lambda: dub(clip, words)))
            times["served"].append(timed(service, lambda: dub_by_service(client, request)))
            times["page"].append(timed(service, lambda: dub_by_service(client, request | {"compare": True})))
    figures: dict[str, float] = {}
    for variant, pairs in times.items():
        used, walls = zip(*pairs, strict=True)
        figures |= {
            f"{variant}_cpu_s": mean(used),
            f"{variant}_wall_s": median(walls),
            f"{variant}_least_wall_s": min(walls),
        }
    for variant, name in product(VARIANTS[1:], ("cpu", "wall", "least_wall")):
        figures[f"{variant}_{name}_over_plain"] = figures[f"{variant}_{name}_s"] / figures[f"plain_{name}_s"]
    return figures


def dub_by_service(client: httpx.Client, request: Mapping[str, object]) -> None:
    """Request a dub and wait for its end."""
    wait_for_events(client, client.post("/v1/jobs", json=request).json()["id"])


def wait_for_events(client: httpx.Client, job: str) -> None:
    """Read the events of a job until it has ended, as the page does."""
    with client.stream("GET", f"/v1/jobs/{job}/events", timeout=None) as events:
        lines = [line for line in events.iter_lines() if line.startswith("data:")]
    assert json.loads(lines[-1][5:])["state"] == "done", lines[-1]


def total_cpu_seconds(service: RunningService) -> float:
    """CPU time of the server, the worker and this process."""
    return sum(map(cpu_seconds, (service.process.pid, service.worker(), os.getpid())))


def cpu_seconds(process: int | None) -> float:
    """CPU time of a process with all its threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
    main()
