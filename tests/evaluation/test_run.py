"""Protocols, baselines, models as systems, and a complete evaluation on public footage."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from double import CONFIG, Double, Floats
from lipsmith.cli import main
from lipsmith.cli.results import read_figures
from lipsmith.data.clips import ClipRecord, PreparedClip, load_clip, read_manifest
from lipsmith.data.prepare import prepare
from lipsmith.errors import InputError, UsageError
from lipsmith.evaluation.baselines import Copy, Mean, Warp, landmark_flow, under, warp
from lipsmith.evaluation.metrics.judge import OwnJudge
from lipsmith.evaluation.model_system import ModelSystem, _others
from lipsmith.evaluation.protocols import choose_frames
from lipsmith.evaluation.run import Evaluation, Plan, evaluate, flat_figures
from lipsmith.evaluation.run_systems import RunSystem
from lipsmith.evaluation.scoring import Networks, Scorer, load_networks
from lipsmith.evaluation.systems import REAL, ReconstructionTask, System
from lipsmith.face import FaceMesh
from lipsmith.face.crop import still_points
from lipsmith.face.landmarks import NUM_POSE
from lipsmith.face.references import choose_landmarks
from lipsmith.inference.speak import driven
from lipsmith.models.sync.syncnet import SyncNet, SyncNetConfig
from synthetic import Motion, make_film, speech

SIZE = 64


def clip(frames: int = 60, fps: float = 25.0, seed: int = 0) -> PreparedClip:
    random = np.random.default_rng(seed)
    record = ClipRecord("test/a/a1", "test", "a", "made", frames, fps, frames / fps, 1.0)
    base = random.uniform(0.1, 0.9, (131, 2))
    points = base + random.normal(0, 0.01, (frames, 1, 2)) + random.normal(0, 0.01, (frames, 131, 2))
    images = random.integers(0, 256, (frames, SIZE, SIZE, 3), dtype=np.uint8)
    return PreparedClip(
        record=record,
        images=images,
        landmarks=points.astype(np.float32),
        transforms=np.tile(0.01 * np.eye(2, 3, dtype=np.float32), (frames, 1, 1)),
        times=np.arange(frames) / fps,
        tracked=np.ones(frames, bool),
        mel=np.zeros((80, round(80 * frames / fps)), np.float32),
    )


def task(source: PreparedClip, protocol: str = "strict") -> ReconstructionTask:
    asked = choose_frames(source, protocol)  # type: ignore[arg-type]
    assert asked is not None
    assert source.images is not None
    upper = source.images[asked.targets].copy()
    upper[:, SIZE // 2 :] = 0
    mel = np.zeros((len(upper), 80, 16), np.float32)
    points = source.landmarks[asked.targets]
    return ReconstructionTask(
        "a",
        source.images,
        source.landmarks,
        still_points(source.transforms),
        asked.targets,
        upper,
        points,
        False,
        mel,
        source.mel,
        source.times[asked.targets],
        asked.allowed,
        asked.pool,
    )


@pytest.mark.parametrize("system", [Copy(), Mean(), Warp()])
@pytest.mark.parametrize("protocol", ["strict", "paper"])
def test_baselines_keep_the_upper_half_and_never_see_the_target(system: Copy, protocol: str) -> None:
    asked = task(clip(), protocol)
    made = system.reconstruct(asked)
    half = SIZE // 2
    np.testing.assert_array_equal(made[:, :half], asked.upper[:, :half])
    other = asked.images.copy()
    place = 3
    other[asked.targets[place]] = 0
    again = system.reconstruct(replace(asked, images=other))
    np.testing.assert_array_equal(again[place], made[place])


def test_copy_selects_the_frame_with_the_same_shape() -> None:
    source = clip()
    source.landmarks[50] = source.landmarks[7]
    asked = task(source)
    made = Copy().reconstruct(asked)
    assert source.images is not None
    np.testing.assert_array_equal(
        made[asked.targets == 50][0], under(asked.upper[asked.targets == 50][0], source.images[7])
    )


def test_the_flow_of_a_moved_face_equals_its_motion() -> None:
    points = clip().landmarks[0]
    flow = landmark_flow(points, points + np.array([0.125, 0], np.float32))
    np.testing.assert_allclose(flow[..., 0], 0.125, atol=1e-5)
    np.testing.assert_allclose(flow[..., 1], 0, atol=1e-6)
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    np.testing.assert_allclose(warp(image, flow)[:, :-8], image[:, 8:], atol=0.51)


def test_zero_flow_is_the_identity() -> None:
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    np.testing.assert_array_equal(warp(image, np.zeros((32, 32, 2), np.float32)), image)


def test_a_model_never_sees_the_target_among_its_references() -> None:
    asked = task(clip(), "paper")
    made = ModelSystem("double", Double(), CONFIG).reconstruct(asked)
    assert made.shape == asked.upper.shape
    place = int(np.flatnonzero(np.isin(asked.targets, asked.pool))[0])
    other = asked.images.copy()
    other[asked.targets[place]] = 0
    again = ModelSystem("double", Double(), CONFIG).reconstruct(replace(asked, images=other))
    np.testing.assert_array_equal(again[place], made[place])


def test_targets_in_a_small_pool_get_one_reference_less() -> None:
    asked = task(clip(), "paper")
    asked = replace(asked, pool=asked.pool[:3])
    cost_of = _others(asked, asked.pool, 3)
    own = asked.pool[cost_of] == asked.targets[:, None]
    assert cost_of.shape == (len(asked.targets), 2)
    assert not own.any()
    assert _others(asked, asked.pool[:1], 1).shape == (len(asked.targets), 1)


def test_the_number_of_references_is_the_models_or_the_requested_one() -> None:
    few = Double()
    ModelSystem("few", few, CONFIG, references=2, lips=1).reconstruct(task(clip()))
    assert few.calls["reference"] == 2
    assert few.calls["lip"] == 1
    usual = Double()
    asked = task(clip())
    ModelSystem("usual", usual, CONFIG).reconstruct(asked)
    assert usual.calls["reference"] == len(asked.pool)
    assert usual.calls["lip"] == 5


def test_drive_applies_to_predicted_points_only() -> None:
    class Drawn(Double):
        points: Floats

        def _align(self, known: Floats, moving: Floats, **others: Floats) -> tuple[Floats, ...]:
            self.points = others.pop("points")
            return super()._align(known, moving, **others)

    backend, asked = Drawn(), task(clip())
    model = ModelSystem("driven", backend, replace(CONFIG, drive=1.5))
    model.reconstruct(asked)
    last = asked.points[-len(backend.points) :]
    np.testing.assert_array_equal(backend.points, last)
    model.reconstruct(replace(asked, predicted=True))
    known = asked.landmarks[asked.allowed]
    np.testing.assert_array_equal(backend.points[:, :NUM_POSE], last[:, :NUM_POSE])
    expected = driven(last, known[choose_landmarks(known)], 1.5)
    np.testing.assert_allclose(backend.points[:, NUM_POSE:], expected, atol=1e-6)


def test_predicted_landmarks_need_a_model_that_predicts_them() -> None:
    with pytest.raises(UsageError, match="a run of `train renderer` does not: give the name or folder"):
        Plan(Path(), ["test"], "cross", "true", None)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two prepared clips of the demo's face, labeled as two people."""
    root = tmp_path_factory.mktemp("evaluate")
    for name, motion in (("anna", Motion(turn=4)), ("bert", Motion(shift=0.03))):
        folder = root / "source" / "test" / name
        folder.mkdir(parents=True)
        make_film(folder / f"{name}_1.mp4", 2.0, motion=motion, audio=speech(2.0))
    prepare([root / "source"], root / "data", side=SIZE, workers=1)
    return root / "data"


@pytest.fixture
def networks() -> Networks:
    small = SyncNetConfig(height=16, width=32, mouth_widths=(4, 8), mel_widths=(4, 8), blocks=1, embedding=8)
    return Networks(FaceMesh(), None, None, None, OwnJudge(SyncNet(small)), {})


class Perfect:
    """A system that returns the truth."""

    name = "perfect"

    def __init__(self, truth: dict[int, NDArray[np.uint8]]) -> None:
        self.truth = truth

    def reconstruct(self, asked: ReconstructionTask) -> NDArray[np.uint8]:
        shown = [asked.images[asked.targets], asked.upper]
        assert not np.any([crops[:, SIZE // 2 :] for crops in shown]), "a target's mouth has leaked"
        return self.truth[int(asked.images[0].sum())]


def test_an_evaluation_reports_all_figures(data: Path, networks: Networks) -> None:
    truth = {}
    for record in read_manifest(data, "test"):
        source = load_clip(data, record)
        asked = choose_frames(source, "strict")
        assert asked is not None
        assert source.images is not None
        truth[int(source.images[0].sum())] = source.images[asked.targets]
    systems: list[System] = [Mean(), Perfect(truth), ModelSystem("double", Double(), CONFIG)]
    late = {record.clip: [("m", 0.1), ("m", record.seconds - 0.3)] for record in read_manifest(data, "test")}
    found = evaluate(Plan(data, ["test"], "strict", "true", None, phonemes=late), systems, Scorer(networks))
    perfect = found.totals["perfect"]
    assert perfect["psnr"] == pytest.approx(10 * np.log10(255**2 * SIZE * SIZE * 3))
    assert perfect["ssim"] == pytest.approx(1)
    assert perfect["lip_lmd"] == 0
    assert perfect["sharpness"] == 1
    assert perfect["lse_d"] == found.totals[REAL]["lse_d"]
    assert found.totals["mean"]["psnr"] < 60
    assert found.totals["mean"]["lip_lmd"] > 0
    assert len(found.rows) == 2 * 4
    assert perfect["closure"] == found.totals[REAL]["closure"]
    assert {row["closure_events"] for row in found.rows} == {1}  # the first half is not rebuilt
    figures = flat_figures(found, "double")
    assert {"psnr", "mean.psnr", "real.lse_d"} <= figures.keys()


def test_a_clip_whose_film_cannot_be_measured_is_left_out_for_all_systems(
    data: Path, networks: Networks, caplog: pytest.LogCaptureFixture
) -> None:
    class Faceless:
        name = "faceless"

        def __init__(self, *clips: str) -> None:
            self._clips = clips

        def reconstruct(self, asked: ReconstructionTask) -> NDArray[np.uint8]:
            if asked.clip in self._clips:
                raise InputError("a.mp4: no face is visible")
            return asked.upper

    first, second = (record.clip for record in read_manifest(data, "test"))
    plan, scorer = Plan(data, ["test"], "strict", "true", None), Scorer(networks)
    found = evaluate(plan, [Faceless(first)], scorer)
    assert [row["clip"] for row in found.rows] == [second] * 2
    assert caplog.messages == [f"{first} is left out for all systems: a.mp4: no face is visible"]
    with pytest.raises(InputError):
        evaluate(plan, [Faceless(first, second)], scorer)


def test_a_damaged_clip_is_left_out_and_named(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(data, tmp_path / "data")
    first, second = (record.clip for record in read_manifest(data, "test"))
    (tmp_path / "data" / f"{second}.npz").write_bytes(b"damaged")
    plan = Plan(tmp_path / "data", ["test"], "strict", "true", None)
    found = evaluate(plan, [Mean()], Scorer(Networks(FaceMesh(), None, None, None, None, {})))
    assert {row["clip"] for row in found.rows} == {first}
    (message,) = caplog.messages
    assert message.startswith(f"{second} is left out for all systems: ")


def test_cross_driven_uses_other_speech_and_omits_figures_that_need_the_truth(data: Path, networks: Networks) -> None:
    model = ModelSystem("double", Double(), CONFIG)
    first, second = (record.clip for record in read_manifest(data, "test"))
    said = {first: [("m", 0.2)], second: [("b", 0.2), ("p", 0.4)]}
    found = evaluate(Plan(data, ["test"], "cross", "predicted", model, None, said), [model], Scorer(networks))
    assert {"lse_d", "jitter", "sharpness"} <= found.totals["double"].keys()
    assert not {"psnr", "ssim", "lip_lmd"} & found.totals["double"].keys()
    events = {row["clip"]: row["closure_events"] for row in found.rows if row["system"] == "double"}
    assert events == {first: 2, second: 1}


@pytest.mark.parametrize(
    ("side", "size", "sentence"),
    [
        (128, 64, "The clips are 64 pixels wide: give a side of 64 or less, or prepare the footage with one of 128"),
        (32, 64, "measured at 32 pixels, but the model large needs 64; give a side of 64 or more"),
        (32, 128, "measured at 32 pixels, but the model large needs 128; prepare the footage with a side of 128"),
        (None, 128, "measured at 64 pixels, but the model large needs 128; prepare the footage with a side of 128"),
    ],
)
def test_sides_that_do_not_fit_are_refused_before_the_work(
    side: int | None, size: int, sentence: str, data: Path, networks: Networks
) -> None:
    model = ModelSystem("large", Double(), replace(CONFIG, face_size=size))
    for system in (model, RunSystem("large", model, 0)):
        with pytest.raises(UsageError, match=sentence):
            evaluate(Plan(data, ["test"], "strict", "true", None, side), [system], Scorer(networks))


def test_missing_networks_omit_only_their_own_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSMITH_HOME", str(tmp_path))
    found = load_networks("syncnet_v2")
    assert (found.lpips_alex, found.lpips_vgg, found.recognizer, found.judge) == (None,) * 4
    assert found.missing.keys() == {"lpips_alex", "lpips_vgg", "csim", "lse_d"}


def test_the_command_writes_figures_and_a_report(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIPSMITH_HOME", str(tmp_path))
    for name in ("hama", "hama.asr"):
        monkeypatch.setitem(sys.modules, name, None)
    results, page = tmp_path / "r.json", tmp_path / "r.html"
    films = data.parent / "source"
    (films / "about.txt").write_text("The films <themselves>,\nwithout training.\n\nMore on them.\n")
    words = ["evaluate", str(data), "--json", str(results), "--markdown", str(tmp_path / "r.md")]
    words += ["--outputs", f"theirs={films}"]
    assert main([*words, "--strips", str(tmp_path / "strips")]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(results), str(tmp_path / "r.md")]
    assert "Not measured" in printed.err
    assert "lpips_alexnet.safetensors" in printed.err
    found = read_figures(results)
    assert (found.figures["clips"], found.settings["sample"]) == (2, "2 clips of 2 people")
    assert {"copy.psnr", "warp.ssim", "mean.lip_lmd"} <= found.figures.keys()
    assert found.figures["theirs.psnr"] > 36  # all that the clips' encoding has left
    assert {"theirs.fps", "theirs.obedience.width_rest"}.isdisjoint(found.figures)  # it was not generated here
    assert "warp.obedience.width_rest" in found.figures
    assert found.settings["systems"] == ["real", "copy", "mean", "warp", "theirs"]
    assert {"lpips_alex", "closure"} <= found.settings["missing"].keys()
    assert main(["report", str(results), "-o", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,") == 2  # each clip once
    assert "://" not in text.replace("https://github.com", "").replace("https://www.robots", "")
    assert "<script" not in text
    assert "<dt>theirs</dt><dd>Films in source. The films &lt;themselves&gt;, without training.</dd>" in text
    assert main(["report", str(results), "-o", str(page)]) == 2
    assert main(["evaluate", str(data), "--strips", str(tmp_path / "strips")]) == 2
    (tmp_path / "strips").rename(tmp_path / "moved")
    assert main(["report", str(results), "-o", str(page), "--overwrite"]) == 0
    assert "They are no longer in" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("option", ["--markdown", "--latex"])
def test_a_full_disk_keeps_the_old_table(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(path: Path, text: str, encoding: str) -> None:
        path.write_bytes(text.encode(encoding)[:9])
        raise OSError(28, "No space left on device")

    settings = {"plain": "", "missing": {}, "landmarks": "true"}
    figures = Evaluation([], {"copy": {"psnr": 27.0}}, {})
    monkeypatch.setattr("lipsmith.cli.evaluate._evaluate", lambda options: (figures, settings))
    monkeypatch.setattr(Path, "write_text", half)
    (tmp_path / "table").write_bytes(b"old")
    assert main(["evaluate", "clips", option, str(tmp_path / "table"), "--overwrite"]) == 1
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize(
    "words",
    [
        ("--variant", "real=models/a"),
        ("--variant", "copy=models/a"),
        ("--model", "fast", "--variant", "fast=models/a"),
        ("--variant", "a=models/a", "a=models/b"),
        ("--model", "fast", "--table", "2", "--variant", "a=models/a"),
        ("--outputs", "real=films", "--variant", "b=models/b"),
        ("--variant", "a=models/a", "--outputs", "a=films"),
    ],
)
def test_systems_have_unique_names(data: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(data), *words]) == 2
    assert "--variant" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--judge", "syncnet_v2"), "lipsmith score"),
        (("--protocol", "cross"), "need a model"),
        (("--protocol", "cross", "--model", "fast", "--outputs", "a=films"), "lipsmith score"),
        *((("--outputs", value), "NAME=FOLDER") for value in ("films", "=films", "a=")),
        (("--variant", "face=models/a", "--outputs", "mouth=films"), "The figures of a region are named face"),
        (("--landmarks", "predicted"), "need a model"),
        (("--side", "0"), "--side 0 is not between 32 and 1024"),
        (("--table", "2"), "--table 2 varies a model's references"),
    ],
)
def test_unmeasurable_requests_are_refused_before_networks_load(
    words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipsmith.cli.evaluate._evaluate", lambda options: pytest.fail("it went on"))
    assert main(["evaluate", "clips", *words]) == 2
    assert sentence in capsys.readouterr().err


def test_a_run_as_the_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for ending in (".json", ".safetensors"):
        (tmp_path / f"renderer{ending}").touch()
    assert main(["evaluate", "clips", "--model", str(tmp_path)]) == 2
    assert f"--variant NAME={tmp_path}" in capsys.readouterr().err
