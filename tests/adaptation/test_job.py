"""One adaptation from films to a model folder: resumed, never worse, and refused before the work."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from landmark_clips import talking_clip
from lipsmith.adaptation import job
from lipsmith.adaptation.card import Adaptation
from lipsmith.cli import main
from lipsmith.data.clips import ClipRecord, read_manifest
from lipsmith.errors import InputError, UsageError, WeightsError
from lipsmith.files import hidden_for
from lipsmith.inference.model_folder import write_config
from lipsmith.inference.weights import WEIGHTS
from lipsmith.training.checkpoint import load_checkpoint
from renderer_clips import SMALL, prepared, write_model

CONFIG = replace(SMALL, train_only="decoder", gan_from=2.0, steps=6, validate_every=2)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "anna.mp4"
    path.write_bytes(b"a film")
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_model(tmp_path / "base")


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Fast stand-ins for tracking and export, counted by name; the training is real."""
    calls = {"prepare": 0, "export": 0, "quantize": 0}

    def prepare(films: list[Path], root: Path, *_: object) -> list[ClipRecord]:
        if not root.is_dir():
            calls["prepare"] += 1
            prepared(root, [talking_clip(0, "anna", frames=60)])
        return read_manifest(root)

    def export(landmarks: Path, renderer: Path, folder: Path, name: str, **_: object) -> None:
        calls["export"] += 1
        (folder / WEIGHTS).write_bytes((renderer / "renderer.safetensors").read_bytes())
        write_config(folder, {"name": name})

    def quantize(model: Path, *_: object) -> None:
        calls["quantize"] += 1
        assert model.name in ("whole", "anna")  # which a log line gives

    for name, stub in (("prepare_person", prepare), ("export", export), ("quantize", quantize)):
        monkeypatch.setattr(job, name, stub)
    monkeypatch.setattr(job, "find_vgg", lambda: None)
    configured(monkeypatch)
    return calls


def configured(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:  # noqa: ANN401
    monkeypatch.setattr(job, "adaptation_config", lambda *_: replace(CONFIG, **changes))


def test_films_become_a_model_with_a_card(film: Path, base: Path, stubs: dict[str, int], tmp_path: Path) -> None:
    seen: list[Mapping[str, float]] = []
    found = job.adapt(film, tmp_path / "models" / "anna", model=base, device="cpu", watch=seen.append)
    assert stubs == {"prepare": 1, "export": 1, "quantize": 1}
    assert (found.steps, found.seconds, len(seen)) == (6, 2.4, 4)  # before the first step, and after 2, 4 and 6
    assert found.before["score"] == pytest.approx(seen[0]["score"], rel=1e-5)
    assert found.after["score"] == max(figures["score"] for figures in seen)
    assert json.loads((found.folder / "config.json").read_text())["name"] == "anna"
    card = (found.folder / "CARD.md").read_text()
    assert "Film: anna.mp4; 2 seconds" in card
    assert "6 steps of the renderer (decoder only)" in card
    assert found.verdict in card
    assert "It has no card." in card
    assert [path.name for path in found.folder.parent.iterdir()] == ["anna"]


def test_torch_is_left_as_the_caller_set_it(film: Path, base: Path, stubs: dict[str, int], tmp_path: Path) -> None:
    torch.manual_seed(7)
    drawn = torch.rand(1)
    torch.manual_seed(7)
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    job.adapt(film, tmp_path / "anna", model=base, device="cpu", threads=before[0] + 1)
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before
    assert torch.rand(1) == drawn


def test_an_interruption_is_continued_by_the_same_call(
    film: Path, base: Path, stubs: dict[str, int], tmp_path: Path
) -> None:
    whole = job.adapt(film, tmp_path / "whole", model=base, device="cpu")

    def stop(figures: Mapping[str, float]) -> None:
        seen.append(figures)
        if len(seen) == 3:
            raise KeyboardInterrupt

    seen: list[Mapping[str, float]] = []
    out = tmp_path / "models" / "anna"
    with pytest.raises(KeyboardInterrupt):
        job.adapt(film, out, model=base, device="cpu", watch=stop)
    assert not out.exists()
    kept = load_checkpoint(hidden_for(out, job.UNFINISHED) / "run" / "checkpoint.pt")
    assert kept is not None
    assert kept["step"] == 3  # of before the interrupted validation
    resumed = job.adapt(film, out, model=base, device="cpu")
    assert stubs == {"prepare": 2, "export": 2, "quantize": 2}
    assert (resumed.before, resumed.after) == (whole.before, whole.after)
    ours, theirs = (load_file(folder / WEIGHTS) for folder in (whole.folder, out))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert [path.name for path in out.parent.iterdir()] == ["anna"]


@pytest.mark.parametrize("one_by_one", [False, True])
def test_what_a_kill_leaves_after_the_model_is_in_place_is_removed(
    film: Path, base: Path, stubs: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_by_one: bool
) -> None:
    out = tmp_path / "models" / "anna"
    with monkeypatch.context() as patch:  # killed before, and in the middle of, the removal of the work
        patch.setattr("shutil.rmtree", lambda *_, **__: None)
        job.adapt(film, out, model=base, device="cpu")
    if one_by_one:  # killed after the last file moved
        (hidden_for(out, job.UNFINISHED) / "model" / "anna").mkdir()
    assert len(list(out.parent.iterdir())) == 2
    with pytest.raises(UsageError, match="is not empty"):
        job.adapt(film, out, model=base, device="cpu")
    assert list(out.parent.iterdir()) == [out]
    assert stubs["export"] == 1


def test_another_film_does_not_continue(
    film: Path, base: Path, stubs: dict[str, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(_: Mapping[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.adapt(film, tmp_path / "anna", model=base, device="cpu", watch=stop)
    film.write_bytes(b"another film")
    with caplog.at_level(logging.INFO):
        job.adapt(film, tmp_path / "anna", model=base, device="cpu")
    assert f"{tmp_path / 'anna'}: films or model have changed since the interruption" in caplog.text
    assert stubs["prepare"] == 2


def test_it_is_never_worse_than_the_start(
    film: Path, base: Path, stubs: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(monkeypatch, learning_rate=30.0, warmup=0, steps=100, validate_every=1, patience=3)
    found = job.adapt(film, tmp_path / "anna", model=base, device="cpu")
    assert found.steps == 3  # three validations without a better one
    assert not found.is_better
    assert found.after["score"] == pytest.approx(found.before["score"], rel=1e-5)
    assert "gained nothing" in (found.folder / "CARD.md").read_text()
    start, written = load_file(base / WEIGHTS), load_file(found.folder / WEIGHTS)
    assert all(torch.equal(value, start[f"renderer.{name}"]) for name, value in written.items())


def test_a_model_without_an_8_bit_stage_is_written_too(
    film: Path, base: Path, stubs: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise WeightsError("8-bit pictures differ")

    monkeypatch.setattr(job, "quantize", refuse)
    out = job.adapt(film, tmp_path / "anna", model=base, device="cpu").folder
    assert (out / "CARD.md").is_file()


@pytest.mark.usefixtures("stubs")
def test_a_film_at_fault_leaves_nothing(
    film: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise InputError("no face")

    monkeypatch.setattr(job, "prepare_person", refuse)
    with pytest.raises(InputError, match="no face"):
        job.adapt(film, tmp_path / "models" / "anna", model=base, device="cpu")
    assert not list((tmp_path / "models").iterdir())


@pytest.mark.usefixtures("stubs")
def test_a_model_that_cannot_be_written_leaves_the_training(
    film: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise WeightsError("it differs from torch")

    monkeypatch.setattr(job, "export", refuse)
    with pytest.raises(WeightsError, match="differs"):
        job.adapt(film, tmp_path / "models" / "anna", model=base, device="cpu")
    (kept,) = (tmp_path / "models").iterdir()
    assert (kept / "run").is_dir()


@pytest.mark.usefixtures("stubs")
def test_what_cannot_be_written_is_refused_before_the_work(film: Path, base: Path, tmp_path: Path) -> None:
    other = tmp_path / "letters"
    other.mkdir()
    (other / "letter.txt").write_text("dear Anna")
    with pytest.raises(UsageError, match="letters is not empty; choose another folder or set overwrite"):
        job.adapt(film, other, model=base)
    with pytest.raises(UsageError, match="letters holds something else than a model"):
        job.adapt(film, other, model=base, overwrite=True)
    with pytest.raises(UsageError, match="base would be replaced by its own result"):
        job.adapt(film, base, model=base, overwrite=True)
    with pytest.raises(UsageError, match="at least one film"):
        job.adapt([], tmp_path / "anna", model=base)
    with pytest.raises(UsageError, match="minutes must be a number above 0"):
        job.adapt(film, tmp_path / "anna", 0, model=base)
    with pytest.raises(InputError, match=r"berta\.mp4 does not exist"):
        job.adapt([film, tmp_path / "berta.mp4"], tmp_path / "anna", model=base)
    with pytest.raises(UsageError, match="Device 'cuda:x' is unknown"):
        job.adapt(film, tmp_path / "anna", model=base, device="cuda:x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["anna.mp4", "base", "letters"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"films": None}, "A film is of type NoneType; give a path"),
        ({"films": [3]}, "A film is of type int; give a path"),
        ({"out": None}, "The model folder is of type NoneType; give a path"),
        ({"minutes": "1"}, "The minutes must be a number above 0"),
        ({"minutes": None}, "The minutes must be a number above 0"),
        ({"threads": "2"}, "threads = '2' is out of range; give 1 to 1024"),
        ({"threads": 0}, "threads = 0 is out of range; give 1 to 1024"),
    ],
)
@pytest.mark.usefixtures("stubs")
def test_values_of_wrong_kinds_are_refused_in_a_sentence(
    given: dict[str, Any], sentence: str, film: Path, base: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=sentence):
        job.adapt(**{"films": film, "out": tmp_path / "anna", "model": base, **given})


def test_a_model_that_cannot_dub_is_named(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "find_vgg", lambda: None)
    with pytest.raises(WeightsError, match="sync is a model of kind sync, which does not dub"):
        job.adapt(film, tmp_path / "anna", model="sync")


def test_missing_weights_of_vgg_are_reported_first(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSMITH_HOME", str(tmp_path / "nothing"))
    with pytest.raises(WeightsError, match=r"lpips_vgg16_fp16\.safetensors is missing"):
        job.adapt(film, tmp_path / "anna")


def test_the_command_shows_the_gain_and_prints_the_folder(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = {"face_psnr": 30.0, "score": 19.0}, {"face_psnr": 31.5, "score": 21.0, "step": 150.0}
    mouth = {"lip_lmd": 1.5}, {"lip_lmd": 1.25, "step": 50.0}
    found = Adaptation(tmp_path / "anna", 60.0, 9.5, 200, before, after, *mouth)
    given: list[Any] = []
    monkeypatch.setattr(job, "adapt", lambda films, out, minutes, **_: given.append((films, out, minutes)) or found)
    words = ["adapt", str(film), "-o", str(tmp_path / "anna"), "--minutes", "2", "--json", str(tmp_path / "a.json")]
    assert main(words) == 0
    assert given == [((film,), tmp_path / "anna", 2.0)]
    shown = capsys.readouterr()
    assert shown.out == f"{tmp_path / 'anna'}\n{tmp_path / 'a.json'}\n"
    assert "31.5" in shown.err
    assert "mouth.lip_lmd" in shown.err
    figures = json.loads((tmp_path / "a.json").read_text())["figures"]
    assert (figures["before.face_psnr"], figures["face_psnr"], figures["steps"]) == (30.0, 31.5, 200)
    assert (figures["before.mouth.lip_lmd"], figures["mouth.lip_lmd"], figures["mouth.step"]) == (1.5, 1.25, 50)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Give at least one film"),
        (["film.mp4", "--minutes", "0"], "--minutes must be a number above 0"),
        (["film.mp4", "--minutes", "nan"], "--minutes must be a number above 0"),
        (["film.mp4"], "film.mp4 does not exist"),
    ],
)
def test_the_command_refuses_in_a_sentence(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["adapt", *words, "-o", str(tmp_path / "anna")]) in (2, 3)
    assert sentence in capsys.readouterr().err
