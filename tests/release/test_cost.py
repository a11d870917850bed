"""Multiply-accumulates against counts worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lipsmith.cli import main
from lipsmith.config import load_config
from lipsmith.models.landmarks.config import LandmarkConfig
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.release.cost import count_macs, landmark_cost, renderer_cost, shapes_alone, vgg_cost
from lipsmith.training.renderer.config import RendererTraining

TINY = RendererConfig(face_size=32, top=12, full=4, fine=4, coarse=8)


def test_costs_of_convolution_linear_layer_and_attention_by_hand() -> None:
    with shapes_alone():
        conv, linear = nn.Conv2d(2, 3, 3, padding=1), nn.Linear(5, 7)
        assert count_macs(lambda: conv(torch.empty(1, 2, 4, 6)))["Global"] == 4 * 6 * 3 * 2 * 9
        assert count_macs(lambda: linear(torch.empty(2, 4, 5)))["Global"] == 8 * 5 * 7
        query, key = torch.empty(1, 1, 10, 8), torch.empty(1, 1, 6, 8)
        attention = count_macs(lambda: F.scaled_dot_product_attention(query, key, key))["Global"]
    assert attention == 2 * 10 * 6 * 8


def test_the_parts_add_up_to_the_render_stage() -> None:
    *parts, total = renderer_cost(TINY)
    assert total.macs == sum(part.macs for part in parts if part.per == "frame")
    assert total.parameters == sum(part.parameters for part in parts)
    lip = next(part for part in parts if part.name == "lip_encoder")
    # A 3x3 convolution from 64 to 8 channels, a residual block of two from 8 to 8, and one of 1x1, at 5 x 8 places.
    assert lip.macs == 5 * 8 * (9 * (64 * 8 + 2 * 8 * 8) + 8 * 8)
    assert lip.parameters == 9 * (64 * 8 + 2 * 8 * 8) + 3 * 8


def test_alignment_cost_grows_with_the_references() -> None:
    def cost(k: int) -> int:
        return next(part.macs for part in renderer_cost(replace(TINY, references=k)) if part.name == "alignment")

    assert cost(3) - cost(2) == cost(2) - cost(1) > 0
    plain = renderer_cost(replace(TINY, alignment="none"))
    assert next(part.macs for part in plain if part.name == "alignment") == 0


def test_the_other_stages_have_costs() -> None:
    speech, landmarks = landmark_cost(LandmarkConfig())
    assert speech.macs > 0
    assert landmarks.macs > 0
    assert vgg_cost(RendererConfig()).parameters == 14_714_688


def test_without_a_file_the_table_is_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "fast", "-q"]) == 0
    told = capsys.readouterr()
    assert (told.out.splitlines()[0], told.err) == ("Cost", "")


def test_the_file_holds_the_counted_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cost.json"
    assert main(["cost", "fast", "--references", "3", "--lips", "2", "--json", str(path)]) == 0
    told = capsys.readouterr()
    assert told.out == f"{path}\n"
    assert told.err.startswith("Cost\n")
    found = json.loads(path.read_text())
    assert found["figures"]["speech.gmac"] > 0
    assert (found["settings"]["renderer"]["references"], found["settings"]["renderer"]["lips"]) == (3, 2)
    fewer = renderer_cost(replace(load_config(RendererTraining, "renderer", "fast").model, references=3, lips=2))
    assert found["figures"]["render.gmac"] == pytest.approx(fewer[-1].macs / 1e9)


@pytest.mark.parametrize("words", [("--references", "0"), ("--lips", "-2")])
def test_zero_references_have_zero_cost(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "fast", *words]) == 2
    assert f"{words[0]} {words[1]} is below 1" in capsys.readouterr().err
