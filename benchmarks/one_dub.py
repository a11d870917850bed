"""One dub in a process of its own, for `benchmarks/dub.py`: prints what its two passes take and how wide the face is.

    python benchmarks/one_dub.py FILM SPEECH OUT MODEL THREADS

Uses only what every commit offers, so that PYTHONPATH decides which one is measured.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress


def main() -> None:
    """Dub and print the figures."""
    set_up()
    from lipsmith import Dubber

    film, words, out, model, threads = sys.argv[1:]
    dubber = Dubber.from_pretrained(model, "cpu", int(threads))
    began, cpu_began = time.perf_counter(), time.process_time()
    clip = dubber.prepare(film)
    between, cpu_between = time.perf_counter(), time.process_time()
    clip.dub(words).save(out, overwrite=True)
    ended, cpu_ended = time.perf_counter(), time.process_time()
    found = {
        "first": between - began,
        "second": ended - between,
        "first_cpu": cpu_between - cpu_began,
        "second_cpu": cpu_ended - cpu_between,
        "face": clip.faces[0].size,
    }
    print(json.dumps(found))


def set_up() -> None:
    """What the command `lipsmith dub` of this commit sets before it imports anything that computes, if it does."""
    with suppress(AttributeError):
        from lipsmith.cli import load_verb

        load_verb("dub")  # before anything that imports numpy
        from lipsmith.cli import console

        console.tune_process()


if __name__ == "__main__":
    main()
