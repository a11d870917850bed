"""The renderer: the inputs that it uses, its split into stages, and its alignment."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipsmith.face.crop import apply, invert, still_points
from lipsmith.models.blocks import upsample
from lipsmith.models.renderer.alignment import References
from lipsmith.models.renderer.config import Part, RendererConfig
from lipsmith.models.renderer.context import Context
from lipsmith.models.renderer.decoder import Decoder
from lipsmith.models.renderer.flow import (
    LandmarkFlow,
    StillFlow,
    cell_means,
    closeness,
    closeness_exported,
    mean_over,
    region_grid,
    softmax,
    softmax_means,
    warp,
)
from lipsmith.models.renderer.light import LightMatch
from lipsmith.models.renderer.network import Renderer
from lipsmith.models.renderer.prefilter import Prefilter
from lipsmith.models.renderer.spade import Modulate, Modulator, modulations
from renderer_clips import enlivened

TINY = RendererConfig(face_size=32, top=12, full=4, fine=4, coarse=8, context=4, painting=1, references=2, lips=2)
SIZE = TINY.face_size


def lively(config: RendererConfig = TINY) -> Renderer:
    """Return a network without zero parameters, so that every part has an effect."""
    torch.manual_seed(0)
    return enlivened(Renderer(config).eval())


def inputs(k: int = 2, m: int = 2, batch: int = 2) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(1)

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random)

    points = 0.2 + 0.6 * rand(batch, 131, 2)
    return {
        "target": rand(batch, 3, SIZE, SIZE),
        "sketches": rand(batch, 5, SIZE, SIZE),
        "points": points,
        "still": torch.tensor([[0.1, 0.2], [0.9, 0.3]]) + 0.05 * rand(batch, 2, 2),
        "mel": 8 * rand(batch, 1, 80, 16) - 4,
        "reference_images": rand(batch, k, 3, SIZE, SIZE),
        "reference_sketches": rand(batch, k, 1, SIZE, SIZE),
        "reference_points": points[:, None] + 0.05 * rand(batch, k, 131, 2),
        "reference_still": torch.tensor([[0.1, 0.2], [0.9, 0.3]]) + 0.05 * rand(batch, k, 2, 2),
        "lip_images": rand(batch, m, 3, SIZE, SIZE),
        "lip_sketches": rand(batch, m, 1, SIZE, SIZE),
    }


@torch.no_grad()
def test_encode_and_render_equals_forward() -> None:
    network, x = lively(), inputs(k=3, m=4)
    fine, coarse = network.encode_reference(x["reference_images"].flatten(0, 1), x["reference_sketches"].flatten(0, 1))
    lips = network.encode_lip(x["lip_images"].flatten(0, 1), x["lip_sketches"].flatten(0, 1))
    references = References(
        x["reference_images"],
        x["reference_points"],
        x["reference_still"],
        fine.reshape(2, 3, *fine.shape[1:]),
        coarse.reshape(2, 3, *coarse.shape[1:]),
    )
    split = network.render(
        x["target"], x["sketches"], x["points"], x["still"], x["mel"], references, lips.reshape(2, 4, *lips.shape[1:])
    )
    assert torch.equal(split.image, network(**x).image)


@torch.no_grad()
@pytest.mark.parametrize("alignment", ["flow", "none"])
def test_the_lower_half_of_the_target_has_no_effect(alignment: Literal["flow", "none"]) -> None:
    network = lively(replace(TINY, alignment=alignment))
    x = inputs()
    noisy = x["target"].clone()
    noisy[..., SIZE // 2 :, :] = torch.rand_like(noisy[..., SIZE // 2 :, :])
    assert torch.equal(network(**x | {"target": noisy}).image, network(**x).image)
    brighter = x["target"].clone()
    brighter[..., SIZE // 2 - 1, :] += 0.5
    changed = network(**x | {"target": brighter}).image != network(**x).image
    assert changed[..., SIZE // 2 :, :].any()


@torch.no_grad()
def test_the_upper_half_is_copied_from_the_target() -> None:
    x = inputs()
    half = SIZE // 2
    assert torch.equal(lively()(**x).image[..., :half, :], x["target"][..., :half, :])


@torch.no_grad()
def test_equal_points_leave_the_reference_unchanged() -> None:
    network, x = Renderer(TINY).eval(), inputs(k=1)
    x["reference_points"], x["reference_still"] = x["points"][:, None].clone(), x["still"][:, None].clone()
    x["target"] = x["reference_images"][:, 0].clone()
    aligned = network(**x).aligned
    torch.testing.assert_close(aligned, x["reference_images"][:, 0, :, TINY.top :], atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_shifted_reference_is_warped_back() -> None:
    network, x = Renderer(TINY).eval(), inputs(k=1)
    shift = 3  # pixels to the right, in the reference
    whole = torch.rand(2, 3, SIZE, SIZE + shift)
    picture, reference = whole[..., shift:], whole[..., :SIZE]
    x["target"], x["reference_images"] = picture, reference[:, None]
    moved = torch.tensor([shift / SIZE, 0.0])
    x["reference_points"], x["reference_still"] = x["points"][:, None] + moved, x["still"][:, None] + moved
    aligned = network(**x).aligned
    # The part missing in the reference on the right changes the light of the columns beside it.
    width = SIZE - shift - 12
    torch.testing.assert_close(aligned[..., :width], picture[..., TINY.top :, :width], atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(
    ("part", "changed"), [("alignment", "reference_points"), ("lips", "lip_images"), ("audio", "mel")]
)
def test_an_ablation_removes_the_effect_of_its_input(part: Part, changed: str) -> None:
    x = inputs()
    other = x | {changed: x[changed] + 0.1 * torch.rand_like(x[changed])}
    without = lively(TINY.without([part]))
    assert torch.equal(without(**x).image, without(**other).image)
    full = lively()
    assert not torch.equal(full(**x).image, full(**other).image)


@pytest.mark.parametrize("parts", [(), ("alignment",), ("lips",), ("audio",)])
def test_every_weight_receives_a_gradient(parts: tuple[Part, ...]) -> None:
    network = lively(TINY.without(parts))
    network(**inputs()).image.sum().backward()
    # Training in several processes requires a gradient for every parameter.
    assert [name for name, weights in network.named_parameters() if weights.grad is None] == []


@torch.no_grad()
def test_without_lips_features_are_zero_and_without_parameters() -> None:
    whole, without = lively(), lively(TINY.without(["lips"]))
    picture = torch.rand(3, 3, SIZE, SIZE), torch.rand(3, 1, SIZE, SIZE)
    assert torch.equal(without.encode_lip(*picture), torch.zeros_like(whole.encode_lip(*picture)))
    assert not list(without.lip_encoder.parameters())


@torch.no_grad()
@pytest.mark.parametrize(("k", "m"), [(1, 1), (5, 1), (1, 7)])
def test_any_number_of_references_and_lips_is_accepted(k: int, m: int) -> None:
    assert lively()(**inputs(k=k, m=m)).image.shape == (2, 3, SIZE, SIZE)


@torch.no_grad()
def test_a_repeated_reference_changes_nothing() -> None:
    # In float64: with random weights the image is large, and the order of summation affects the last digits.
    network, x = lively().double(), {name: value.double() for name, value in inputs(k=1, m=1).items()}
    of_references = ("reference_images", "reference_sketches", "reference_points", "reference_still")
    names = (*of_references, "lip_images", "lip_sketches")
    thrice = x | {name: x[name].expand(-1, 3, *x[name].shape[2:]) for name in names}
    torch.testing.assert_close(network(**thrice).image, network(**x).image, atol=1e-9, rtol=0)


def test_the_untrained_network_outputs_its_references() -> None:
    x = inputs()
    rendered = Renderer(TINY).eval()(**x)
    below = rendered.aligned[..., SIZE // 2 - TINY.top :, :]
    torch.testing.assert_close(rendered.image[..., SIZE // 2 :, :], below)


def test_sizes_that_are_not_divisible_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        RendererConfig(face_size=30)
    with pytest.raises(ValueError, match="top = 48 must be a multiple of 32 and below 128, with face_size = 256"):
        RendererConfig(face_size=256)
    assert RendererConfig(face_size=256, top=96).top == 96


def test_flow_follows_the_nearest_landmark() -> None:
    flow = LandmarkFlow(region_grid(8, 0, 1))
    points = torch.tensor([[[0.1, 0.5], [0.9, 0.5]]])
    moved = points[:, None] + torch.tensor([[0.25, 0.0], [0.0, -0.5]])
    displacement, remoteness = flow(points, moved)
    torch.testing.assert_close(displacement[0, 0, :, 4, 0], torch.tensor([0.25, 0.0]))
    torch.testing.assert_close(displacement[0, 0, :, 4, 7], torch.tensor([0.0, -0.5]))
    distance = torch.tensor([0.1 - 0.0625, 0.4375 - 0.1]).square() + 0.0625**2
    torch.testing.assert_close(remoteness[0, 0, 4, [0, 3]], distance / 0.04**2)


def test_still_flow_is_the_offset_of_two_crops_of_a_picture() -> None:
    grid = region_grid(16, 0, 2)
    crop, reference = (
        fit(angle, zoom, x, y) for angle, zoom, x, y in ((0.1, 0.005, 0.2, -0.3), (-0.2, 0.008, -0.5, 0.1))
    )
    still = [torch.from_numpy(still_points(transform)) for transform in (crop, reference)]
    found = StillFlow(grid)(still[0][None], still[1][None, None])[0, 0]
    there = apply(reference, apply(invert(crop), grid.reshape(-1, 2).numpy())).reshape(8, 8, 2)
    np.testing.assert_allclose(found.permute(1, 2, 0).numpy(), there - grid.numpy(), atol=1e-5)


def fit(angle: float, zoom: float, x: float, y: float) -> NDArray[np.float64]:
    a, b = zoom * np.cos(angle), zoom * np.sin(angle)
    return np.array([[a, -b, x], [b, a, y]])


@torch.no_grad()
def test_a_darker_reference_is_adjusted_to_the_light_of_the_target() -> None:
    light = LightMatch(TINY)
    aligned = torch.full((1, 3, SIZE - TINY.top, SIZE), 0.4)
    known = torch.zeros_like(aligned)
    known[..., : light.context, :] = 0.1  # 0.6, less 0.5
    lit = light(known, aligned)[0, 0]
    torch.testing.assert_close(lit[light.context], torch.full((SIZE,), 0.58), atol=0.03, rtol=0)
    assert (lit[:-1] >= lit[1:]).all()
    assert 0.4 < lit[-1].mean() < 0.5
    torch.testing.assert_close(lit, lit[:, :1].expand_as(lit))


@torch.no_grad()
def test_background_far_from_the_face_is_unchanged() -> None:
    network, x = Renderer(TINY).eval(), inputs(k=1)
    x["target"] = x["reference_images"][:, 0].clone()
    x["points"] = 0.5 + 0.05 * (x["points"] - 0.5)
    x["reference_points"] = x["points"][:, None] + torch.tensor([4 / SIZE, 0.0])
    x["reference_still"] = x["still"][:, None].clone()
    corner = (..., slice(-2, None), slice(0, 2))
    torch.testing.assert_close(network(**x).aligned[corner], x["reference_images"][:, 0][corner], atol=0.05, rtol=0)


def test_a_warp_by_half_a_pixel_is_a_mean_and_stops_at_the_border() -> None:
    picture = torch.arange(4.0).reshape(1, 1, 1, 4).expand(1, 1, 4, 4)
    moved = warp(picture, region_grid(4, 0, 1)[None] + torch.tensor([0.125, 0.0]))
    torch.testing.assert_close(moved[0, 0, 0], torch.tensor([0.5, 1.5, 2.5, 3.0]))


@torch.no_grad()
def test_features_and_cues_may_be_convolved_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = lively(), inputs()
    trained = network(**x).image
    monkeypatch.setattr("lipsmith.models.renderer.alignment.is_exporting", lambda: True)
    torch.testing.assert_close(network(**x).image, trained, atol=1e-5, rtol=0)


def test_exported_operations_equal_the_trained_ones() -> None:
    random = torch.Generator().manual_seed(0)
    points = torch.rand(2, 131, 2, generator=random)
    cells = region_grid(16, 4, 2).reshape(-1, 1, 2)
    ours, exact = closeness_exported(cells, points, 0.5), closeness(cells, points, 0.5)
    torch.testing.assert_close(ours, exact, atol=4e-6, rtol=0)


def test_exported_means_equal_the_trained_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(0)
    close, moves = -50 * torch.rand(2, 9, 40, generator=random), torch.rand(2, 6, 9, generator=random)
    pictures = torch.rand(2, 5, 3, 4, 6, generator=random)
    parts, nearest = [slice(None), slice(2, 7), slice(3, None)], close[:, 1:8].amax(1)
    close[1, 2:, 0] = -1000  # from one cell, all points of some parts are far away

    def computed() -> list[Tensor]:
        weights = softmax(-100 * pictures), cell_means(pictures[:, 0], 2)
        return [*softmax_means(close, moves, parts, nearest), mean_over(pictures), *weights]

    trained = computed()
    monkeypatch.setattr("lipsmith.models.renderer.flow.is_exporting", lambda: True)
    exported = computed()
    assert len(trained) == 6
    assert all(values.isfinite().all() for values in exported)
    for means, others in zip(exported[1:3], trained[1:3], strict=True):
        means[1, :, 0] = others[1, :, 0]
    torch.testing.assert_close(exported, trained, atol=1e-6, rtol=0)


@torch.no_grad()
def test_modulators_of_one_guide_are_computed_together() -> None:
    torch.manual_seed(0)
    modulators, guide = [Modulator(3, 4, 5) for _ in range(2)], torch.rand(2, 3, 6, 6)
    for both, modulator in zip(modulations(modulators, guide), modulators, strict=True):
        scale, shift = modulator.head(modulator.hidden(guide)).chunk(2, 1)
        torch.testing.assert_close(both, (1 + scale, shift))


@torch.no_grad()
def test_rows_above_the_lower_half_are_omitted_without_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(TINY, face_size=64, top=16)
    torch.manual_seed(0)
    decoder = enlivened(Decoder(config))
    given = [torch.rand(1, channels, 48 // step, 64 // step) for channels, step in ((8, 4), (16, 4), (8, 2), (6, 1))]
    lower = decoder(*given)
    assert lower.shape == (1, 3, 32, 64)
    for reach, is_same in ((16, True), (3, False)):
        monkeypatch.setattr("lipsmith.models.renderer.decoder._REACH", reach)
        assert torch.allclose(decoder(*given), lower, atol=1e-6) == is_same


def test_modulation_scales_and_shifts() -> None:
    x, scale, shift = torch.full((1, 2, 1, 1), 3.0), torch.full((1, 2, 1, 1), 1.5), torch.full((1, 2, 1, 1), -1.0)
    assert Modulate(2, "none")(x, (scale, shift)).flatten().tolist() == [3.5, 3.5]
    varied = torch.tensor([[[[1.0, 3.0]]]])
    one, zero = torch.ones(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
    torch.testing.assert_close(
        Modulate(1, "instance")(varied, (one, zero)), torch.tensor([[[[-1.0, 1.0]]]]), atol=1e-4, rtol=0
    )


def test_an_untrained_guide_has_a_small_effect() -> None:
    scale, shift = Modulator(3, 4, 5)(torch.rand(2, 3, 6, 6))
    assert scale.shape == shift.shape == (2, 4, 6, 6)
    assert 0 < (scale - 1).abs().max() < 0.5
    assert 0 < shift.abs().max() < 0.5


def test_sharpening_keeps_flat_areas_and_adds_the_detail_that_a_blur_removes() -> None:
    step = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]).expand(2, 3, 6, 6)
    found = Prefilter(0.4)(step)
    # A 3x3 binomial blur moves a quarter of a step from one side to the other.
    expected = torch.tensor([0.0, 0.0, -0.1, 1.1, 1.0, 1.0])
    torch.testing.assert_close(found, expected.expand(2, 3, 6, 6))


def test_the_prefilter_compensates_sampling_between_pixels() -> None:
    axis = torch.arange(32) / 32

    def wave(shift: float) -> Tensor:
        return (0.5 + 0.3 * torch.sin(2 * torch.pi * 6 * (axis + shift)))[None, None, None].expand(1, 3, 32, 32)

    between = region_grid(32, 0, 1)[None] + torch.tensor([0.5 / 32, 0.0])
    inside = (..., slice(2, -2))
    plain, filtered = (
        (warp(picture, between) - wave(0.5 / 32))[inside].abs().max()
        for picture in (wave(0.0), Prefilter(0.4)(wave(0.0)))
    )
    assert filtered < 0.5 * plain


def test_context_starts_at_zero_and_then_uses_distant_pixels_and_all_references() -> None:
    torch.manual_seed(0)
    context, features = Context(4, 8), torch.rand(4, 4, 20, 32)
    assert torch.equal(context(features, 2), features)
    enlivened(context)
    changed = features.clone()
    changed[0, :, :2, :2] += 1
    difference = (context(changed, 2) - context(features, 2)).abs().sum(1)
    assert difference[0, 10:, 14:].max() > 1e-6, "far away in the same reference: 40 rows and 56 columns of the crop"
    assert difference[1].max() > 1e-6, "the other reference of the same target"
    assert not difference[2:].any(), "the other target's references"


def test_different_kernels_of_sub_pixels_leave_no_lattice() -> None:
    torch.manual_seed(0)
    up = upsample(3, 2)
    torch.nn.init.normal_(up.get_parameter("0.weight"))
    flat = up(torch.ones(1, 3, 8, 8))[..., 3:-3, 3:-3]  # without the border, where convolutions are padded with zeros
    assert flat.shape == (1, 2, 10, 10)
    assert torch.allclose(flat, flat.mean((2, 3), keepdim=True).expand_as(flat), atol=1e-5)


def test_blocks_of_the_decoder_change_nothing_at_first() -> None:
    torch.manual_seed(0)
    plain, grown = lively(replace(TINY, painting=0)), Renderer(TINY).eval()
    missing = grown.load_state_dict(plain.state_dict(), strict=False)
    assert missing.unexpected_keys == []
    assert all(".paint" in name for name in missing.missing_keys)
    with torch.no_grad():
        assert torch.equal(plain(**inputs()).image, grown(**inputs()).image)


def test_with_frozen_alignment_only_the_decoder_is_trained() -> None:
    network = Renderer(TINY)
    network.freeze_alignment()
    learning = {name.partition(".")[0] for name, weight in network.named_parameters() if weight.requires_grad}
    assert learning == {"masked_encoder", "lip_encoder", "lip_fusion", "audio", "decoder"}
