"""LPIPS equals an independent implementation and grows with degradation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from harmed_pictures import Crops, blurred, noisy, shifted, textured
from lipsmith.errors import WeightsError
from lipsmith.evaluation.metrics.lpips import Lpips, load_lpips, lpips

HARMS = {"blur": blurred, "noise": noisy}


def reference_lpips(weights: dict[str, torch.Tensor], trunk: str, a: Crops, b: Crops) -> float:
    """Compute LPIPS by its definition, with functional calls alone."""
    from torch.nn.functional import conv2d, max_pool2d, relu

    plans = {
        "alexnet": [("0", 4, 2, 0), ("3", 1, 2, 3), ("6", 1, 1, 3), ("8", 1, 1, 0), ("10", 1, 1, 0)],
        "vgg16": [
            *[("0", 1, 1, 0), ("2", 1, 1, 0), ("5", 1, 1, 2), ("7", 1, 1, 0), ("10", 1, 1, 2), ("12", 1, 1, 0)],
            *[("14", 1, 1, 0), ("17", 1, 1, 2), ("19", 1, 1, 0), ("21", 1, 1, 0), ("24", 1, 1, 2)],
            *[("26", 1, 1, 0), ("28", 1, 1, 0)],
        ],
    }
    taps = {"alexnet": ["0", "3", "6", "8", "10"], "vgg16": ["2", "7", "14", "21", "28"]}[trunk]
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    pair = torch.from_numpy(np.stack([a, b])).permute(0, 3, 1, 2).float() / 127.5 - 1
    x, total = (pair - shift) / scale, 0.0
    for name, stride, padding, pool in plans[trunk]:
        if pool:
            x = max_pool2d(x, pool, 2)
        weight, bias = weights[f"features.{name}.weight"].float(), weights[f"features.{name}.bias"].float()
        x = relu(conv2d(x, weight, bias, stride, padding))
        if name in taps:
            unit = x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)
            head = weights[f"lin{taps.index(name)}.weight"].float()[0, :, 0, 0]
            total += float(((unit[0] - unit[1]).pow(2) * head[:, None, None]).sum(0).mean())
    return total


@pytest.mark.parametrize(("trunk", "file"), [("alexnet", "lpips_alexnet"), ("vgg16", "lpips_vgg16_fp16")])
def test_lpips_equals_an_independent_implementation(weights: Path, trunk: str, file: str) -> None:
    from safetensors.torch import load_file

    path = weights / f"{file}.safetensors"
    random = np.random.default_rng(0)
    a, b = random.integers(0, 256, (2, 1, 64, 64, 3), dtype=np.uint8)
    found = lpips(load_lpips(trunk, path), a, {"other": b})  # type: ignore[arg-type]
    assert found["other"].distances[0] == pytest.approx(reference_lpips(load_file(path), trunk, a[0], b[0]), abs=1e-4)
    assert found["real"].distances[0] == 0
    assert found["other"].features.shape == (1, {"alexnet": 256, "vgg16": 512}[trunk])


def test_lpips_grows_with_degradation(weights: Path) -> None:
    network = load_lpips("alexnet", weights / "lpips_alexnet.safetensors")
    real = textured()
    systems = {f"{name}{size}": harm(real, size) for name, harm in HARMS.items() for size in (2, 6)}
    found = lpips(network, real, {**systems, "shift1": shifted(real, 1), "shift6": shifted(real, 6)})
    assert (found["blur2"].distances < found["blur6"].distances).all()
    assert (found["noise2"].distances < found["noise6"].distances).all()
    assert (found["shift1"].distances < found["shift6"].distances).all()


def test_missing_lpips_weights_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSMITH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="lpips_alexnet"):
        load_lpips("alexnet")


def test_lpips_blocks_equal_those_of_the_trunk() -> None:
    blocks = Lpips("vgg16").blocks(torch.zeros(1, 3, 32, 32))
    assert [tuple(block.shape[1:]) for block in blocks] == [
        (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2),
    ]  # fmt: skip
