"""One dub in a process of its own, for `benchmarks/dub.py`: prints seconds of its two passes and width of the face.

    python benchmarks/one_dub.py FILM SPEECH OUT MODEL THREADS

Uses only what every commit offers, so that PYTHONPATH decides which one is measured.
"""

from __future__ import annotations

import json
import sys
import time

from lipsmith import Dubber


def main() -> None:
    """Dub and print the figures."""
    film, words, out, model, threads = sys.argv[1:]
    dubber = Dubber.from_pretrained(model, "cpu", int(threads))
    began = time.perf_counter()
    clip = dubber.prepare(film)
    between = time.perf_counter()
    clip.dub(words).save(out, overwrite=True)
    ended = time.perf_counter()
    print(json.dumps({"first": between - began, "second": ended - between, "face": clip.faces[0].size}))


if __name__ == "__main__":
    main()
