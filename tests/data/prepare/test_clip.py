"""Detection of a second speaker, and films whose sound ends early."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lipsmith.data.clips import load_clip
from lipsmith.data.prepare import prepare
from lipsmith.data.prepare.clip import rivals
from lipsmith.errors import InputError
from lipsmith.face.stretches import Shot, ShotFace, Stretch
from scripted import scripted_dissolve
from synthetic import STILL, make_film, speech
from video_samples import with_empty_sound


def face(frames: range, height: float) -> ShotFace:
    boxes = np.tile(np.array([0, 0, height, height], np.float32), (len(frames), 1))
    return ShotFace(np.array(frames), boxes, [], [])


def stretch(first: int, frames: int) -> Stretch:
    none = np.zeros(frames)
    return Stretch(first, none, none, none, none, none)  # type: ignore[arg-type]


def test_tall_faces_beside_the_main_face_are_counted_within_the_stretch() -> None:
    main = face(range(2, 12), 100)
    tall, small, absent = face(range(8, 20), 60), face(range(2, 12), 40), face(range(12, 20), 90)
    shot = Shot(0, 0, 19, (0, 19), [main, tall, small, absent])
    assert rivals(shot, main, stretch(2, 10)) == 4  # 8 to 11
    assert rivals(shot, main, stretch(2, 7)) == 1
    assert rivals(Shot(0, 0, 19, (0, 19), [main, small, absent]), main, stretch(2, 10)) == 0


def test_two_tall_faces_in_one_frame_count_once() -> None:
    main = face(range(10), 100)
    shot = Shot(0, 0, 9, (0, 9), [main, face(range(4), 60), face(range(2, 6), 70)])
    assert rivals(shot, main, stretch(0, 10)) == 6


@pytest.mark.parametrize(("heard", "frames"), [(0.8, 20), (1.45, 40), (1.6, 40)])
def test_a_clip_ends_with_its_sound(heard: float, frames: int, tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", 1.6, motion=STILL, audio=speech(heard))
    (record,) = prepare([film], tmp_path / "out", side=64, workers=1).records
    assert record.frames == pytest.approx(frames, abs=1)
    assert record.seconds == pytest.approx(record.frames / 25)
    clip = load_clip(tmp_path / "out", record)
    assert clip.images is not None
    assert len(clip.images) == len(clip.landmarks) == record.frames
    assert clip.mel.shape[1] / 80 == pytest.approx(min(heard, record.seconds), abs=0.06)


def test_a_film_with_hardly_any_sound_is_left_out(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", 1.6, motion=STILL, audio=speech(0.3))
    with pytest.raises(InputError, match=r"film\.mp4: no speech"):
        prepare([film], tmp_path / "out", side=64, workers=1)
    with pytest.raises(InputError, match=r"empty\.mkv: no speech"):
        prepare([with_empty_sound(film, tmp_path / "empty.mkv")], tmp_path / "out", side=64, workers=1)


def test_frames_of_a_dissolve_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipsmith.face.tracker.DissolveDetector", scripted_dissolve)
    film = make_film(tmp_path / "film.mp4", 2.4, motion=STILL, audio=speech(2.4))
    found = prepare([film], tmp_path / "out", side=64, workers=1).records
    assert [(record.first, record.frames) for record in found] == [(0, 18), (29, 31)]
