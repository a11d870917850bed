"""Adapted models under evaluation learn nothing from what is judged."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from landmark_clips import MOUTH, talking_clip
from lipsmith.adaptation import system as system_module
from lipsmith.adaptation.system import SHORTEST, AdaptedSystem, adapt_to_clips
from lipsmith.adaptation.task import AdaptationTask
from lipsmith.cli import main
from lipsmith.config import load_config
from lipsmith.data.clips import PreparedClip
from lipsmith.errors import InputError
from lipsmith.evaluation.run import long_clips
from lipsmith.evaluation.systems import ReconstructionTask
from lipsmith.inference.model_folder import find_model, write_config
from lipsmith.inference.stages import load_networks
from lipsmith.inference.torch import TorchBackend
from lipsmith.inference.weights import WEIGHTS, write_tensors
from lipsmith.models.landmarks.generator import build_landmark_generator
from lipsmith.models.renderer.network import Renderer
from lipsmith.training.landmarks.config import LandmarkTraining
from renderer_clips import SIZE, SMALL, prepared

CONFIG = replace(SMALL, train_only="decoder", gan_from=2.0, steps=2, validate_every=2)
SPEECH = replace(load_config(LandmarkTraining, "landmarks", "adapt"), model=MOUTH, steps=2, batch=4, validate_every=2)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    networks = {"landmarks": build_landmark_generator(MOUTH), "renderer": Renderer(SMALL.model)}
    write_tensors(
        folder / WEIGHTS, {f"{name}.{key}": x for name, net in networks.items() for key, x in net.state_dict().items()}
    )
    about = {"name": "tiny", "face_size": SIZE, "references_per_frame": 2, "lips": 2, "window": 7}
    write_config(folder, about | {"landmarks": asdict(MOUTH), "renderer": asdict(SMALL.model)})
    return folder


def second_half_changed(clip: PreparedClip) -> PreparedClip:
    points, mel = clip.landmarks.copy(), clip.mel.copy()
    points[100:, 74:] += 0.1
    mel[:, 400:] = 0
    return replace(clip, landmarks=points, mel=mel)


def test_a_model_is_adapted_to_the_first_half_alone(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = count()
    monkeypatch.setattr(AdaptationTask, "validate", lambda *_: {"score": float(next(scores))})  # the last is the best
    clip = talking_clip(0, "anna", "val", frames=200)
    weights: list[list[torch.Tensor]] = [list(load_networks(base)[1].decoder.parameters())]
    spoken: list[list[torch.Tensor]] = []
    done: list[tuple[int, int]] = []
    monkeypatch.setattr(system_module, "speaks_itself", lambda *_, **__: True)
    for name, own in (("one", clip), ("other", second_half_changed(clip))):
        data = prepared(tmp_path / name, [own, talking_clip(1, "bert", "val", frames=60)])
        clips = long_clips(data, ["val"], SHORTEST)
        system = adapt_to_clips(find_model(base), SPEECH, CONFIG, data, clips, "cpu", lambda *at: done.append(at))
        backend = system._models[clip.record.clip]._backend
        assert isinstance(backend, TorchBackend)
        weights.append(list(backend._stages["paint"].get_submodule("renderer.decoder").parameters()))
        spoken.append(list(backend._stages["landmarks"].parameters()))
    assert done == [(1, 1)] * 2  # the other clip is too short
    start, one, other = weights
    assert not any(map(torch.equal, start, one))
    assert all(map(torch.equal, one, other))
    assert all(map(torch.equal, *spoken))


def test_each_clip_has_its_own_model() -> None:
    def model(brightness: int) -> Any:  # noqa: ANN401
        return SimpleNamespace(reconstruct=lambda task: (task.clip, brightness))

    system: Any = AdaptedSystem({"a": model(1), "b": model(2)})
    tasks = [SimpleNamespace(clip=clip, predicted=False) for clip in "ba"]
    assert [system.reconstruct(task) for task in tasks] == [("b", 2), ("a", 1)]


def test_an_adapted_model_draws_the_lips_that_it_predicts() -> None:
    points, sound, times = np.zeros((2, 131, 2), np.float32), np.zeros((80, 16), np.float32), np.arange(2) / 25

    def speak(*given: Any) -> Any:  # noqa: ANN401
        for passed, expected in zip(given, (sound, times, points), strict=False):
            assert np.array_equal(passed, np.asarray(expected))
        assert len(given[3]) == 3
        return given[2] + 0.25

    model: Any = SimpleNamespace(speak=speak, reconstruct=lambda task: task.points)
    task = ReconstructionTask(
        clip="a", images=np.zeros((5, 8, 8, 3), np.uint8), landmarks=np.zeros((5, 131, 2), np.float32),
        still=np.zeros((5, 2, 2), np.float32), targets=np.arange(2), upper=np.zeros((2, 8, 8, 3), np.uint8),
        points=points, predicted=True, mel=np.zeros((2, 80, 16), np.float32), sound=sound, times=times,
        allowed=np.arange(2, 5), pool=np.arange(2, 5),
    )  # fmt: skip
    assert (AdaptedSystem({"a": model}).reconstruct(task) == 0.25).all()
    assert (AdaptedSystem({"a": model}).reconstruct(replace(task, predicted=False)) == 0).all()


def test_clips_that_are_all_short_are_refused(tmp_path: Path) -> None:
    data = prepared(tmp_path, [talking_clip(1, "bert", "val", frames=60)])
    with pytest.raises(InputError, match="no clip of val lasts 8 s"):
        long_clips(data, ["val"], SHORTEST)


@pytest.mark.parametrize("side", [(), ("--side", "64")], ids=["outputs", "side too large"])
def test_evaluate_adapts_to_what_it_measures_alone(
    side: tuple[str, ...], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [talking_clip(number, name, "val", frames=200) for number, name in enumerate(("anna", "bert"))]
    data, films = prepared(tmp_path / "data", clips), tmp_path / "films"
    films.mkdir()
    shutil.copy(data / f"{clips[1].record.clip}.mp4", films / "bert_001.mp4")
    asked: list[str] = []

    def adapt(*given: Any) -> None:  # noqa: ANN401
        asked.extend(record.clip for record in given[4])
        raise InputError("Enough is known.")

    monkeypatch.setattr(system_module, "adapt_to_clips", adapt)
    monkeypatch.setattr("lipsmith.evaluation.listening.split_phonemes", lambda *_: {})
    words = ["evaluate", str(data), "--split", "val", "--model", str(base), "--adapt", "1", "--device", "cpu"]
    assert main([*words, "--outputs", f"theirs={films}", *side]) == (2 if side else 3)
    assert asked == ([] if side else [clips[1].record.clip])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--adapt", "1"], "--adapt needs --model, --protocol strict and --table 1"),
        (["--adapt", "1", "--model", "fast", "--protocol", "cross"], "--adapt needs --model, --protocol strict"),
        (["--adapt", "1", "--model", "fast", "--table", "2"], "--adapt needs --model, --protocol strict and --table 1"),
        (["--adapt", "0", "--model", "fast"], "--adapt must be a number above 0"),
        (["--adapt", "nan", "--model", "fast"], "--adapt must be a number above 0"),
    ],
)
def test_evaluate_refuses_what_cannot_be_adapted(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "data", *words]) == 2
    assert sentence in capsys.readouterr().err
