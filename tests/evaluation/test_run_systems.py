"""Training runs as systems: what they may see, which references they get, and runs that cannot be read."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from lipsmith.errors import UsageError, WeightsError
from lipsmith.evaluation.run_systems import load_variant, ranked
from lipsmith.evaluation.systems import ReconstructionTask
from lipsmith.face.landmarks import NUM_POSE
from lipsmith.models.peers.config import IplapConfig, Wav2LipConfig
from lipsmith.models.peers.iplap import IplapRenderer
from lipsmith.models.peers.wav2lip import Wav2Lip
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.network import Renderer
from lipsmith.training.checkpoint import save_weights

SIDE, FRAMES = 32, 12
Config = RendererConfig | Wav2LipConfig | IplapConfig
OURS = RendererConfig(face_size=SIDE, top=12, full=4, fine=4, coarse=8, lips=2, alignment="learned", ranks=25)


def task() -> ReconstructionTask:
    """Return a task whose frames may all be used, with five of them to rebuild."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (FRAMES, SIDE, SIDE, 3), dtype=np.uint8)
    points = (0.5 + 0.1 * random.standard_normal((FRAMES, 131, 2))).astype(np.float32)
    targets = np.arange(2, 7)
    upper = images[targets].copy()
    upper[:, SIDE // 2 :] = 0
    still = np.tile(np.array([[0.1, 0.9], [0.9, 0.9]], np.float32), (FRAMES, 1, 1))
    return ReconstructionTask(
        clip="a", images=images, landmarks=points, still=still, targets=targets, upper=upper, points=points[targets],
        predicted=False, mel=random.standard_normal((5, 80, 16)).astype(np.float32),
        sound=np.zeros((80, 16), np.float32), times=np.arange(5) / 25, allowed=np.arange(FRAMES),
        pool=np.arange(FRAMES),
    )  # fmt: skip


def run(folder: Path, network: nn.Module, config: Config, **training: str) -> str:
    """Write the run of a network and return its folder."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))  # so that no output is a constant
    save_weights(folder / "renderer", network.state_dict(), {"training": {**training, "model": asdict(config)}})
    return str(folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("runs")
    wav2lip, iplap = Wav2LipConfig(width=0.01, face_size=SIDE), IplapConfig(width=0.01, face_size=SIDE)
    return {
        "ours": run(root / "ours", Renderer(OURS), OURS),
        "wav2lip": run(root / "wav2lip", Wav2Lip(wav2lip), wav2lip, system="wav2lip"),
        "iplap": run(root / "iplap", IplapRenderer(iplap), iplap, system="iplap"),
    }


def rebuilt(folder: str, asked: ReconstructionTask) -> NDArray[np.uint8]:
    return load_variant("x", folder, "cpu").reconstruct(asked)


@pytest.mark.parametrize("system", ["ours", "wav2lip", "iplap"])
def test_only_the_lower_half_is_new_and_the_target_is_never_seen(system: str, runs: dict[str, str]) -> None:
    asked = task()
    made = rebuilt(runs[system], asked)
    half = SIDE // 2
    np.testing.assert_array_equal(made[:, :half], asked.upper[:, :half])
    assert made[:, half:].std() > 0
    hidden = asked.images.copy()
    hidden[asked.targets[3]] = 0
    again = rebuilt(runs[system], replace(asked, images=hidden))
    if system == "ours":  # the target itself may be a lip reference, but not one that is warped
        assert np.abs(again[3].astype(int) - made[3]).mean() < 8
    else:
        np.testing.assert_array_equal(again[3], made[3])


def test_references_by_ranks_are_a_fifth_of_the_frames_with_every_opening() -> None:
    asked = replace(task(), allowed=np.arange(3, FRAMES))
    chosen = ranked(asked, 25)
    assert len(chosen) == 5
    assert chosen.min() >= 3
    assert len(ranked(asked, 2)) == 2


def test_wav2lip_gets_the_frame_nearest_in_pose_whatever_its_mouth(runs: dict[str, str]) -> None:
    asked = task()
    points = asked.landmarks.copy()
    points[9, :NUM_POSE] = points[2, :NUM_POSE] + 0.001
    asked = replace(asked, landmarks=points, targets=asked.targets[:1], upper=asked.upper[:1], mel=asked.mel[:1])
    made = rebuilt(runs["wav2lip"], asked)
    for frame, same in ((8, True), (9, False)):
        images = asked.images.copy()
        images[frame] = 255 - images[frame]
        assert np.array_equal(rebuilt(runs["wav2lip"], replace(asked, images=images)), made) == same


def test_larger_crops_are_rendered_at_the_systems_size(runs: dict[str, str]) -> None:
    asked = task()
    large = replace(asked, images=asked.images.repeat(2, 1).repeat(2, 2), upper=asked.upper.repeat(2, 1).repeat(2, 2))
    made, small = rebuilt(runs["iplap"], large), rebuilt(runs["iplap"], asked)
    assert made.shape == (5, 2 * SIDE, 2 * SIDE, 3)
    enlarged = np.stack([cv2.resize(crop, (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_CUBIC) for crop in small])
    rows = np.s_[:, SIDE + 4 :]  # bicubic interpolation carries the upper half over the middle
    np.testing.assert_array_equal(made[rows], enlarged[rows])


def test_a_run_is_measured_with_other_numbers_of_references_and_lips(runs: dict[str, str]) -> None:
    asked = replace(task(), allowed=np.arange(3, FRAMES))
    for few, many in (({"references": 1}, {"references": 5}), ({"lips": 1}, {"lips": 4})):
        one, other = (load_variant("x", runs["ours"], "cpu", **count).reconstruct(asked) for count in (few, many))
        assert not np.array_equal(one, other)
    with pytest.raises(UsageError, match="run of iplap"):
        load_variant("x", runs["iplap"], "cpu", references=3)


def test_unreadable_runs_are_refused(runs: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "renderer.json").write_text("{}")
    with pytest.raises(WeightsError, match="is not the card of a training run"):
        load_variant("x", str(tmp_path))
    (tmp_path / "renderer.json").write_bytes(Path(runs["iplap"], "renderer.json").read_bytes())
    with pytest.raises(WeightsError, match=r"renderer\.safetensors is missing or damaged"):
        load_variant("x", str(tmp_path))
