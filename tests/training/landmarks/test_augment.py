"""Augmentation of windows: what it changes, and what it must not change."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from landmark_clips import talking_clip
from lipsmith.face.landmarks import NUM_POSE, ranks
from lipsmith.inference.speak import close_lips
from lipsmith.models.landmarks.expected import expected_content, followed, steadied
from lipsmith.training.landmarks.augment import (
    Augmentation,
    add_noise,
    augment,
    exchange_pose,
    hide_bands,
    mirrored,
    silence,
    stretch_bands,
    touching,
    vary_faces,
    vary_speech,
)
from lipsmith.training.landmarks.sampler import ReferenceRules, Window, draw, gather_footage


def window(seed: int = 0) -> Window:
    footage = gather_footage([talking_clip(seed, "a")], 12)
    random = torch.Generator().manual_seed(seed)
    return draw(footage, 5, 12, 4, ReferenceRules(), random)


def unspoken(pose: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    return expected_content(steadied(pose, 3.0), references, 1e3) + followed(pose, 3.0)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_a_mirrored_face_has_its_right_eye_at_the_left() -> None:
    faces = torch.rand(3, 131, 2, generator=generator())
    (right,), (left,) = ranks((33,)), ranks((263,))
    x, y = faces[:, right].T
    torch.testing.assert_close(mirrored(faces)[:, left], torch.stack([1 - x, y], 1))


def test_target_and_references_are_augmented_equally() -> None:
    batch = window()
    same = dataclasses.replace(batch, references=batch.points[:, :4])
    varied = vary_faces(same, Augmentation(), generator())
    torch.testing.assert_close(varied.points[:, :4], varied.references)
    assert not torch.allclose(varied.points, batch.points)


def test_faces_are_turned_about_the_middle_of_the_crop_and_keep_their_shape() -> None:
    batch, rules = window(), Augmentation(scale=0.0, mirror=0.0)
    batch.points[:, :, 0] = 0.5
    varied = vary_faces(batch, rules, generator())
    apart, were_apart = (points.diff(dim=2).norm(dim=-1) for points in (varied.points, batch.points))
    torch.testing.assert_close(apart, were_apart, atol=1e-5, rtol=0)
    assert (varied.points[:, :, 0] - 0.5).abs().max() <= rules.shift
    before, after = (points[:, :, 2] - points[:, :, 1] for points in (batch.points, varied.points))
    turn = torch.rad2deg(torch.atan2(after[..., 1], after[..., 0]) - torch.atan2(before[..., 1], before[..., 0]))
    assert 1 < turn.abs().max() <= rules.turn + 1e-3


def test_noise_only_adds_energy() -> None:
    mel = window().speech
    assert (add_noise(mel, 1.0, generator()) >= mel - 1e-4).all()
    torch.testing.assert_close(add_noise(mel, 0.0, generator()), mel)


def test_stretching_keeps_a_flat_spectrum_and_masking_masks() -> None:
    flat = torch.full((3, 2, 80, 16), 0.5)
    torch.testing.assert_close(stretch_bands(flat, 0.1, generator()), flat)
    ramp = torch.arange(80.0)[:, None].expand(3, 2, 80, 16)
    stretched = stretch_bands(ramp, 0.1, generator())
    factor = stretched[:, :1, 1:2, :1]
    assert 0.9 <= factor.min() < 1 < factor.max() <= 1.1
    torch.testing.assert_close(stretched, (factor * ramp).clamp_max(79))
    hidden = (hide_bands(ramp, 12, generator()) != ramp).any(dim=(0, 1, 3))
    assert 0 < hidden.sum() <= 36


def test_mouths_are_closed_as_in_a_dub() -> None:
    content = window().points[:, :, NUM_POSE:]
    closed = [close_lips(clip.numpy(), np.ones(len(clip)), 0.0) for clip in content]
    np.testing.assert_allclose(touching(content).numpy(), np.stack(closed), atol=1e-6)


def test_in_silence_the_lips_touch() -> None:
    batch = window()
    loud = torch.full_like(batch.speech, 2.0)
    said = torch.ones_like(batch.phonemes)
    still = dataclasses.replace(batch, speech=loud, references=batch.points[:, :4], phonemes=said)
    quiet = silence(still, 1.0, generator())
    hushed = (quiet.speech < -1).all(dim=3).all(dim=2)
    assert hushed.any()
    upper, lower = 131 - 20 + 5, 131 - 20 + 15
    opening = (quiet.points[:, :, upper] - quiet.points[:, :, lower]).norm(dim=-1)
    assert opening[hushed].max() < 1e-4
    assert opening[~hushed].max() > 1e-2
    assert not quiet.bilabial[hushed].any()
    assert not quiet.phonemes[hushed].any()
    assert (quiet.phonemes[(quiet.speech == 2).all(dim=3).all(dim=2)] == 1).all()
    assert (quiet.speech[hushed] == -4).all(dim=2).all(dim=1).any()  # digital silence among them
    torch.testing.assert_close(quiet.points[:, :, :NUM_POSE], still.points[:, :, :NUM_POSE])


def test_content_moves_with_the_exchanged_pose() -> None:
    batch = window()
    same = dataclasses.replace(batch, other_pose=batch.points[:, :, :NUM_POSE])
    torch.testing.assert_close(exchange_pose(same, Augmentation(), unspoken, generator()).points, batch.points)
    step = torch.tensor([0.02, 0.01])
    moved = dataclasses.replace(same, other_pose=same.other_pose + step)
    exchanged = exchange_pose(moved, Augmentation(), unspoken, generator()).points - batch.points
    torch.testing.assert_close(exchanged[:, :, :NUM_POSE], step.expand(5, 12, NUM_POSE, 2))
    # Expected content follows three quarters of the head's motion.
    torch.testing.assert_close(exchanged[:, :, NUM_POSE:], (0.75 * step).expand(5, 12, 57, 2), atol=1e-4, rtol=0)


def test_pose_noise_is_constant_in_time_and_moves_no_content() -> None:
    batch = window()
    batch = dataclasses.replace(batch, other_pose=batch.points[:, :, :NUM_POSE])
    noisy = exchange_pose(batch, Augmentation(pose_noise=0.01), unspoken, generator()).points - batch.points
    torch.testing.assert_close(noisy[:, :1].expand_as(noisy), noisy, atol=1e-6, rtol=0)
    assert 0.008 < float(noisy[:, 0, :NUM_POSE].std()) < 0.012
    assert noisy[:, :, NUM_POSE:].abs().max() < 1e-6


def test_bands_after_the_mel_stay_as_they_are() -> None:
    speech = torch.randn(2, 3, 90, 16)
    varied = vary_speech(speech, Augmentation(), generator())
    assert torch.equal(varied[:, :, 80:], speech[:, :, 80:])
    assert not torch.equal(varied[:, :, :80], speech[:, :, :80])


def test_augmented_speech_stays_in_range() -> None:
    varied = augment(window(), Augmentation(silence=1.0), generator())
    assert varied.speech.abs().max() <= 4
