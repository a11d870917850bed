"""Rendering in stages, with sampling outside the networks, against the whole network."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipsmith.face.landmarks import NUM_POINTS, draw_sketches
from lipsmith.inference.render import (
    Sketches,
    encode_face,
    join_lips,
    planes,
    render,
    sampled,
)

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from lipsmith.inference.stages import mean_of_references, renderer_stages  # noqa: E402
from lipsmith.inference.torch import TorchBackend  # noqa: E402
from lipsmith.models.renderer.config import RendererConfig  # noqa: E402
from lipsmith.models.renderer.flow import warp as warp_in_torch  # noqa: E402
from lipsmith.models.renderer.network import Renderer  # noqa: E402

SIZE, TOP = 32, 12
CONFIG = RendererConfig(face_size=SIZE, top=TOP, full=4, fine=4, coarse=8, prefilter=0.5)
REFERENCES = np.array([[0, 3, 1], [4, 2, 0]])


@pytest.mark.parametrize("lip_reach", [0.03, 0.0])
@pytest.mark.parametrize("alignment", ["flow", "learned", "none"])
def test_rendering_in_stages_equals_the_whole_network(
    alignment: Literal["flow", "learned", "none"], lip_reach: float
) -> None:
    torch.manual_seed(0)
    network = Renderer(replace(CONFIG, alignment=alignment, lip_reach=lip_reach)).eval()
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(0.05 * torch.randn_like(weights))
    random = np.random.default_rng(0)
    crops, targets = (random.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8) for count in (5, 2))
    points, asked = (0.2 + 0.6 * random.random((count, 131, 2)).astype(np.float32) for count in (5, 2))
    still, own = (random.random((count, 2, 2)).astype(np.float32) for count in (5, 2))
    mel, sketches = random.random((2, 80, 16)).astype(np.float32), random.integers(0, 256, (2, 5, SIZE, SIZE), np.uint8)
    backend, lips = TorchBackend(renderer_stages(network), "cpu"), np.array([1, 4])
    face = encode_face(backend, crops, points, still, lips)
    drawn = render(backend, face, targets, asked, own, sketches, mel, REFERENCES)

    def tensor(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32)  # type: ignore[no-any-return]

    pictures = tensor(planes(crops))
    outlines = tensor(planes(draw_sketches(points, SIZE)[..., None]))
    with torch.no_grad():
        whole = network(
            tensor(planes(targets)), tensor(sketches / 255), tensor(asked), tensor(own), tensor(mel[:, None]),
            pictures[REFERENCES], outlines[REFERENCES], tensor(points[REFERENCES]), tensor(still[REFERENCES]),
            pictures[lips].expand(2, -1, -1, -1, -1), outlines[lips].expand(2, -1, -1, -1, -1),
        )  # fmt: skip
    expected = np.moveaxis(whole.image.clamp(0, 1).numpy(), 1, -1) * 255
    assert np.ptp(expected[:, SIZE // 2 :]) > 50
    # Sampling rounds positions to a 32nd of a pixel, and pictures are stored in whole numbers.
    assert np.abs(drawn.images - expected).mean() < 0.5


def test_what_lies_before_a_reference_is_not_lent() -> None:
    torch.manual_seed(0)
    random, rendered = np.random.default_rng(0), []
    backend = TorchBackend(renderer_stages(Renderer(CONFIG).eval()), "cpu")
    crops = random.integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)
    points, still = random.random((5, NUM_POINTS, 2)).astype(np.float32), random.random((5, 2, 2)).astype(np.float32)
    mel, sketches = random.random((2, 80, 16)).astype(np.float32), random.integers(0, 256, (2, 5, SIZE, SIZE), np.uint8)
    face = encode_face(backend, crops, points, still, np.array([1, 4]))
    dark = replace(face, sharp=np.where(np.arange(5)[:, None, None, None] == 3, np.float32(0), face.sharp))
    covers = np.zeros((5, SIZE // 4, SIZE // 4, 1), np.float32)
    covers[3] = 1
    for known in (face, dark, replace(face, covers=covers), replace(dark, covers=covers)):
        drawn = render(backend, known, crops[:2], points[:2], still[:2], sketches, mel, REFERENCES)
        rendered.append(drawn.images[0].astype(int))
    assert np.abs(rendered[0] - rendered[1]).max() > 5
    assert np.abs(rendered[2] - rendered[3]).max() <= 1


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_sampling_equals_that_of_the_networks(seed: int) -> None:
    random = np.random.default_rng(seed)
    # Smooth pictures, because positions are rounded to a 32nd of a pixel.
    y, x = np.mgrid[0:16, 0:16] / 16
    waves = [np.stack([np.sin(3 * x + phase), np.cos(2 * y * phase)], -1) for phase in (1, 2)]
    pictures = np.stack(waves).astype(np.float32)
    positions = random.uniform(-0.3, 1.3, (2, 2, 5, 7)).astype(np.float32)
    features = torch.from_numpy(pictures.transpose(0, 3, 1, 2))
    expected = warp_in_torch(features, torch.from_numpy(positions).permute(0, 2, 3, 1)).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(sampled(pictures, np.arange(2), positions), expected, atol=0.01)


def test_lips_are_joined_only_in_their_box() -> None:
    lower, upper = np.zeros((2, 3, 80, 128, 3), np.float32), np.ones((2, 3, 60, 64, 3), np.float32)
    above = np.stack([np.full((60, 64), share, np.float32) for share in (0.25, 0.75)])
    joined = join_lips(lower, upper, above)
    for of_target, share in zip(joined, (0.25, 0.75), strict=True):
        assert (of_target[:, 12:72, 32:96] == share).all()
        assert of_target.sum() == share * upper[0].size


def test_features_are_weighted_by_the_trust_in_each_reference() -> None:
    weight = torch.tensor([1.0, 3.0])[:, None, None, None].expand(2, 1, 20, 32)
    for rows, columns, channels in ((40, 64, 4), (20, 32, 9)):
        features = torch.tensor([1.0, 5.0])[:, None, None, None].expand(1, 2, rows, columns, channels)
        found = mean_of_references(features, weight)
        torch.testing.assert_close(found, torch.full((1, channels, rows, columns), 4.0))


def test_the_sketches_around_frames_are_those_of_their_run() -> None:
    points = np.random.default_rng(0).random((9, NUM_POINTS, 2))
    sketches, alone = Sketches(points), draw_sketches(points, 32)
    for frame, rows in ((4, [2, 3, 4, 5, 6]), (5, [3, 4, 5, 6, 6]), (2, [2, 2, 2, 3, 4])):
        (found,) = sketches.around(np.array([frame]), np.array([2]), np.array([6]), 32)
        assert (found == alone[rows]).all()
