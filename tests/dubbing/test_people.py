"""One person has one number in the whole film, for listing, selection and speeches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import lipsmith
from double import Double, make_dubber
from dub_samples import Stopping, plain_face, two_faces, write_film, write_wav
from lipsmith import Clip, cli
from lipsmith.dubbing.faces import find_faces
from lipsmith.dubbing.options import choose, warn_ignored_faces
from lipsmith.errors import UsageError
from lipsmith.media import read_frames
from synthetic import DEMO, face_at, speech

SHOT = 7
WORDS = speech(2 * SHOT / 25)
LEFT, RIGHT = slice(None, 180), slice(260, None)


def by_size(faces: Iterable[tuple[NDArray[np.uint8], NDArray[np.float32]]]) -> NDArray[np.float64]:
    """Order faces so that the large face of each shot comes first, then the small one."""
    return np.eye(2)[[place % 2 for place, _ in enumerate(faces)]]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shots of the same two faces, which change sides and light in the second one."""
    first = [two_faces(time=number / 25) for number in range(SHOT)]
    second = [np.roll(two_faces(time=number / 25), 260, axis=1) // 2 for number in range(SHOT)]
    return write_film(tmp_path_factory.mktemp("film") / "panel.mp4", [*first, *second])


@pytest.fixture(autouse=True)
def _recognizer(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipsmith.dubbing.scan.embed_faces", by_size)


@pytest.fixture(scope="module")
def clip(film: Path) -> Clip:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lipsmith.dubbing.scan.embed_faces", by_size)
        return make_dubber().prepare(film)


def changed(clip: Clip, film: Path, said: dict[int, object]) -> list[tuple[bool, bool]]:
    """Return whether the left and the right face of each frame differ from the film."""
    sides = []
    for frame, filmed in zip(clip.dub(said).frames(), read_frames(film), strict=True):  # type: ignore[arg-type]
        other = (frame.image != filmed.image).any(-1)
        sides.append((bool(other[:, LEFT].any()), bool(other[:, RIGHT].any())))
    return sides


def test_a_speech_follows_its_person_across_cuts(clip: Clip, film: Path) -> None:
    assert [(face.number, face.shot) for face in clip.faces] == [(1, 0), (2, 0), (1, 1), (2, 1)]
    assert changed(clip, film, {2: WORDS}) == [(True, False)] * SHOT + [(False, True)] * SHOT


def test_a_number_selects_the_same_person_in_all_shots(clip: Clip) -> None:
    assert [(face.number, face.shot) for face in choose(clip.faces, "2")] == [(2, 0), (2, 1)]
    with pytest.raises(UsageError, match="There is no face number 3: 2 faces were found"):
        choose(clip.faces, "3")


def test_faces_are_listed_with_the_same_numbers(film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dub", str(film), "--list-faces", "-q"]) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == [["1", "0"], ["2", "0"], ["1", "1"], ["2", "1"]]


def test_a_saved_clip_keeps_the_numbers(clip: Clip, film: Path, tmp_path: Path) -> None:
    kept = Clip.load(replace(clip, chosen=choose(clip.faces, "left")).save(tmp_path / "kept"), make_dubber())
    assert [(face.number, face.index) for face in kept.faces] == [(1, 0), (2, 1), (1, 2), (2, 3)]
    assert [face.index for face in kept.chosen] == [1, 2]


def test_an_interrupted_dub_continues_with_each_face(
    tmp_path: Path, film: Path, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("draw", "job", "parts"):
        monkeypatch.setattr(f"lipsmith.dubbing.{module}.PART", 5)
    words = write_wav(tmp_path / "words.wav", WORDS)
    whole = lipsmith.dub(film, {1: words, 2: words}, tmp_path / "whole.mp4")
    with pytest.raises(KeyboardInterrupt):
        lipsmith.dub(film, {1: words, 2: words}, tmp_path / "out.mp4", progress_of=Stopping(12, KeyboardInterrupt()))
    double.calls.clear()
    out = lipsmith.dub(film, {1: words, 2: words}, tmp_path / "out.mp4")
    assert double.calls["paint"] == 2 * (2 * SHOT - 10)
    for one, other in zip(read_frames(out), read_frames(whole), strict=True):
        assert np.array_equal(one.image, other.image)


def test_a_face_that_returns_within_a_shot_is_dubbed_again(caplog: pytest.LogCaptureFixture) -> None:
    first, back, other = (
        plain_face(1),
        replace(plain_face(1, size=20), frames=np.arange(30, 40)),
        replace(plain_face(2), shot=1),
    )
    assert choose([first, back, other], "largest") == [first, back, other]
    passing = replace(plain_face(3, size=20), frames=np.arange(50, 60))
    again = replace(passing, frames=np.arange(70, 80))
    warn_ignored_faces("film", "largest", [first, back, passing, again], [first, back])
    assert "only face 3 is visible" in caplog.text
    caplog.clear()
    warn_ignored_faces("film", "1", [first, back, passing, again], [first, back])  # a number means just that face
    assert caplog.text == ""


def test_people_in_real_pictures_are_distinguished(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("LIPSMITH_HOME", str(shared))
    actor = [frame.image for frame, _ in zip(read_frames(DEMO / "actor.mp4"), range(2), strict=False)]
    height, width = actor[0].shape[:2]
    other = [face_at(number / 25, (width, height)) for number in range(2)]
    film = write_film(tmp_path / "film.mp4", [*actor, *other, *actor])
    assert [(face.number, face.shot) for face in find_faces(film)] == [(1, 0), (2, 1), (1, 2)]


def same_person(faces: Iterable[tuple[NDArray[np.uint8], NDArray[np.float32]]]) -> NDArray[np.float64]:
    return np.ones((len(list(faces)), 1))


def test_a_silent_shot_gets_mouths_of_another(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipsmith.dubbing.scan.embed_faces", same_person)
    talking = [frame.image for frame, _ in zip(read_frames(DEMO / "actor.mp4"), range(45), strict=False)][::3]
    between = np.roll(255 - talking[0], 100, axis=0)
    with caplog.at_level("INFO"):
        clip = make_dubber().prepare([talking[0]] * 4 + [between] * 8 + talking)
    first, *_, last = clip.faces
    assert [first.shot, last.shot] == [0, 2]
    assert len(last.pool) == len(talking)
    assert len(first.pool) > 8
    assert f"face 1 in shot 0: {len(first.pool) - 4} references from other shots" in caplog.text
