"""Films that cannot be compared are refused; questionable comparisons cause a warning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.cli import main
from lipsmith.errors import InputError
from lipsmith.evaluation.film_pairs import Pair, find_pairs, score_pairs
from lipsmith.evaluation.metrics.judge import OwnJudge
from lipsmith.evaluation.run import Evaluation
from lipsmith.evaluation.sanity_checks import same_sound
from lipsmith.evaluation.scoring import Networks, Scorer
from lipsmith.face import FaceMesh
from lipsmith.media import VideoWriter, read_frames
from lipsmith.media.sound import sound_of
from lipsmith.models.sync.syncnet import SyncNet, SyncNetConfig
from synthetic import Motion, make_film, speech

Picture = NDArray[np.uint8]
NOTHING = Networks(FaceMesh(), None, None, None, None, {})
SMALL = SyncNetConfig(height=16, width=32, mouth_widths=(4, 8), mel_widths=(4, 8), blocks=1, embedding=8)
SIDE = 256
SAID = speech(2.8)[:12800]
OTHER = speech(2.8)[-12800:]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("real") / "real.mp4"
    return make_film(path, 0.8, size=(SIDE, SIDE), motion=Motion(turn=4), audio=SAID)


def remade(
    images: list[Picture], path: Path, audio: NDArray[np.float32] | None = SAID, fps: float = 25, frames: int = 99
) -> Path:
    height, width = images[0].shape[:2]
    sound = None if audio is None else sound_of(audio, 16000)
    with VideoWriter(path, width, height, fps, sound=sound) as made:
        for number, image in enumerate(images[:frames]):
            made.write(image, number / fps)
    return path


@pytest.fixture(scope="module")
def images(real: Path) -> list[Picture]:
    return [frame.image for frame in read_frames(real)]


def measured(real: Path, generated: Path, is_truth: bool = True) -> Evaluation:
    networks = replace(NOTHING, judge=OwnJudge(SyncNet(SMALL)))
    return score_pairs([Pair("a", real, generated)], Scorer(networks), is_truth=is_truth)[0]


def test_comparable_films_cause_no_warning(
    real: Path, images: list[Picture], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    soft = [np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), np.uint8) for image in images]
    measured(real, remade(soft, tmp_path / "soft.mp4", 0.4 * SAID))
    assert caplog.messages == []


def test_a_film_without_a_visible_face_is_refused(real: Path, images: list[Picture], tmp_path: Path) -> None:
    faceless = remade([np.zeros_like(image) for image in images], tmp_path / "faceless.mp4")
    scorer = Scorer(NOTHING)
    with pytest.raises(InputError, match=r"faceless\.mp4: no face is visible"):
        score_pairs([Pair("a", real, faceless)], scorer)


def test_few_frames_with_a_face_cause_a_warning(
    real: Path, images: list[Picture], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    some = [image if number < 5 else np.zeros_like(image) for number, image in enumerate(images)]
    measured(real, remade(some, tmp_path / "some.mp4"))
    (told,) = caplog.messages
    assert "3 of 4 frames show no face" in told


def test_other_speech_causes_a_warning_unless_it_is_expected(
    real: Path, images: list[Picture], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = remade(images, tmp_path / "other.mp4", OTHER)
    measured(real, other, is_truth=False)
    assert caplog.messages == []
    measured(real, other)
    (told,) = caplog.messages
    assert "--other-speech" in told


@pytest.mark.parametrize("audio", [None, 0 * SAID], ids=["no track", "silent track"])
def test_a_silent_film_uses_the_real_sound_only_if_that_is_its_speech(
    audio: NDArray[np.float32] | None,
    real: Path,
    images: list[Picture],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mute = remade(images, tmp_path / "mute.mp4", audio)
    assert "lse_d" in measured(real, mute).totals["generated"]
    assert "lse_d" not in measured(real, mute, is_truth=False).totals["generated"]
    borrowed, unknown = caplog.messages
    assert "mute.mp4 has no sound: LSE uses that of" in borrowed
    assert "mute.mp4 has no sound: LSE is omitted" in unknown


def test_films_with_the_same_name_cause_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("real/x/a.mp4", "made/x/a.gif", "made/x/a.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (pair,) = find_pairs(tmp_path / "real", tmp_path / "made")
    assert (pair.name, pair.generated.name) == ("x/a", "a.mp4")
    (told,) = caplog.messages
    assert "a.gif is skipped" in told


def test_the_same_recording_is_recognized() -> None:
    late = np.concatenate([np.zeros(4000, np.float32), 0.3 * SAID])
    noise = np.random.default_rng(0).normal(0, 0.005, len(late)).astype(np.float32)
    assert same_sound(SAID, late + noise)
    assert same_sound(SAID, -SAID[:9000])
    assert not same_sound(SAID, OTHER)
    assert same_sound(SAID, np.zeros(16000, np.float32))
    assert same_sound(SAID, np.zeros(0, np.float32))


@pytest.mark.parametrize("size", ["0", "-5", "20", "2000"])
def test_crops_have_a_size_that_networks_accept(size: str, real: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(real), str(real), "--side", size]) == 2
    assert f"--side {size}" in capsys.readouterr().err
