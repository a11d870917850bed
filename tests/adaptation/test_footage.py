"""Films of one person to clips: with and without speech, as far as they are needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lipsmith.adaptation import footage
from lipsmith.adaptation.footage import prepare_person
from lipsmith.data.clips import load_clip, read_manifest
from lipsmith.errors import InputError
from lipsmith.evaluation.metrics.judge import SyncJudge
from lipsmith.evaluation.offsets import ClipOffsets, find_judged_offsets
from lipsmith.media import VideoWriter
from synthetic import STILL, make_film


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("films") / "silent.mp4", 2.2, motion=STILL)


def test_a_silent_film_is_used_too_as_far_as_needed_and_prepared_once(
    silent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(root: Path, judge: SyncJudge) -> ClipOffsets:
        found = find_judged_offsets(root, judge)
        return replace(found, seconds=dict.fromkeys(found.seconds, 0.12))

    monkeypatch.setattr(footage, "MOST_SECONDS", 2.0)
    monkeypatch.setattr(footage, "find_judged_offsets", late)
    root, told = tmp_path / "clips", []
    (record,) = prepare_person([silent, silent], root, 64, progress=lambda done, total: told.append((done, total)))
    assert (record.frames, record.seconds, told) == (55, 2.2, [(2, 2)])
    assert record.offset == 0.12  # sound that is late is corrected
    assert np.unique(load_clip(root, record).mel).tolist() == [-4.0]
    assert prepare_person([tmp_path / "gone.mp4"], root, 64) == [record]


def test_a_film_without_a_face_is_refused(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "wall.mp4", 64, 64, 25.0) as film:
        for index in range(3):
            film.write(np.full((64, 64, 3), 90, np.uint8), index / 25)
    with pytest.raises(
        InputError, match=r"wall\.mp4: no face stays in view for 2 s and 16 frames; give a film of one person"
    ):
        prepare_person([tmp_path / "wall.mp4"], tmp_path / "clips", 64)
    with pytest.raises(InputError, match="no prepared clips"):
        read_manifest(tmp_path / "clips")
