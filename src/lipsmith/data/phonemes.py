"""Recognizes the phonemes of prepared clips once and stores them next to the manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from lipsmith.data.clips import ClipRecord
from lipsmith.errors import InputError
from lipsmith.progress import Progress
from lipsmith.speech.mel import read_audio
from lipsmith.speech.phonemes import PhonemeRecognizer, Phonemes

PHONEMES: Final = "phonemes.jsonl"


class _Row(NamedTuple):
    phonemes: Phonemes
    size: int | None
    """`_size` of the clip; None if an earlier version recognized them."""


def clip_phonemes(
    root: Path, records: Sequence[ClipRecord], progress: Progress = lambda done, total: None
) -> dict[str, Phonemes]:
    """Phonemes by clip, in seconds of its picture: where the clip starts in its source, and its offset, are subtracted.

    Missing phonemes, and those of clips that were prepared anew, are recognized in the clips' sources and added to
    `phonemes.jsonl` in `root`. Clips whose source is missing, and further clips of a source whose start is unknown,
    have none. Raises UsageError if phonemes must be recognized and `hama` is not installed.
    """
    rows = _read(root / PHONEMES)
    known = {
        record.clip: row.phonemes
        for record in records
        if (row := rows.get(record.clip)) and row.size in (None, _size(root, record))
    }
    missing = [record for record in records if record.clip not in known and _has_sound(record)]
    if missing:
        known |= _recognize(root, missing, progress)
    return {
        record.clip: [(symbol, moment - (record.start or 0) - record.offset) for symbol, moment in known[record.clip]]
        for record in records
        if record.clip in known
    }


def _recognize(root: Path, records: Sequence[ClipRecord], progress: Progress) -> dict[str, Phonemes]:
    """Phonemes by clip, in seconds of its source, which is heard once; each is stored as soon as it is known."""
    recognize, by_source, found = PhonemeRecognizer(), dict[str, Phonemes](), dict[str, Phonemes]()
    with (root / PHONEMES).open("a", encoding="utf-8") as file:
        file.write("\n" if file.tell() else "")  # the last line may be truncated
        for done, record in enumerate(records, 1):
            if record.source not in by_source:
                by_source[record.source] = recognize(read_audio(record.source))
            found[record.clip] = by_source[record.source]
            line = {"clip": record.clip, "size": _size(root, record), "phonemes": found[record.clip]}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            progress(done, len(records))
    return found


def _has_sound(record: ClipRecord) -> bool:
    is_further = "+" in Path(record.clip).name
    return not (is_further and record.start is None) and Path(record.source).is_file()


def _size(root: Path, record: ClipRecord) -> int:
    """Bytes of a clip's arrays: others once it is prepared anew, as from another film of the same name."""
    path = root / f"{record.clip}.npz"
    return path.stat().st_size if path.is_file() else 0


def _read(path: Path) -> dict[str, _Row]:
    if not path.is_file():
        return {}
    rows: dict[str, _Row] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        try:
            spoken = [(str(symbol), float(moment)) for symbol, moment in row["phonemes"]]
            rows[row["clip"]] = _Row(spoken, row.get("size"))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: damaged; delete it.") from error
    return rows
