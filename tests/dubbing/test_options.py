"""Selection of faces by words and numbers, and values of wrong kinds."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dub_samples import plain_face
from lipsmith import Clip, Dubber, DubOptions, Turn, dub
from lipsmith.config import path_of
from lipsmith.dubbing.array_source import ArraySource
from lipsmith.dubbing.faces import find_faces
from lipsmith.dubbing.options import choose, hear, ignored_faces, options_for
from lipsmith.dubbing.scan import open_source
from lipsmith.dubbing.source import FileSource
from lipsmith.errors import LipsmithError, UsageError
from lipsmith.files import refuse_filled
from lipsmith.live import Live
from lipsmith.speech.recording import load_speech
from synthetic import make_film, speech

FACES = [
    plain_face(1, size=50, x=300),
    plain_face(2, size=40, x=100),
    plain_face(3, 1, 80, 0),
    plain_face(4, 0, 60, 10, frames=2),
]


def test_the_background_may_be_a_text() -> None:
    assert DubOptions(background="music.wav").background == Path("music.wav")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("which", "numbers"),
    [
        ("largest", [1, 3]),
        ("left", [2, 3]),
        ("right", [1, 3]),
        ("all", [1, 2, 3, 4]),
        ("2", [2]),
        ("4, 1", [1, 4]),
    ],
)
def test_faces_are_chosen_shot_by_shot_or_by_number(which: str, numbers: list[int]) -> None:
    assert [face.number for face in choose(FACES, which)] == numbers


@pytest.mark.parametrize("face", ["5", "0", "middle", "1,", "-1", ""])
def test_a_missing_face_is_a_usage_error(face: str) -> None:
    with pytest.raises(UsageError):
        choose(FACES, face)


def test_ignored_faces_are_those_visible_without_the_chosen_face() -> None:
    first, back = plain_face(1), replace(plain_face(2), frames=np.arange(30, 40))
    beside, elsewhere = plain_face(3, size=20), plain_face(4, shot=1)
    everyone = [first, back, beside, elsewhere]
    assert ignored_faces(everyone, [first]) == [back]
    assert ignored_faces(everyone, [first, back]) == []


SAID = ("a.wav", {1: "a.wav"}, [Turn(1, "a.wav")], load_speech(speech(0.2)))
WRONG_KINDS: list[tuple[Callable[..., object], tuple[object, ...], str]] = [
    (hear, (None,), "Speech of type NoneType is not an array of samples; give a file"),
    (hear, (io.BytesIO(b"RIFF"),), "Speech of type BytesIO is not an array"),
    (hear, (5,), "Speech of type int is not an array"),
    *((hear, (said, DubOptions()), "rate of DubOptions.* is invalid") for said in SAID),
    (hear, ({1: None},), "Speech of type NoneType is not an array"),
    (hear, ({"1": "a.wav"},), "Face '1' is not a turn of a face; give faces by their numbers"),
    (dub, (None, "a.wav", "b.mp4"), "The video is of type NoneType; give a path"),
    (dub, ("a.mp4", "a.wav", 5), "The result is of type int; give a path"),
    (dub, ("a.mp4", None, "b.mp4"), "Speech of type NoneType is neither a file nor turns of faces"),
    (dub, ("a.mp4", "a.wav", "b.mp4", {"face": "all"}), "options are of type dict; give DubOptions"),
    (path_of, ("a\0b.mp4", "The result"), "The result contains a NUL character"),
    (path_of, ("", "The result"), "The result is an empty path; give a path"),
    (open_source, ("",), "The footage is an empty path; give a path"),
    (find_faces, ("",), "The footage is an empty path"),
    *((hear, (said,), "The speech is an empty path") for said in ("", {1: ""}, [Turn(1, "")])),
    (load_speech, ("",), "The speech is an empty path"),
    (lambda: DubOptions(background=""), (), "The background is an empty path"),  # type: ignore[arg-type]
    (Dubber.from_pretrained, (None,), "The model is of type NoneType"),
    (Dubber.from_pretrained, ("fast", None), "Device None is unknown"),
    (Dubber.from_pretrained, ("fast", "cpu", "1"), "threads = '1' is out of range"),
    (Clip.load, ("folder", "fast"), "The dubber is of type str; give a Dubber"),
    (Live, ("film.mp4",), "The clip is of type str; give a Clip, as Dubber.prepare returns it"),
    (Turn, (1, "a.wav", "0"), "the time '0' is not a number"),
    (open_source, ("film.mp4", 25.0), "The rate is for frames in memory, and a file has its own; leave it out"),
    (ArraySource, (np.array("film.mp4"), 25), "Footage of type ndarray is neither a path nor frames"),
    (ArraySource, ([np.zeros((1, 1, 3), np.uint8)], 1e-9), "Frame rate 1e-09 is not a number above 0"),
]


@pytest.mark.parametrize(("call", "given", "said"), WRONG_KINDS)
def test_values_of_wrong_kinds_are_usage_errors(
    call: Callable[..., object], given: tuple[object, ...], said: str
) -> None:
    with pytest.raises(UsageError, match=f"(?i){said}"):
        call(*given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("language", 5), ("start", "1"), ("end", "1"), ("strength", None), ("strength", "1")),
        *(("gain", [1]), ("background", 5), ("background", b"a.wav")),
    ],
)
def test_options_of_wrong_kinds_are_usage_errors(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{name} = .* is not a (text|number|path)"):
        DubOptions(**{name: value})  # type: ignore[arg-type]


def test_a_face_may_be_given_by_the_number_that_it_has() -> None:
    assert DubOptions(face=FACES[1].number).face == "2"  # type: ignore[arg-type]
    for face in (True, 2.0, [2], None):
        with pytest.raises(UsageError, match=re.escape(f"Face '{face}' is unknown: use largest")):
            DubOptions(face=face)  # type: ignore[arg-type]


def test_a_gain_without_a_background_is_refused() -> None:
    with pytest.raises(UsageError, match=r"A gain of -6 dB has no background to change; give a background"):
        DubOptions(gain=-6)
    DubOptions(gain=DubOptions.gain)


def test_paths_may_be_bytes_or_path_like() -> None:
    assert path_of(b"a.mp4", "The result") == path_of(Path("a.mp4"), "The result") == Path("a.mp4")


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, Fraction, int])
def test_numbers_of_any_kind_become_floats(kind: Callable[[int], float]) -> None:
    options = DubOptions(start=kind(1), end=kind(2), strength=kind(1), gain=kind(-3), background=Path("a.wav"))
    numbers = (options.start, options.end, options.strength, options.gain)
    assert json.dumps(numbers) == "[1.0, 2.0, 1.0, -3.0]"  # as the parts of an unfinished dub note them
    with pytest.raises(UsageError, match="The end, 1 s, is not after the start, 2 s"):
        DubOptions(start=kind(2), end=kind(1))


def test_errors_of_the_api_name_no_options_of_the_command(tmp_path: Path) -> None:
    film, taken = make_film(tmp_path / "film.mp4", 0.2), tmp_path / "taken.mp4"
    taken.touch()
    requests: list[Callable[[], object]] = [
        lambda: dub(film, film, taken),
        lambda: refuse_filled(tmp_path, overwrite=False),
        lambda: list(FileSource(film, 5).frames()),
        lambda: choose([], "7"),
        lambda: options_for([Turn(1, "a.wav")], DubOptions(face="left")),
    ]
    for request in requests:
        with pytest.raises(LipsmithError) as refused:
            request()
        assert "--" not in str(refused.value)
