"""The landmark generator: its untrained output, the pose filter, and the ONNX stages."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from lipsmith.face.landmarks import NUM_CONTENT, NUM_JAW, NUM_POSE
from lipsmith.models.landmarks.config import LandmarkConfig
from lipsmith.models.landmarks.expected import expected_content, followed, steadied
from lipsmith.models.landmarks.generator import LandmarkGenerator, build_landmark_generator, build_speech_encoder
from lipsmith.models.mel_encoder import JointEncoder

TINY = LandmarkConfig(
    dim=8,
    layers=1,
    heads=2,
    feed_forward=8,
    references=3,
    speech_channels=(2, 2, 2, 2, 2),
    temporal=1,
    points="perceptron",
    point_channels=(8,),
)
CONVOLVED = dataclasses.replace(TINY, points="convolutions", point_channels=(4, 4, 4, 8), temporal=0)
POSTERIORS = dataclasses.replace(TINY, features="posteriors", bands=12, speech_channels=(4,))
BOTH = dataclasses.replace(TINY, features="both", bands=92, speech_residuals=(0, 0, 1, 1))
PLACED = dataclasses.replace(TINY, placed=True)
NEAR = LandmarkConfig.nearness
KINDS = pytest.mark.parametrize(
    "config",
    [TINY, CONVOLVED, POSTERIORS, BOTH, PLACED],
    ids=["perceptron", "convolved", "posteriors", "both", "placed"],
)


def inputs(frames: int = 6, references: int = 4, bands: int = 80, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Return speech, pose and references of faces that vary around a common shape, whose pose moves as a whole."""
    random = torch.Generator().manual_seed(frames)
    shape = torch.rand(batch, 1, 131, 2, generator=random)
    faces = shape + 0.005 * torch.randn(batch, references, 131, 2, generator=random)
    drift = 0.02 * torch.randn(batch, frames, 1, 2, generator=random)
    mel = torch.randn(batch, frames, bands, 16, generator=random)
    return mel, shape[:, :, :NUM_POSE] + drift, faces


def awake(config: LandmarkConfig) -> LandmarkGenerator:
    """Return a network in inference mode that depends on speech, with output layers that are not zero."""
    torch.manual_seed(0)
    network = build_landmark_generator(config)
    for name, parameter in network.named_parameters():
        if "lips" in name or "jaw" in name:
            torch.nn.init.normal_(parameter, std=0.1)
        if "speech.project" in name:
            torch.nn.init.normal_(parameter, std=float(parameter.dim() > 1))
    if config.placed:
        torch.nn.init.normal_(network.transformer.get_buffer("placement.weight"), std=0.1)
    return network.eval()


@KINDS
def test_the_untrained_network_outputs_expected_content(config: LandmarkConfig) -> None:
    mel, pose, faces = inputs(bands=config.bands)
    content = build_landmark_generator(config).eval()(mel, pose, faces)
    expected = expected_content(steadied(pose, config.steady), faces, config.nearness) + followed(pose, config.steady)
    torch.testing.assert_close(content, expected, atol=1e-6, rtol=0)


@KINDS
def test_any_number_of_frames_and_references_is_accepted(config: LandmarkConfig) -> None:
    network = awake(config)
    for frames, references in ((1, 1), (5, 3), (26, 17)):
        mel, pose, faces = inputs(frames, references, config.bands)
        assert network(mel, pose, faces).shape == (2, frames, NUM_CONTENT, 2)


def test_output_depends_on_speech_but_not_on_the_order_of_references() -> None:
    network = awake(TINY)
    mel, pose, faces = inputs()
    content = network(mel, pose, faces)
    torch.testing.assert_close(network(mel, pose, faces.flip(1)), content, atol=1e-5, rtol=0)
    assert not torch.allclose(network(mel.flip(0), pose, faces), content, atol=1e-4)


def test_expected_content_follows_head_motion_by_a_fixed_share() -> None:
    _, pose, faces = inputs()
    faces[:, :, :NUM_POSE] = faces[:, :1, :NUM_POSE]
    shift = torch.tensor([0.01, -0.02])
    moved = expected_content(pose + shift, faces, NEAR) - expected_content(pose, faces, NEAR)
    torch.testing.assert_close(moved, (0.75 * shift).expand_as(moved), atol=1e-4, rtol=0)


def test_expected_content_turns_and_grows_with_the_head_by_a_fixed_share() -> None:
    _, _, faces = inputs(references=1)
    turn = torch.tensor([[0.0, 1.2], [-1.2, 0.0]])  # a quarter turn of a head a fifth larger
    moved = 0.3 + (faces - 0.3) @ turn
    expected = 0.25 * faces[:, :, NUM_POSE:] + 0.75 * moved[:, :, NUM_POSE:]
    torch.testing.assert_close(expected_content(moved[:, :, :NUM_POSE], faces, NEAR), expected)


def test_expected_content_at_the_pose_of_a_reference_is_that_reference() -> None:
    _, _, faces = inputs(references=3)
    turned = faces + torch.tensor([0.0, 0.1, 0.2])[:, None, None]
    expected = expected_content(turned[:, :, :NUM_POSE], turned, NEAR)
    torch.testing.assert_close(expected, turned[:, :, NUM_POSE:], atol=1e-4, rtol=0)


def test_with_a_large_nearness_pose_does_not_select_references() -> None:
    _, pose, faces = inputs(references=3)
    faces[:, :, :NUM_POSE] = pose[:, :1] + torch.tensor([-0.01, 0.0, 0.01])[:, None, None]
    openings = torch.tensor([0.0, 0.03, 0.06])
    faces[:, :, NUM_POSE:] = openings[:, None, None]
    still = pose[:, :1]
    near, far = (expected_content(still, faces, nearness).mean() for nearness in (1e-6, 1e3))
    assert near == pytest.approx(0.03, abs=1e-4)
    assert far == pytest.approx(0.03, abs=1e-4)
    beside, away = (expected_content(still - 0.01, faces, nearness).mean() for nearness in (1e-6, 1e3))
    assert beside == pytest.approx(0.0, abs=1e-4)
    assert away == pytest.approx(0.03 - 0.75 * 0.01, abs=1e-4)  # it only follows the head


def test_one_joint_token_predicts_lips_and_jaw() -> None:
    network = awake(dataclasses.replace(TINY, joint=True))
    mel, pose, faces = inputs()
    content = network(mel, pose, faces)
    moved = (network(mel.flip(0), pose, faces) - content).abs().amax(dim=(0, 1, 3))
    assert moved[:NUM_JAW].min() > 0
    assert moved[NUM_JAW:].min() > 0


@pytest.mark.parametrize("frames", [1, 2, 15, 40])
def test_a_still_pose_is_not_changed(frames: int) -> None:
    pose = torch.rand(2, 1, NUM_POSE, 2).expand(-1, frames, -1, -1)
    torch.testing.assert_close(steadied(pose, 3.0), pose, atol=1e-6, rtol=0)


def test_fast_head_motion_moves_all_lip_points_equally() -> None:
    pose = torch.zeros(1, 25, NUM_POSE, 2)
    assert not followed(pose, 8.0).any()
    pose[:, 12] = torch.tensor([0.01, -0.02])  # the whole head, in one frame
    quick = (steadied(pose, 1.0) - steadied(pose, 8.0))[:, :, :1]
    moved = followed(pose, 8.0)
    # Lips: 0.4 - 0.65 + 1.3, an end of the jaw: 1.2 - 0.55 + 0.4, the chin: 0.8 - 1.0 + 1.2 of it.
    torch.testing.assert_close(moved[:, :, NUM_JAW:], (1.05 * quick).expand(-1, -1, 40, -1))
    torch.testing.assert_close(moved[:, :, [0, 16]], (1.05 * quick).expand(-1, -1, 2, -1))
    torch.testing.assert_close(moved[:, :, 8:9], 1.0 * quick)


def test_jaw_ends_follow_the_contour_and_lips_follow_the_nose() -> None:
    nod = torch.zeros(1, 25, NUM_POSE, 2)
    nod[:, 12, 28:42] = 0.01  # the nose alone
    moved = followed(nod, 8.0)[0, 12, :, 1] / (steadied(nod, 1.0) - steadied(nod, 8.0))[0, 12, 30, 1]
    torch.testing.assert_close(moved[[0, 8, 17, 56]], torch.tensor([0.4, 1.2, 1.3, 1.3]))


def swing(hertz: float, frames: int = 50) -> float:
    """Return the gain of the filter for motion of `hertz`, in the middle half of a window."""
    wave = torch.sin(2 * torch.pi * hertz * torch.arange(frames) / 25)[None, :, None, None]
    middle = slice(frames // 4, 3 * frames // 4)
    before, after = (float(x[:, middle].square().mean().sqrt()) for x in (wave, steadied(wave, 3.0)))
    return after / before


@pytest.mark.parametrize("hertz", [3.0, 4.0, 5.0])
def test_motion_at_the_rate_of_syllables_is_filtered_out(hertz: float) -> None:
    assert swing(hertz) < 0.2


def test_a_slow_nod_passes_the_filter() -> None:
    assert swing(0.5) > 0.9


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@KINDS
def test_the_onnx_stages_equal_the_torch_stages(config: LandmarkConfig, tmp_path: Path) -> None:
    network = awake(config)
    content = exported(network, tmp_path, config.bands)
    for frames, references in ((5, 3), (9, 7)):
        mel, pose, faces = inputs(frames, references, config.bands, batch=3)
        with torch.inference_mode():
            wanted = network(mel, pose, faces).numpy()
        np.testing.assert_allclose(content(mel, pose, faces), wanted, atol=1e-4)


def exported(network: LandmarkGenerator, folder: Path, bands: int) -> Callable[..., NDArray[np.float32]]:
    """The network's two stages in ONNX Runtime, called like the network; batch, window and references are free axes."""
    mel, pose, faces = inputs(4, 2, bands)
    heard = rearrange(mel, "b t c s -> (b t) 1 c s")
    tokens = rearrange(network.speech(heard), "(b t) d -> b t d", t=4)
    speech = session(folder / "speech.onnx", network.speech, {"mel": heard}, ({0: "n"},))
    sizes = ({0: "b", 1: "t"}, {0: "b", 1: "t"}, {0: "b", 1: "r"})
    seen = {"tokens": tokens, "pose": pose, "references": faces}
    landmarks = session(folder / "landmarks.onnx", network.transformer, seen, sizes)

    def run(mel: Tensor, pose: Tensor, faces: Tensor) -> NDArray[np.float32]:
        (tokens,) = speech.run(None, {"mel": rearrange(mel, "b t c s -> (b t) 1 c s").numpy()})
        tokens = rearrange(tokens, "(b t) d -> b t d", t=mel.shape[1])
        found = landmarks.run(None, {"tokens": tokens, "pose": pose.numpy(), "references": faces.numpy()})
        content: NDArray[np.float32] = found[0]
        return content

    return run


def session(
    path: Path, stage: torch.nn.Module, named: dict[str, Tensor], sizes: tuple[dict[int, str], ...]
) -> onnxruntime.InferenceSession:
    """Return one stage in ONNX Runtime; `sizes` are the free axes of each input."""
    free = dict(zip(named, sizes, strict=True))
    with torch.no_grad():
        torch.onnx.export(stage, tuple(named.values()), path, input_names=list(named), dynamic_axes=free, dynamo=False)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_invalid_sizes_are_refused() -> None:
    wrong_ones: list[dict[str, Any]] = [{"heads": 3}, {"dim": 7, "heads": 7}, {"speech_channels": (4,)}]
    wrong_ones += [{"features": "posteriors"}, {"features": "both"}, {"speech_residuals": (0, 1)}]
    for wrong in wrong_ones:
        with pytest.raises(ValueError, match=r"heads|odd|speech_channels|posteriors|speech_residuals"):
            dataclasses.replace(TINY, **wrong)
    nothing: dict[str, Any]
    for name in ("heads", "window", "references"):
        nothing = {name: 0}
        with pytest.raises(ValueError, match="at least 1"):
            dataclasses.replace(TINY, **nothing)
    for name in ("steady", "nearness"):
        nothing = {name: 0.0}
        with pytest.raises(ValueError, match="above 0"):
            dataclasses.replace(TINY, **nothing)


def test_the_speech_encoder_processes_frames_independently() -> None:
    encoder = build_speech_encoder(TINY).eval()
    mel = torch.randn(5, 1, 80, 16)
    torch.testing.assert_close(encoder(mel)[2:3], encoder(mel[2:3]), atol=1e-6, rtol=0)


def test_posteriors_beside_the_mel_add_nothing_at_first() -> None:
    encoder = build_landmark_generator(BOTH).speech.eval()
    assert isinstance(encoder, JointEncoder)
    windows = torch.randn(3, 1, 92, 16)
    torch.testing.assert_close(encoder(windows), encoder.mel(windows[:, :, :80]))
    torch.nn.init.normal_(encoder.others.layers[-1].weight)  # type: ignore[arg-type]
    assert not torch.allclose(encoder(windows), encoder.mel(windows[:, :, :80]))
