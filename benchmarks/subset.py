"""Makes a prepared folder of some clips of another one, as tables in docs/results.md and docs/reproduction.md use them.

    python benchmarks/subset.py data/ few/ --least 2 --most 10 --clips 1
    python benchmarks/subset.py data/ short/ --least 2 --clips 1 --people 10 --shortest

The new folder has a manifest of its own and links to the clips.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from math import inf
from pathlib import Path

from lipsmith.data.clips import ClipRecord, read_manifest, write_manifest


def chosen(records: Sequence[ClipRecord], options: argparse.Namespace) -> list[ClipRecord]:
    """Of each split, the first clips of the first people; the order is that of names, or of lengths."""
    long = [record for record in records if options.least <= record.seconds <= options.most]
    long.sort(key=lambda record: (record.seconds if options.shortest else 0, record.clip))
    people: dict[str, list[str]] = {}
    clips: Counter[str] = Counter()
    found = []
    for record in long:
        known = people.setdefault(record.split, [])
        if record.identity not in known and len(known) < options.people:
            known.append(record.identity)
        if record.identity in known and clips[record.identity] < options.clips:
            clips[record.identity] += 1
            found.append(record)
    return sorted(found, key=lambda record: record.clip)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="prepared clips")
    parser.add_argument("out", type=Path, help="the new folder")
    parser.add_argument("--least", type=float, default=0, help="seconds of a clip")
    parser.add_argument("--most", type=float, default=inf, help="seconds of a clip")
    parser.add_argument("--clips", type=float, default=inf, help="of each person")
    parser.add_argument("--people", type=float, default=inf, help="of each split")
    parser.add_argument("--shortest", action="store_true", help="the shortest clips, and the people who have them")
    options = parser.parse_args()
    records = chosen(read_manifest(options.data), options)
    options.out.mkdir(parents=True)
    for split in {record.split for record in records}:
        (options.out / split).symlink_to((options.data / split).resolve())
    write_manifest(options.out, records)


if __name__ == "__main__":
    main()
