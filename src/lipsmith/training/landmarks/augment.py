"""Augments training windows with other levels, noise, voices and faces, and with silence and a closed mouth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from math import inf

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from lipsmith.config import require_range
from lipsmith.face.landmarks import MIRROR, NUM_JAW, NUM_POINTS, NUM_POSE, OUTER_LIP, ranks
from lipsmith.inference.speak import RATE
from lipsmith.models.landmarks.expected import expected_content
from lipsmith.speech.mel import MEL_LIMIT, MEL_RATE, MELS, WINDOW
from lipsmith.training.landmarks.sampler import Window

_PER_DECIBEL = 0.08
"""Mel units per decibel: 100 dB are 8 units."""
_DIGITAL = 0.4
"""Share of silences without any noise."""
_NATURAL = math.log(10) / (20 * _PER_DECIBEL)
"""Natural logarithm of magnitude per mel unit."""


@dataclass(frozen=True)
class Augmentation:
    """Strengths of the augmentations; 0 disables one."""

    level: float = 9.0
    """Largest change of the speech level in decibels, up or down."""
    noise: float = 0.5
    """Share of windows with additive noise."""
    voice: float = 0.12
    """Largest relative stretch of the spectrum, as from a longer or shorter vocal tract."""
    bands: int = 12
    """Widest run of masked mel bands."""
    silence: float = 0.1
    """Share of windows in which speech stops temporarily or completely and the mouth closes."""
    shifts: int = 1
    """Largest shift of the speech in mel steps (12.5 ms), early or late."""
    mirror: float = 0.5
    """Share of mirrored faces."""
    turn: float = 5.0
    """Largest rotation in degrees."""
    scale: float = 0.06
    """Largest relative change of size; half of it separately in width and height."""
    shift: float = 0.02
    """Largest displacement in crop units."""
    reference_noise: float = 0.0
    """Standard deviation of noise on the reference points, crop units."""
    pose_noise: float = 0.0
    """Standard deviation of an offset of each pose point, constant through a window, crop units."""

    def __post_init__(self) -> None:
        require_range(self, 0, inf, *asdict(self))
        require_range(self, 0, 1, "noise", "voice", "silence", "mirror", "scale")


def augment(window: Window, rules: Augmentation, random: torch.Generator) -> Window:
    """An augmented copy of a batch; the speech must be mel."""
    window = vary_faces(window, rules, random)
    window = replace(window, speech=vary_speech(window.speech, rules, random))
    if rules.silence:
        window = silence(window, rules.silence, random)
    return window


def exchange_pose(
    window: Window, rules: Augmentation, unspoken: Callable[[Tensor, Tensor], Tensor], random: torch.Generator
) -> Window:
    """The window with the pose given to the network, and the content moved along with that pose.

    The pose of another moment cannot reveal the mouth at this one. `unspoken`: the content that a pose
    `(b, T, 74, 2)` and references let expect, as of `LandmarkTransformer`.
    """
    pose, content = window.points[:, :, :NUM_POSE], window.points[:, :, NUM_POSE:]
    own, other = (unspoken(each, window.references) for each in (pose, window.other_pose))
    given = window.other_pose
    if rules.pose_noise:
        noise = torch.randn(len(given), 1, NUM_POSE, 2, device=given.device, generator=random)
        given = given + rules.pose_noise * noise
    return replace(window, points=torch.cat([given, content + other - own], dim=2))


def vary_faces(window: Window, rules: Augmentation, random: torch.Generator) -> Window:
    """Apply the same mirror image, similarity and stretch to target and references of a window."""
    batch, device = len(window.points), window.points.device
    chance, angle, size, wide = torch.rand(4, batch, device=device, generator=random)
    offset = rules.shift * (2 * torch.rand(batch, 1, 1, 2, device=device, generator=random) - 1)
    angle = math.radians(rules.turn) * (2 * angle - 1)
    size = 1 + rules.scale * (2 * size - 1)
    stretch = torch.stack([1 + rules.scale * (wide - 0.5), 1 - rules.scale * (wide - 0.5)], dim=1) * size[:, None]
    cos, sin = angle.cos(), angle.sin()
    rotation = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], dim=1)
    linear = stretch[:, :, None] * rotation
    flip = chance < rules.mirror

    def move(points: Tensor) -> Tensor:
        points = torch.where(rearrange(flip, "b -> b 1 1 1"), mirrored(points), points)
        return torch.einsum("b n p i, b i j -> b n p j", points - 0.5, linear) + 0.5 + offset

    references = move(window.references)
    if rules.reference_noise:
        noise = torch.randn(references.shape, device=device, generator=random)
        references = references + rules.reference_noise * noise
    return replace(
        window,
        points=move(window.points),
        references=references,
        other_pose=move(_whole(window.other_pose))[:, :, :NUM_POSE],
    )


def _whole(pose: Tensor) -> Tensor:
    """Faces `(..., 131, 2)` with the pose `(..., 74, 2)` and arbitrary content."""
    return F.pad(pose, (0, 0, 0, NUM_POINTS - NUM_POSE))


def mirrored(points: Tensor) -> Tensor:
    """Mirrored faces `(..., 131, 2)` in crop units: x -> 1 - x, and left and right points are swapped."""
    flipped = points[..., MIRROR, :]
    return torch.stack([1 - flipped[..., 0], flipped[..., 1]], dim=-1)


def vary_speech(speech: Tensor, rules: Augmentation, random: torch.Generator) -> Tensor:
    """Speech windows `(b, T, bands, 16)`, whose mel has another voice, another level, noise, and masked bands.

    Bands after the mel's 80 stay as they are.
    """
    mel, others = speech[:, :, :MELS], speech[:, :, MELS:]
    if rules.voice:
        mel = stretch_bands(mel, rules.voice, random)
    batch, device = len(mel), mel.device
    gain = rules.level * (2 * torch.rand(batch, 1, 1, 1, device=device, generator=random) - 1)
    mel = mel + _PER_DECIBEL * gain
    if rules.noise:
        mel = add_noise(mel, rules.noise, random)
    mel = mel.clamp(-MEL_LIMIT, MEL_LIMIT)
    mel = hide_bands(mel, rules.bands, random) if rules.bands else mel
    return torch.cat([mel, others], dim=2)


def stretch_bands(mel: Tensor, most: float, random: torch.Generator) -> Tensor:
    """Bands resampled at stretched positions, with linear interpolation."""
    bands = mel.shape[2]
    factor = 1 + most * (2 * torch.rand(len(mel), 1, device=mel.device, generator=random) - 1)
    place = (torch.arange(bands, device=mel.device) * factor).clamp(0, bands - 1)
    low = place.long().clamp_max(bands - 2)
    high_share = rearrange(place - low, "b f -> b 1 f 1")
    index = rearrange(low, "b f -> b 1 f 1").expand_as(mel)
    return mel.gather(2, index) * (1 - high_share) + mel.gather(2, index + 1) * high_share


def add_noise(mel: Tensor, share: float, random: torch.Generator) -> Tensor:
    """Add noise of random level and color to a share of the windows, as independent powers."""
    batch, _, bands, _ = mel.shape
    chance, level, tilt = torch.rand(3, batch, 1, 1, 1, device=mel.device, generator=random)
    slope = torch.linspace(1, -1, bands, device=mel.device)[:, None]
    # From 10 to 45 dB above silence, which masks quiet speech; up to 20 dB more at one end of the spectrum.
    floor = -MEL_LIMIT + _PER_DECIBEL * (10 + 35 * level + 20 * (tilt - 0.5) * slope)
    ripple = 0.3 * torch.randn(mel.shape, device=mel.device, generator=random)
    together = torch.logaddexp(2 * _NATURAL * mel, 2 * _NATURAL * (floor + ripple)) / (2 * _NATURAL)
    return torch.where(chance < share, together, mel)


def hide_bands(mel: Tensor, widest: int, random: torch.Generator) -> Tensor:
    """One run of up to `widest` bands replaced by the mean of its window (SpecAugment's frequency mask)."""
    batch, _, bands, _ = mel.shape
    start, width = torch.rand(2, batch, 1, device=mel.device, generator=random)
    index = torch.arange(bands, device=mel.device)
    begin = start * bands
    hidden = (index >= begin) & (index < begin + width * widest)
    return torch.where(rearrange(hidden, "b f -> b 1 f 1"), mel.mean(dim=(1, 2, 3), keepdim=True), mel)


def silence(window: Window, share: float, random: torch.Generator) -> Window:
    """Silence the speech between two random moments in a share of the windows, and close the mouth there.

    The closed mouth is the reference with the smallest opening, moved to the frame's pose, with touching lips; between
    speech and silence the target is blended by the silent share of the frame's speech window.
    """
    batch, frames = window.points.shape[:2]
    device = window.points.device
    chance, start, end, whole, level = torch.rand(5, batch, 1, 1, device=device, generator=random)
    duration = frames / RATE
    start = torch.where(whole < 0.4, torch.full_like(start, -1.0), start * duration)
    end = torch.where((whole < 0.4) | (end > 0.6), torch.full_like(end, duration + 1), start + 0.2 + end)
    moment = torch.arange(frames, device=device)[:, None] / RATE
    moment = moment + (torch.arange(WINDOW, device=device) - WINDOW / 2 + 0.5) / MEL_RATE
    silent = (moment >= start) & (moment < end) & (chance < share)
    speech = torch.where(silent[:, :, None], _hiss(window.speech, level[..., None], random), window.speech)
    quiet = rearrange(silent.float().mean(-1), "b t -> b t 1 1")
    pose, content = window.points[:, :, :NUM_POSE], window.points[:, :, NUM_POSE:]
    target = torch.lerp(content, touching(shut_mouth(window.references, pose)), quiet)
    said = 1 - quiet[..., 0]
    return replace(
        window,
        speech=speech,
        points=torch.cat([pose, target], dim=2),
        phonemes=window.phonemes * said,
        bilabial=window.bilabial & (said[..., 0] > 0.5),
    )


def _hiss(speech: Tensor, level: Tensor, random: torch.Generator) -> Tensor:
    """Mel of quiet noise, as much as the `speech`; `level` `(b, 1, 1, 1)` in [0, 1] tells how loud it is."""
    floor = -MEL_LIMIT + 1.5 * level.square()
    hiss = (floor + 0.3 * torch.randn(speech.shape, device=speech.device, generator=random)).clamp_min(-MEL_LIMIT)
    # Includes digital silence, as between cuts and around synthetic speech.
    return torch.where(level < _DIGITAL, -MEL_LIMIT, hiss)


def touching(content: Tensor) -> Tensor:
    """Closed mouths `(b, T, 57, 2)`, as in `lipsmith.inference.speak.close_lips`: mostly by the lower lip."""
    moved = content.clone()
    upper, lower = torch.arange(1, 10), 20 - torch.arange(1, 10)
    outer, inner = NUM_JAW, NUM_JAW + len(OUTER_LIP)
    gap = content[:, :, inner + lower] - content[:, :, inner + upper]
    for begin in (outer, inner):
        moved[:, :, begin + lower] -= 0.75 * gap
        moved[:, :, begin + upper] += 0.25 * gap
    reach = torch.linspace(0, math.pi, NUM_JAW, device=content.device).sin()
    moved[:, :, :NUM_JAW] -= 0.75 * reach[:, None] * gap[:, :, 4:5]
    return moved


def shut_mouth(references: Tensor, pose: Tensor) -> Tensor:
    """Content `(b, T, 57, 2)` of the reference `(b, N, 131, 2)` whose lips are closest, moved to `pose`."""
    upper, lower = ranks((13, 14))
    opening = (references[:, :, upper] - references[:, :, lower]).norm(dim=-1)
    shut = references[torch.arange(len(references), device=pose.device), opening.argmin(dim=1)][:, None]
    return expected_content(pose, shut, nearness=1.0)  # any value, for one reference
