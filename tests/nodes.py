"""Dubs short films on a Ray cluster of several nodes in this machine, kills one, and checks that nothing is lost.

Every result has the same frames and samples as on one machine, and the journal lists them all.

python tests/nodes.py --films 40 --nodes 4
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent))
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# For the processes of the nodes.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])

from double import CONFIG, make_dubber
from dub_samples import SIZE, write_wav
from kills import debris, fingerprint
from lipsmith import DubOptions
from lipsmith.cluster.pool import Pool
from lipsmith.cluster.run import outcomes
from lipsmith.cluster.tasks import RemoteWorker, Task
from lipsmith.dubbing.batch import Batch, run_all
from long_film import make_long, make_small_worker, small_parts
from synthetic import Motion, make_film, speech

STORE = 100 << 20
"""Bytes of each node's object store."""
_PATIENCE = 300.0


def write_table(folder: Path, films: int) -> Path:
    """Write films and speech of 0.4 to 1 s, and the table of the dubs; return its path."""
    rows = []
    for number in range(films):
        seconds = 0.4 + 0.6 * (number % 7) / 6
        film = make_film(folder / f"film{number:02}.mp4", seconds, 25, SIZE, Motion(shift=0.01 + 0.003 * number))
        words = write_wav(
            folder / f"words{number:02}.wav", speech(4.0)[1600 * number % 40_000 :][: int(16_000 * seconds)]
        )
        rows.append((film.name, words.name, f"out{number:02}.mp4"))
    with (folder / "jobs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("video", "speech", "output"), *rows])
    return folder / "jobs.csv"


def command(table: Path, out: Path, *words: str) -> list[str]:
    # What is faster depends on the moment.
    fixed = ("--precision", "float")
    return [sys.executable, "-m", "lipsmith", "batch", str(table), "-o", str(out), *fixed, *words]


@contextmanager
def cluster(nodes: int) -> Iterator[Any]:
    """A Ray cluster of nodes with one core each, and a head that does no work."""
    from ray.cluster_utils import Cluster

    manner: dict[str, Any] = {"object_store_memory": STORE, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **manner})
    try:
        for _ in range(nodes):
            made.add_node(num_cpus=1, **manner)
        yield made
    finally:
        made.shutdown()  # type: ignore[no-untyped-call]


def results(out: Path) -> dict[str, str]:
    """The hash of all decoded frames and samples of each result."""
    return {path.name: fingerprint(path) for path in sorted(out.glob("*.mp4"))}


def done_in(journal: Path) -> int:
    """The number of results that a journal lists as done."""
    lines = journal.read_text().splitlines() if journal.exists() else []
    return sum('"done"' in line for line in lines)


def kept(out: Path, copy: Path) -> Path:
    """Wait for the journal of a batch, and link it to `copy`, where it stays when the batch is over."""
    end = time.monotonic() + _PATIENCE
    while not (found := list(out.glob(".lipsmith-journal-*"))):
        if time.monotonic() > end:
            sys.exit("the batch began no journal")
        time.sleep(0.05)
    os.link(found[0], copy)
    return found[0]


def killed_run(table: Path, out: Path, nodes: int, after: int, copy: Path) -> tuple[Path, int, list[str], str]:
    """Run the batch on a cluster, and kill a node when `after` films are done: the journal's path, the exit code,
    the paths on stdout, and stderr."""
    with cluster(nodes) as made, (copy.with_suffix(".err")).open("w+") as errors:
        environment = os.environ | {"RAY_ADDRESS": made.address}
        words = command(table, out, "--on", "ray")
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as run:
            journal = kept(out, copy)
            while run.poll() is None and done_in(copy) < after:
                time.sleep(0.05)
            made.remove_node(next(iter(made.worker_nodes)), allow_graceful=False)
            print(f"killed a node after {done_in(copy)} films", flush=True)
            said, _ = run.communicate(timeout=_PATIENCE)
        errors.seek(0)
        return journal, run.returncode, said.split(), errors.read()


def check(condition: bool, what: str, said: str) -> None:
    """Exit with what is wrong, and what the command said, unless the condition holds."""
    if not condition:
        sys.exit(f"{what}\n{said[-3000:]}")
    print(f"ok: {what}", flush=True)


def check_split(folder: Path) -> None:
    """Check that a film that several nodes draw together, one of which is killed, is that of one machine."""
    folder.mkdir()
    long = make_long(folder, folder / "together.mp4")
    whole, options = replace(long, output=folder / "alone.mp4"), DubOptions()
    with small_parts(), cluster(3) as made, mock.patch.dict(os.environ, RAY_ADDRESS=made.address):
        list(Batch(make_dubber(), options).run([whole]))
        with Pool(partial(make_small_worker, options), 1) as pool:
            start, given = pool.start, list[Task]()

            def note(worker: RemoteWorker, task: Task) -> None:
                start(worker, task)
                given.append(task)
                if sum(task.share is not None for task in given) == 2:
                    made.remove_node(next(iter(made.worker_nodes)), allow_graceful=False)

            pool.start = note  # type: ignore[method-assign]
            list(run_all([long], options, CONFIG, partial(outcomes, workers=pool)))
    shares = {task.share for task in given if task.share}
    check(len(shares) == 4, "a long film is drawn in four shares, one node killed", "")
    check(fingerprint(long.output) == fingerprint(whole.output), "and is that of one machine", "")
    check(debris(folder) == [], "no other file is left", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=40)
    parser.add_argument("--nodes", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nodes-") as name:
        folder = Path(name)
        alone, together, copy = folder / "alone", folder / "together", folder / "journal"
        together.mkdir()
        table = write_table(folder, options.films)
        began = time.monotonic()
        subprocess.run(command(table, alone, "-q"), check=True, stdout=subprocess.DEVNULL)
        print(f"one machine: {time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()
        journal, code, paths, said = killed_run(table, together, options.nodes, options.films // 4, copy)
        print(f"{options.nodes} nodes: {time.monotonic() - began:.0f} s", flush=True)
        check(code == 0, "the exit code is 0", said)
        check(" was lost; others do its work" in said, "a worker was lost", said)
        check(sorted(Path(path).name for path in paths) == sorted(results(alone)), "every result is named once", said)
        check(results(together) == results(alone), "frames and samples are those of one machine", said)
        check(done_in(copy) == options.films, "the journal lists every result once", said)
        check(debris(together) == [], "no other file is left", said)
        check_split(folder / "long")
        before = {path.name: path.stat().st_mtime_ns for path in together.iterdir()}
        copy.replace(journal)  # as if the command had been killed at its end
        again = subprocess.run(command(table, together, "--on", "ray"), capture_output=True, text=True, check=False)
        check(again.returncode == 0 and len(again.stdout.split()) == options.films, "a rerun names all", again.stderr)
        after = {path.name: path.stat().st_mtime_ns for path in together.iterdir()}
        check(before == after, "a rerun makes none again", again.stderr)


if __name__ == "__main__":
    main()
