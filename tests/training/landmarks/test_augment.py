"""Variations of windows: what they change, and what they must leave alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from landmark_clips import talking_clip
from lipsmith.face.landmarks import NUM_POSE, mirror
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
from lipsmith.training.landmarks.sampler import ReferenceRules, Window, draw, gather_footage


def window(seed: int = 0) -> Window:
    footage = gather_footage([talking_clip(seed, "a")], 12)
    random = torch.Generator().manual_seed(seed)
    return draw(footage, 5, 12, 4, ReferenceRules(), random)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


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
