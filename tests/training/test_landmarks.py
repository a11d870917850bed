"""The landmark generator's training: batches, variations, and a run that stops and goes on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from landmark_clips import talking_clip, write_clips
from lipsmith.errors import InputError, UsageError
from lipsmith.face.landmarks import NUM_POSE, mirror
from lipsmith.models.landmarks.generator import LandmarkConfig
from lipsmith.training.landmarks.augment import (
    Augmentation,
    add_noise,
    augment,
    hide_bands,
    mirrored,
    silence,
    stretch_bands,
    vary_faces,
)
from lipsmith.training.landmarks.sampler import ReferenceRules, Window, balanced, draw, gather_footage, tracked_windows
from lipsmith.training.landmarks.task import LandmarkTraining, load_trained, train_landmarks
from lipsmith.training.losses.landmarks import LandmarkLossWeights
from lipsmith.training.state import load_checkpoint, save_checkpoint

SMALL = LandmarkTraining(
    model=LandmarkConfig(
        dim=16,
        layers=1,
        heads=2,
        feed_forward=16,
        window=12,
        references=4,
        speech_channels=(4, 4, 4, 4, 4),
        speech_residuals=0,
        points="perceptron",
        point_channels=(16,),
    ),
    loss=LandmarkLossWeights(concordance=0.01),
    references=ReferenceRules(fewest=2),
    steps=12,
    batch=4,
    warmup=2,
    learning_rate=1e-3,
    validate_every=6,
    log_every=3,
    checkpoint_minutes=0.0,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("prepared")
    train = [talking_clip(seed, f"p{seed // 2}") for seed in range(4)]
    write_clips(root, [*train, *(talking_clip(seed, f"v{seed}", "val") for seed in (8, 9))])
    return root


def window(seed: int = 0) -> Window:
    footage = gather_footage([talking_clip(seed, "a")], 12)
    random = torch.Generator().manual_seed(seed)
    return draw(footage, 5, 12, 4, ReferenceRules(), random)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_windows_hold_no_frame_without_a_face() -> None:
    tracked = np.array([True, True, False, True, True, True])
    assert tracked_windows(tracked, 2).tolist() == [0, 3, 4]


def test_an_identity_weighs_as_the_root_of_its_footage() -> None:
    shares = balanced(np.array([0] * 9 + [1]))
    assert shares[:9].sum() == pytest.approx(3 / 4)
    assert shares[9] == pytest.approx(1 / 4)


def test_references_lie_in_the_half_away_from_the_window() -> None:
    clip = talking_clip(0, "a", frames=60)
    clip.landmarks[:30, 0, 0] = 0.0
    clip.landmarks[30:, 0, 0] = 1.0
    rules = ReferenceRules(away=1.0, sibling=0.0)
    batch = draw(gather_footage([clip], 12), 64, 12, 3, rules, generator())
    halves = batch.points[:, :, 0, 0].mean(1)
    sides = batch.references[:, :, 0, 0].mean(1)
    assert ((halves < 0.5) == (sides == 1.0))[halves != 0.5].all()


def test_siblings_lend_references() -> None:
    clips = [talking_clip(0, "a"), talking_clip(1, "a"), talking_clip(2, "b")]
    for number, clip in enumerate(clips):
        clip.landmarks[:, 0, 0] = number
    batch = draw(gather_footage(clips, 12), 64, 12, 3, ReferenceRules(away=0.0, sibling=1.0), generator())
    own, lent = batch.points[:, 0, 0, 0], batch.references[:, 0, 0, 0]
    assert ((own == 2) == (lent == 2)).all()
    assert (own != lent).any()


def test_mirrored_is_the_arrays_mirror() -> None:
    points = np.random.default_rng(0).uniform(0, 1, (3, 131, 2)).astype(np.float32)
    np.testing.assert_allclose(mirrored(torch.from_numpy(points)), mirror(points), atol=1e-6)


def test_target_and_references_are_varied_alike() -> None:
    batch = window()
    same = dataclasses.replace(batch, references=batch.points[:, :4])
    varied = vary_faces(same, Augmentation(), generator())
    torch.testing.assert_close(varied.points[:, :4], varied.references)
    assert not torch.allclose(varied.points, batch.points)


def test_noise_only_adds() -> None:
    mel = window().speech
    assert (add_noise(mel, 1.0, generator()) >= mel - 1e-4).all()
    torch.testing.assert_close(add_noise(mel, 0.0, generator()), mel)


def test_stretching_keeps_a_flat_spectrum_and_hiding_hides() -> None:
    flat = torch.full((3, 2, 80, 16), 0.5)
    torch.testing.assert_close(stretch_bands(flat, 0.1, generator()), flat)
    ramp = torch.arange(80.0)[:, None].expand(3, 2, 80, 16)
    hidden = (hide_bands(ramp, 12, generator()) != ramp).any(dim=(0, 1, 3))
    assert 0 < hidden.sum() <= 36


def test_in_silence_the_mouth_is_that_of_the_most_closed_reference() -> None:
    batch = window()
    loud = torch.full_like(batch.speech, 2.0)
    still = dataclasses.replace(batch, speech=loud, references=batch.points[:, :4])
    quiet = silence(still, 1.0, generator())
    hushed = (quiet.speech < -1).all(dim=3).all(dim=2)
    assert hushed.any()
    upper, lower = 131 - 20 + 5, 131 - 20 + 15
    opening = (quiet.points[:, :, upper] - quiet.points[:, :, lower]).norm(dim=-1)
    least = (still.references[:, :, upper] - still.references[:, :, lower]).norm(dim=-1).amin(1, keepdim=True)
    torch.testing.assert_close(opening[hushed], least.expand_as(opening)[hushed], atol=1e-4, rtol=0)
    torch.testing.assert_close(quiet.points[:, :, :NUM_POSE], still.points[:, :, :NUM_POSE])


def test_augmented_speech_stays_in_range() -> None:
    varied = augment(window(), Augmentation(silence=1.0), generator())
    assert varied.speech.abs().max() <= 4


def test_stop_and_resume_is_as_not_stopping(data: Path, tmp_path: Path) -> None:
    whole = train_landmarks(SMALL, data, tmp_path / "whole", device="cpu")

    def stop(line: str) -> None:
        if line.startswith("step 9 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_landmarks(SMALL, data, tmp_path / "stopped", device="cpu", report=stop)
    resumed = train_landmarks(SMALL, data, tmp_path / "stopped", device="cpu")
    assert resumed == whole
    left, right = (load_trained(tmp_path / name)[0].state_dict() for name in ("whole", "stopped"))
    for name, weights in left.items():
        assert torch.equal(weights, right[name]), name


def test_another_network_does_not_resume(data: Path, tmp_path: Path) -> None:
    short = dataclasses.replace(SMALL, steps=1)
    train_landmarks(short, data, tmp_path, device="cpu")
    other = dataclasses.replace(short, model=dataclasses.replace(short.model, dim=32))
    with pytest.raises(UsageError, match="other sizes"):
        train_landmarks(other, data, tmp_path, device="cpu")


def test_a_run_tells_its_minutes_and_what_it_began_with(data: Path, tmp_path: Path) -> None:
    def recorded(name: str) -> tuple[object, object]:
        training = json.loads((tmp_path / name / "landmarks.json").read_text())["training"]
        return training["minutes"], training["start"]

    still = dataclasses.replace(SMALL, steps=1, learning_rate=0.0)
    train_landmarks(still, data, tmp_path / "first", device="cpu")
    assert recorded("first") == (None, None)
    first = str(tmp_path / "first")
    lines: list[str] = []
    train_landmarks(still, data, tmp_path / "second", minutes=60, device="cpu", start=first)
    assert recorded("second") == (60, first)
    saved = load_checkpoint(tmp_path / "second" / "checkpoint.pt")
    assert saved is not None
    save_checkpoint(tmp_path / "second" / "checkpoint.pt", saved | {"best": {}})
    longer = dataclasses.replace(still, steps=2)
    train_landmarks(longer, data, tmp_path / "second", device="cpu", start="nothing", report=lines.append)
    assert f"{tmp_path / 'second'} goes on from its checkpoint; the start nothing is not used" in lines
    assert recorded("second") == (None, first)


def test_a_window_without_references_is_refused() -> None:
    with pytest.raises(ValueError, match="fewest references"):
        dataclasses.replace(SMALL, references=ReferenceRules(fewest=0))


@pytest.mark.parametrize(("blind", "told"), [("train", "in 12 frames in a row"), ("val", "to validate on")])
def test_a_split_without_faces_is_refused(tmp_path: Path, blind: str, told: str) -> None:
    clips = [talking_clip(seed, f"p{seed}", split) for seed, split in enumerate(("train", "train", "val"))]
    for clip in clips:
        clip.tracked[:: 11 if clip.record.split == "train" else 1] = clip.record.split != blind
    write_clips(tmp_path / "data", clips)
    with pytest.raises(InputError, match=told):
        train_landmarks(SMALL, tmp_path / "data", tmp_path / "run", device="cpu")


def test_training_lowers_the_error(data: Path, tmp_path: Path) -> None:
    brief = dataclasses.replace(SMALL, steps=60, batch=8, learning_rate=8e-3, validate_every=60, log_every=60)
    brief = dataclasses.replace(brief, checkpoint_minutes=9.0, ema=0.8, augment=Augmentation(silence=0.0))
    best = train_landmarks(brief, data, tmp_path, device="cpu")
    assert best["opening_r"] > 0.6
    assert best["l1_percent"] < best["mean.l1_percent"]
