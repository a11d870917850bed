"""Benchmarks face recognition: similarity of faces of one person and of different people, as in `lipsmith dub`.

    LIPSMITH_HOME=... python benchmarks/people.py ../shared/clips/val ../shared/clips/test

The folders hold films named after the person, such as anna_001.mp4, one face in each. Prints the cosines of all pairs
of films, the number of wrong decisions at the threshold, and CPU seconds per face.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.scan import ArrayStore, Scanner, Sizes
from lipsmith.dubbing.source import FileSource
from lipsmith.face import FaceTracker
from lipsmith.inference.people import MIN_SIMILARITY, FaceRecognizer

SECONDS = 1.5
MOST = 4
"""Films of one person."""


def films(folders: list[Path]) -> list[Path]:
    """At most `MOST` films of each person."""
    of_person: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(chain.from_iterable(folder.glob("*.mp4") for folder in folders)):
        of_person[path.stem.split("_")[0]].append(path)
    return [path for paths in of_person.values() for path in paths[:MOST]]


def summary(cosines: NDArray[np.float64]) -> str:
    """The number of pairs and the range of their cosines; there may be no pair, as where each person has one film."""
    if not len(cosines):
        return "no pairs"
    low, middle, high = np.percentile(cosines, (0, 50, 100))
    return f"{len(cosines)} pairs, {low:.2f} to {high:.2f}, median {middle:.2f}"


def main() -> None:
    paths = films([Path(word) for word in sys.argv[1:]])
    store, recognizer, found, seconds = ArrayStore(), FaceRecognizer(), [], 0.0
    for path in paths:
        (face,) = Scanner(FaceTracker(1), store, Sizes()).scan(FileSource(path, 0, SECONDS)).faces[:1]
        begin = time.process_time()
        found.append(recognizer.mean(np.asarray(face.pool), face.pool_points[:]))
        seconds += time.process_time() - begin
    people = np.array([path.stem.split("_")[0] for path in paths])
    one, other = np.triu_indices(len(paths), 1)
    cosines, same = (np.stack(found) @ np.stack(found).T)[one, other], people[one] == people[other]
    print(f"{len(paths)} films of {len(set(people))} people")
    print(f"one person: {summary(cosines[same])}")
    print(f"two people: {summary(cosines[~same])}")
    rejected, accepted = (cosines[same] < MIN_SIMILARITY).sum(), (cosines[~same] >= MIN_SIMILARITY).sum()
    print(f"at {MIN_SIMILARITY}: {rejected} false rejections, {accepted} false acceptances")
    print(f"{seconds / len(paths):.3f} s of CPU per face")


if __name__ == "__main__":
    main()
