"""The shipped networks, without a double: every stage receives its inputs as specified, and the lips move.

An actor's film is dubbed with its own speech, so that the film itself is the truth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith import Dubber
from lipsmith.face import FaceTracker
from lipsmith.face.crop import crop_image
from lipsmith.face.landmarks import NUM_POSE, draw_sketches, select
from lipsmith.inference.onnx import OnnxBackend
from lipsmith.inference.render import sampled
from lipsmith.media import read_frames
from lipsmith.speech.mel import SAMPLE_RATE, mel_spectrogram, mel_windows, read_audio
from synthetic import DEMO

ACTOR: Final = DEMO / "actor.mp4"
BEGIN, END = 3.91, 5.91
RATE: Final = 30000 / 1001
SIDE: Final = 128
TOP: Final = 48

Floats = NDArray[np.float32]
Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Call:
    """Inputs and outputs of one call of a stage."""

    inputs: dict[str, Floats]
    outputs: tuple[Floats, ...]


@dataclass(frozen=True)
class Dub:
    """The film's frames, the dubbed ones, and all calls of each stage."""

    film: Images
    dubbed: Images
    wave: Floats
    calls: dict[str, list[Call]]

    def joined(self, stage: str, name: str) -> Floats:
        return np.concatenate([call.inputs[name] for call in self.calls[stage]])


@pytest.fixture(scope="module")
def dub() -> Dub:
    calls: dict[str, list[Call]] = defaultdict(list)
    original: Callable[..., tuple[Floats, ...]] = OnnxBackend.__call__

    def spy(self: OnnxBackend, stage: str, /, **inputs: Floats) -> tuple[Floats, ...]:
        outputs = original(self, stage, **inputs)
        calls[stage].append(Call({name: np.array(value) for name, value in inputs.items()}, outputs))
        return outputs

    wave = read_audio(ACTOR)[round(BEGIN * SAMPLE_RATE) : round(END * SAMPLE_RATE)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OnnxBackend, "__call__", spy)
        result = Dubber.from_pretrained("fast", "cpu", 1).prepare(ACTOR, start=BEGIN, end=END).dub(wave)
        result.clip.encoded[result.mouths[0].face]
        for stage in ("guess", "align", "paint"):  # of references that something may cover
            calls.pop(stage, None)
        dubbed = np.stack([frame.image for frame in result.frames()])
    film = np.stack([frame.image for frame in read_frames(ACTOR, start=BEGIN, end=END)])
    return Dub(film[: len(dubbed)], dubbed[: len(film)], wave, calls)


def faces(images: Images) -> Floats:
    """Return the 131 points `(n, 131, 2)` found in pictures `(n, H, W, 3)`, in pixels."""
    tracker = FaceTracker()
    return np.stack([select(tracker.track(image).faces[0].mesh) for image in images])


def image_of(plane: Floats) -> Images:
    """Return a stage's picture `(3, H, W)` in [0, 1] as `(H, W, 3)` in 0..255."""
    return (255 * plane.transpose(1, 2, 0) + 0.5).astype(np.uint8)


def found_in_crop(plane: Floats) -> Floats:
    """Return the 131 points `(131, 2)` found in a stage's picture, in crop units."""
    return np.asarray(faces(image_of(plane)[None])[0] / SIDE, np.float32)


def cut_of(still: Floats) -> NDArray[np.float64]:
    """Return the transform `(2, 3)`, film pixels to crop units, that maps (0, 0) and (100, 0) to `still` `(2, 2)`."""
    x, y = (still[1] - still[0]).astype(float) / 100
    return np.array([[x, -y, still[0, 0]], [y, x, still[0, 1]]])


def differs(one: Images, other: Images) -> float:
    """Return the mean absolute difference of two pictures, in 0..255."""
    return float(np.abs(one.astype(int) - other).mean())


def test_targets_are_crops_of_the_film_in_rgb(dub: Dub) -> None:
    targets = dub.joined("paint", "known")
    assert len(targets) == len(dub.dubbed)
    assert targets.shape[1:] == (3, SIDE // 2 - TOP, SIDE)
    assert 0 <= targets.min() < targets.max() <= 1
    upper = targets.mean((0, 2, 3))
    face = dub.film[:, 60:180, 180:280].mean((0, 1, 2)) / 255
    assert upper[0] > upper[1] + 0.05 > upper[2] + 0.05  # skin before a green wall
    assert np.abs(upper - face).max() < 0.08


def test_points_and_pictures_are_aligned(dub: Dub) -> None:
    call, guess = dub.calls["align"][0].inputs, dub.calls["guess"][0].inputs
    found = faces(crop_image(dub.film[0], cut_of(guess["still"][0]), SIDE)[None])[0] / SIDE
    assert np.abs(found - call["points"][0])[:NUM_POSE].mean() * SIDE < 1.5
    for points, picture in list(zip(*references(dub), strict=True))[:6:5]:
        assert np.abs(found_in_crop(picture) - points).mean() * SIDE < 1.5


def test_sketches_show_the_frame_and_its_neighbors_in_order(dub: Dub) -> None:
    points, sketches = dub.joined("align", "points"), dub.joined("align", "sketches")
    drawn = draw_sketches(points, SIDE).astype(np.float32) / 255
    around = np.clip(np.arange(len(points))[:, None] + np.arange(-2, 3), 0, len(points) - 1)
    assert np.array_equal(sketches, drawn[around][:, :, TOP:])
    assert np.array_equal(sketches, dub.joined("paint", "sketches"))


def test_features_match_their_references(dub: Dub) -> None:
    call = dub.calls["align"][0].inputs
    coarse = np.concatenate([each.outputs[1] for each in dub.calls["reference"]])
    for rank, own in enumerate(encoded_as(dub)):
        features = np.ascontiguousarray(coarse[own].transpose(1, 2, 0))[None]
        for guess in ("moving", "standing"):
            (seen,) = sampled(features, np.zeros(1, np.intp), call[guess][0, rank][None])
            assert np.array_equal(seen, call[f"seen_{guess}"][0, rank])
    (lips,), pictures = dub.calls["lip"], encoded_pictures(dub)
    assert np.array_equal(dub.calls["paint"][0].inputs["lips"][0], lips.outputs[0])
    assert all((pictures == picture).all((1, 2, 3)).any() for picture in lips.inputs["image"])


def test_still_points_give_the_position_of_each_crop(dub: Dub) -> None:
    known, call = dub.calls["align"][0].inputs["known"], dub.calls["guess"][0].inputs
    own = crop_image(dub.film[0], cut_of(call["still"][0]), SIDE)
    assert differs(own[TOP : SIDE // 2], image_of(known[0])) < 1
    for still, reference in zip(call["reference_still"][0], references(dub)[1], strict=True):
        crops = [crop_image(frame, cut_of(still), SIDE) for frame in dub.film]
        assert min(differs(crop, image_of(reference)) for crop in crops) < 2


def references(dub: Dub) -> tuple[Floats, Floats]:
    """Return points `(k, 131, 2)` and pictures `(k, 3, S, S)` of the references of the first frame."""
    return dub.calls["guess"][0].inputs["reference_points"][0], encoded_pictures(dub)[encoded_as(dub)]


def encoded_pictures(dub: Dub) -> Floats:
    """Return all encoded references `(R, 3, S, S)`."""
    return np.concatenate([each.inputs["image"] for each in dub.calls["reference"]])


def encoded_as(dub: Dub) -> list[int]:
    """Return the places of the first frame's references among the encoded ones, by their sketches."""
    sketches = np.concatenate([each.inputs["sketch"] for each in dub.calls["reference"]])
    drawn = draw_sketches(dub.calls["guess"][0].inputs["reference_points"][0], SIDE)
    return [int(np.flatnonzero((sketches[:, 0] * 255 == own).all((1, 2)))[0]) for own in drawn]


def test_every_frame_receives_the_mel_of_its_time(dub: Dub) -> None:
    mel = mel_spectrogram(dub.wave)
    for stage, rate in (("paint", RATE), ("speech", 25.0)):
        heard = dub.joined(stage, "mel")
        own = mel_windows(mel, np.arange(len(heard)) / rate)[:, None]
        assert np.corrcoef(heard.ravel(), own.ravel())[0, 1] > 0.999


def test_landmarks_are_predicted_from_the_pose_and_speech_of_their_time(dub: Dub) -> None:
    (call,), points = dub.calls["landmarks"], dub.joined("align", "points")
    tokens, pose, shapes = (call.inputs[name] for name in ("tokens", "pose", "references"))
    heard = np.concatenate([each.outputs[0] for each in dub.calls["speech"]])
    assert np.array_equal(tokens[0], heard[: tokens.shape[1]])
    film_times = np.arange(pose.shape[1]) / 25 * RATE
    before = film_times.astype(int)
    share = (film_times - before)[:, None, None]
    between = points[before] * (1 - share) + points[before + 1] * share
    assert np.abs(pose[0] - between[:, :NUM_POSE]).max() * SIDE < 1
    assert np.abs(shapes[0][:, :NUM_POSE].mean(0) - points[:, :NUM_POSE].mean(0)).max() * SIDE < 4


def test_a_dub_with_its_own_speech_reproduces_the_film(dub: Dub) -> None:
    film, dubbed = faces(dub.film), faces(dub.dubbed)
    upper_lip, lower_lip = NUM_POSE + 17 + 20 + 5, NUM_POSE + 17 + 20 + 15
    truth, found = ((points[:, lower_lip] - points[:, upper_lip])[:, 1] for points in (film, dubbed))
    assert np.corrcoef(truth, found)[0, 1] > 0.8
    assert 0.6 < found.std() / truth.std() < 1.4
    (left, top), (right, bottom) = film[:, NUM_POSE + 17 :].min((0, 1)), film[:, NUM_POSE + 17 :].max((0, 1))
    mouth = np.s_[:, int(top) : int(bottom), int(left) : int(right)]
    error = dub.film[mouth].astype(float) - dub.dubbed[mouth]
    assert 10 * np.log10(255**2 / np.square(error).mean()) > 19
    assert np.abs(error.mean((0, 1, 2))).max() < 4
    assert np.array_equal(dub.film[:, :70], dub.dubbed[:, :70])
