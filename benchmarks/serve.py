"""Measures `lipsmith serve`: load, preview, queue, and the same dubs with and without the service.

    python benchmarks/serve.py [--clients 50] [--seconds 10] [--json FILE]

The footage is the demo's face in motion at 640x480 and 25 frames a second, with the demo's voice. Load: so many clients
upload and poll at once while four jobs run, in four rounds; every answer and every job counts, and the memory of both
processes is read after each round. Preview: three seconds of a film that is prepared. Queue: ten jobs of four seconds
that are asked for at once, between five and five such dubs by a loaded model in this process. Cost: the same dub by
`Clip.dub` in this process (plain), by the service (served), and by the service with what the page compares it with
(page), in turns. Processor time is what other programs on the machine disturb least; least_wall is the shortest of all
turns, which they disturb least on the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
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
WAYS = ("plain", "served", "page")
ROUNDS = 4
POLLS = 20
QUEUED = 10
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10, help="length of the film and the speech")
    parser.add_argument("--jobs", type=int, default=5, help="dubs each way")
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
    """From asking for three seconds of prepared footage to having them."""
    with service.client() as client:
        wanted = {
            "video": upload_file(client, film),
            "speech": upload_file(client, words),
            "preview": 3,
            "compare": True,
        }
        began = time.perf_counter()
        assert wait_for_faces(client, wanted["video"]).status_code == 200
        prepared = time.perf_counter()
        used = processor_seconds(service.worker())
        done = wait_for_job(client, client.post("/v1/jobs", json=wanted).json()["id"], 600)
        assert done["state"] == "done", done
        return {
            "preparing_s": prepared - began,
            "preview_s": time.perf_counter() - prepared,
            "preview_cpu_s": processor_seconds(service.worker()) - used,
        }


def load(service: RunningService, film: Path, words: Path, clients: int) -> dict[str, float]:
    """Errors, lost jobs and memory while `clients` upload and poll and four jobs run."""
    errors, sizes = 0, []
    with service.client() as client:
        wanted = {"video": upload_file(client, film), "speech": upload_file(client, words)}
        jobs = [client.post("/v1/jobs", json=wanted).json()["id"] for _ in range(4)]
        began = time.perf_counter()
        for _ in range(ROUNDS):
            errors += errors_under_load(service, words, clients, POLLS)
            sizes.append(memory_mb(service))
        seconds = time.perf_counter() - began
        lost = sum(wait_for_job(client, job, 3600)["state"] != "done" for job in jobs)
    grown = [last - first for first, last in zip(sizes[0], sizes[-1], strict=True)]
    return {
        "clients": clients,
        "answers": ROUNDS * clients * (1 + 2 * POLLS),
        "load_s": seconds,
        "errors": errors,
        "lost_jobs": lost,
        "server_mb": sizes[-1][0],
        "server_growth_mb": grown[0],
        "worker_mb": sizes[-1][1],
        "worker_growth_mb": grown[1],
    }


def queue(service: RunningService, clip: Clip, film: Path, words: Path) -> dict[str, float]:
    """Seconds of ten queued jobs, from asking to the last one's end, over those of ten dubs by a loaded model."""
    with service.client() as client:
        wanted = {"video": upload_file(client, film), "speech": upload_file(client, words)}
        assert wait_for_faces(client, wanted["video"]).status_code == 200
        assert wait_for_job(client, client.post("/v1/jobs", json=wanted).json()["id"], 600)["state"] == "done"
        dub(clip, words)
        first = timed(service, lambda: [dub(clip, words) for _ in range(QUEUED // 2)])
        queued = timed(service, lambda: all_done(client, wanted))
        second = timed(service, lambda: [dub(clip, words) for _ in range(QUEUED - QUEUED // 2)])
    cpu, wall = first[0] + second[0], first[1] + second[1]
    return {
        "queued_cpu_s": queued[0],
        "queued_wall_s": queued[1],
        "queued_cpu_over_plain": queued[0] / cpu,
        "queued_wall_over_plain": queued[1] / wall,
    }


def all_done(client: httpx.Client, wanted: dict[str, str]) -> None:
    """Ask for ten dubs and return when all are done."""
    jobs = [client.post("/v1/jobs", json=wanted).json()["id"] for _ in range(QUEUED)]
    follow(client, jobs[-1])
    assert {client.get(f"/v1/jobs/{job}").json()["state"] for job in jobs} == {"done"}


def dub(clip: Clip, words: Path) -> None:
    """The same without a service."""
    clip.dub(words).save(words.with_name("plain.mp4"), overwrite=True)


def timed(service: RunningService, work: Callable[[], object]) -> tuple[float, float]:
    """Processor time of all that takes part, and time on the clock."""
    used, began = all_seconds(service), time.perf_counter()
    work()
    return all_seconds(service) - used, time.perf_counter() - began


def cost(service: RunningService, clip: Clip, film: Path, words: Path, jobs: int) -> dict[str, float]:
    """Seconds of dubs by the service, without and with the page's comparison, beside the same dubs in one process.

    They take turns, so that what else the machine does disturbs all alike.
    """
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    with service.client() as client:
        wanted = {"video": upload_file(client, film), "speech": upload_file(client, words)}
        assert wait_for_faces(client, wanted["video"]).status_code == 200
        for _ in range(jobs):
            taken["plain"].append(timed(service, lambda: dub(clip, words)))
            taken["served"].append(timed(service, lambda: served(client, wanted)))
            taken["page"].append(timed(service, lambda: served(client, wanted | {"compare": True})))
    figures: dict[str, float] = {}
    for way, pairs in taken.items():
        used, walls = zip(*pairs, strict=True)
        figures |= {f"{way}_cpu_s": mean(used), f"{way}_wall_s": median(walls), f"{way}_least_wall_s": min(walls)}
    for way, name in product(WAYS[1:], ("cpu", "wall", "least_wall")):
        figures[f"{way}_{name}_over_plain"] = figures[f"{way}_{name}_s"] / figures[f"plain_{name}_s"]
    return figures


def served(client: httpx.Client, wanted: dict[str, object]) -> None:
    """A dub that is asked for, and followed to its end."""
    follow(client, client.post("/v1/jobs", json=wanted).json()["id"])


def follow(client: httpx.Client, job: str) -> None:
    """Read a job's events to its end, as the page does."""
    with client.stream("GET", f"/v1/jobs/{job}/events", timeout=None) as events:
        told = [line for line in events.iter_lines() if line.startswith("data:")]
    assert json.loads(told[-1][5:])["state"] == "done", told[-1]


def all_seconds(service: RunningService) -> float:
    """Processor time of server, worker and this process."""
    return sum(map(processor_seconds, (service.process.pid, service.worker(), os.getpid())))


def processor_seconds(process: int | None) -> float:
    """Processor time of a process and its threads so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
    main()
