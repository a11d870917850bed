"""Validation of a renderer in training: figures under the strict protocol, and pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.models.lip_detector import LipDetector
from lipsmith.models.vgg import VGG
from lipsmith.training.losses.renderer import TERMS, Comparison
from lipsmith.training.renderer.batch import compare, render_batch
from lipsmith.training.renderer.config import Sizes
from lipsmith.training.renderer.sampler import Batch


def measure(
    network: nn.Module,
    batches: Sequence[Batch],
    identities: Sequence[str],
    top: int,
    vgg: VGG | None,
    detector: LipDetector | None = None,
    perceptual_share: float = 1.0,
) -> dict[str, float]:
    """PSNR of image and of aligned references, distance of the image to the truth in VGG features, and `score`.

    `psnr` is over whole crops; `face_psnr` and `sharpness` (the image's detail divided by the truth's) are over the
    generated part of the face. Means are over frames, then clips, then identities. `score` combines fidelity and
    sharpness: PSNR of the face, minus 8 times the VGG distance if VGG is available, minus 2 dB if all detail is
    missing, minus the errors `lips` and `gaps` in percent of the crop if there is a lip detector. `top`: the first row
    that the network computes.
    """
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for batch, identity in zip(batches, identities, strict=True):
        rendered = render_batch(network, batch)
        comparison = compare(rendered, batch, top, vgg, detector, perceptual_share)
        rows[identity].append(_row(comparison))
    people = [{name: float(np.mean([row[name] for row in clips])) for name in clips[0]} for clips in rows.values()]
    figures = {name: float(np.mean([person[name] for person in people])) for name in people[0]}
    fidelity = figures["face_psnr"] - 8 * figures.get("vgg", 0.0) - 2 * abs(1 - figures["sharpness"])
    return figures | {"score": fidelity - figures.get("lips", 0.0) - figures.get("gaps", 0.0)}


def _row(comparison: Comparison) -> dict[str, float]:
    """The figures of one clip."""
    row = {
        "psnr": _psnr(comparison.image, comparison.truth),
        "aligned_psnr": _psnr(comparison.aligned, comparison.truth),
        "face_psnr": _face_psnr(comparison, comparison.image),
        "aligned_face_psnr": _face_psnr(comparison, comparison.aligned),
        "sharpness": _detail(comparison, comparison.image) / max(_detail(comparison, comparison.truth), 1e-9),
    }
    if comparison.vgg is not None:
        row["vgg"] = float(TERMS["content"](comparison))
    if comparison.lips is not None:
        row |= {name: float(TERMS[name](comparison)) for name in ("lips", "gaps")}
    return row


def picture(network: nn.Module, batches: Sequence[Batch], sizes: Sizes) -> Tensor:
    """A picture `(3, H, W)` with one row per clip: masked target with sketch, aligned references, generated, truth."""
    rows = []
    top, half = sizes.top, sizes.face_size // 2
    for batch in batches:
        rendered = render_batch(network, batch)
        index = len(rendered.image) // 2
        truth = batch.targets.images.flatten(0, 1)[index]
        drawn = batch.targets.sketches.flatten(0, 1)[index, batch.targets.sketches.shape[2] // 2]
        masked = truth.clone()
        masked[:, half:] = drawn[half:]
        aligned = torch.cat([truth[:, :top], rendered.aligned[index]], 1)
        rows.append(torch.cat([masked, aligned, _under(truth, rendered.image[index]), truth], 2))
    return torch.cat(rows, 1).clamp(0, 1).float().cpu()


def _under(upper: Tensor, lower: Tensor) -> Tensor:
    """The upper half of one picture `(3, S, S)` over the lower half of another."""
    half = upper.shape[1] // 2
    return torch.cat([upper[:, :half], lower[:, half:]], 1)


def _psnr(fake: Tensor, real: Tensor) -> float:
    """Mean over frames of the PSNR of whole crops, whose computed rows are compared and whose other rows are equal."""
    rows, side = real.shape[2:]
    error = (fake.clamp(0, 1) - real).square().mean((1, 2, 3)) * (rows / side)
    return float((-10 * error.clamp_min(1e-10).log10()).mean())


def _detail(comparison: Comparison, picture: Tensor) -> float:
    """Mean absolute Laplacian of the gray picture over the generated part of the faces."""
    gray = F.pad(picture.clamp(0, 1).mean(1, keepdim=True), (1, 1, 1, 1), "replicate")
    around = gray[..., :-2, 1:-1] + gray[..., 2:, 1:-1] + gray[..., 1:-1, :-2] + gray[..., 1:-1, 2:]
    inside = comparison.face * (comparison.weight > 0)
    return float(((around - 4 * gray[..., 1:-1, 1:-1]).abs() * inside).sum() / inside.sum().clamp_min(1))


def _face_psnr(comparison: Comparison, picture: Tensor) -> float:
    """Mean over frames of the PSNR over the generated part of the face."""
    inside = comparison.face * (comparison.weight > 0)
    error = (picture.clamp(0, 1) - comparison.truth).square().mean(1, keepdim=True) * inside
    mean = error.sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp_min(1)
    return float((-10 * mean.clamp_min(1e-10).log10()).mean())
