"""What `lipsmith serve` costs and what it stands: a load, a preview, and the same dubs with and without it.

    python benchmarks/serve.py [--clients 50] [--seconds 10] [--json FILE]

The footage is the demo's face in motion at 640x480 and 25 frames a second, with the demo's voice. Load: so many clients
upload and poll at once while four jobs run; every answer and every job counts, and the memory of both processes is read
after half of the load and at its end. Preview: three seconds of a film that is prepared. Cost: the same dub by
`Clip.dub` in this process (plain), by the service (served), and by the service with what the page compares it with
(page), in turns. Processor time is what other programs on the machine disturb least.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from dub import write_speech  # noqa: E402
from lipsmith import Dubber  # noqa: E402
from service import Running, ended, found_faces, running, send  # noqa: E402
from synthetic import make_film  # noqa: E402

SIZE = (640, 480)
WAYS = ("plain", "served", "page")
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
        with running(folder / "data", "--threads", str(options.threads)) as service:
            figures = preview(service, film, words) | load(service, film, words, options.clients)
            figures |= cost(service, film, words, options.jobs, options.threads)
    for key, value in figures.items():
        print(f"{key:28} {value:10.2f}")
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "settings": vars(options)}, default=str, indent=2))


def preview(service: Running, film: Path, words: Path) -> dict[str, float]:
    """From asking for three seconds of prepared footage to having them."""
    with service.client() as client:
        wanted = {"video": send(client, film), "speech": send(client, words), "preview": 3, "compare": True}
        began = time.perf_counter()
        assert found_faces(client, wanted["video"]).status_code == 200
        prepared = time.perf_counter()
        used = processor_seconds(service.worker())
        done = ended(client, client.post("/v1/jobs", json=wanted).json()["id"], 600)
        assert done["state"] == "done", done
        return {
            "preparing_s": prepared - began,
            "preview_s": time.perf_counter() - prepared,
            "preview_cpu_s": processor_seconds(service.worker()) - used,
        }


def load(service: Running, film: Path, words: Path, clients: int) -> dict[str, float]:
    """Errors, lost jobs and memory while `clients` upload and poll and four jobs run."""
    with service.client() as client:
        wanted = {"video": send(client, film), "speech": send(client, words)}
        jobs = [client.post("/v1/jobs", json=wanted).json()["id"] for _ in range(4)]
        began = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            first = sum(pool.map(lambda _: one_client(service, words), range(clients)))
            half = memory(service)
            second = sum(pool.map(lambda _: one_client(service, words), range(clients)))
        seconds = time.perf_counter() - began
        lost = sum(ended(client, job, 3600)["state"] != "done" for job in jobs)
    after = memory(service)
    return {
        "clients": clients,
        "load_s": seconds,
        "errors": first + second,
        "lost_jobs": lost,
        "server_mb": after[0],
        "server_growth_mb": after[0] - half[0],
        "worker_mb": after[1],
        "worker_growth_mb": after[1] - half[1],
    }


def one_client(service: Running, words: Path) -> int:
    """Upload a file, ask twenty times what it holds and what was dubbed; returns how many answers were errors."""
    errors = 0
    with service.client() as client:
        try:
            upload = send(client, words)
        except (AssertionError, httpx.HTTPError):
            return 1
        for _ in range(20):
            for path in (f"/v1/uploads/{upload}", "/v1/jobs"):
                try:
                    errors += client.get(path).status_code != 200
                except httpx.HTTPError:
                    errors += 1
            time.sleep(0.1)
    return errors


def cost(service: Running, film: Path, words: Path, jobs: int, threads: int) -> dict[str, float]:
    """Seconds of dubs by the service, without and with the page's comparison, beside the same dubs in one process.

    They take turns, so that what else the machine does disturbs all alike.
    """
    clip = Dubber.from_pretrained("fast", threads=threads).prepare(film)
    cpu, wall = dict.fromkeys(WAYS, 0.0), dict.fromkeys(WAYS, 0.0)
    with service.client() as client:
        wanted = {"video": send(client, film), "speech": send(client, words)}
        assert found_faces(client, wanted["video"]).status_code == 200
        for _ in range(jobs):
            for way in WAYS:
                used, began = all_seconds(service), time.perf_counter()
                if way == "plain":
                    clip.dub(words).save(film.with_name("plain.mp4"), overwrite=True)
                    wall[way] += time.perf_counter() - began
                else:
                    wall[way] += served(client, wanted | {"compare": way == "page"})
                cpu[way] += all_seconds(service) - used
    figures = {f"{way}_cpu_s": cpu[way] / jobs for way in WAYS} | {f"{way}_wall_s": wall[way] / jobs for way in WAYS}
    for way in WAYS[1:]:
        figures |= {
            f"{way}_cpu_over_plain": cpu[way] / cpu["plain"],
            f"{way}_wall_over_plain": wall[way] / wall["plain"],
        }
    return figures


def served(client: httpx.Client, wanted: dict[str, object]) -> float:
    """Seconds from a job's start to its end, while its events are followed."""
    job = client.post("/v1/jobs", json=wanted).json()["id"]
    with client.stream("GET", f"/v1/jobs/{job}/events", timeout=None) as events:
        told = [line for line in events.iter_lines() if line.startswith("data:")]
    done = json.loads(told[-1][5:])
    assert done["state"] == "done", done
    return float(done["finished"] - done["started"])


def all_seconds(service: Running) -> float:
    """Processor time of server, worker and this process."""
    return sum(map(processor_seconds, (service.process.pid, service.worker(), os.getpid())))


def processor_seconds(process: int | None) -> float:
    """Processor time of a process and its threads so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(service: Running) -> tuple[float, float]:
    """Resident MB of server and worker."""
    sizes = []
    for process in (service.process.pid, service.worker()):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        sizes.append(next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")))
    return sizes[0], sizes[1]


if __name__ == "__main__":
    main()
