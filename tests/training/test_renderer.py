"""The renderer's training: batches, variations, and a run that stops and goes on."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from landmark_clips import talking_clip, write_clips
from lipsmith.config import build
from lipsmith.data.clips import PreparedClip, read_manifest
from lipsmith.errors import InputError, UsageError, WeightsError
from lipsmith.face.landmarks import NUM_POSE
from lipsmith.face.references import costs
from lipsmith.media import VideoWriter
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.network import Renderer
from lipsmith.release.card import model_card
from lipsmith.release.export import export, origin_of
from lipsmith.training.renderer.augment import augment
from lipsmith.training.renderer.config import LossWeights, RendererTraining
from lipsmith.training.renderer.sampler import (
    TRUE,
    Batch,
    Footage,
    Pictures,
    clip_weights,
    fixed_batches,
    moved_content,
)
from lipsmith.training.renderer.task import train_renderer
from lipsmith.training.run import save_weights
from lipsmith.training.state import load_checkpoint, save_checkpoint

SIZE = 32
SMALL = RendererTraining(
    model=RendererConfig(face_size=SIZE, top=12, full=4, fine=4, coarse=8, references=2, lips=2),
    weights=LossWeights(warped=0, content=0, style=0),
    steps=4,
    clips=2,
    targets=2,
    pool=3,
    warmup=1,
    gan_from=0.5,
    discriminator_channels=4,
    validate_every=2,
    checkpoint_minutes=0.0,
)


def crops(clip: PreparedClip) -> NDArray[np.uint8]:
    """Pictures whose brightness is the frame's number."""
    count = clip.record.frames
    images = np.full((count, SIZE, SIZE, 3), 40, np.uint8)
    images[:, SIZE // 2 :] = 3 * np.arange(count, dtype=np.uint8)[:, None, None, None]
    return images


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clips = [talking_clip(seed, f"p{seed}") for seed in range(2)] + [talking_clip(8, "v8", "val")]
    return prepared(tmp_path_factory.mktemp("prepared"), clips)


def prepared(root: Path, clips: list[PreparedClip]) -> Path:
    write_clips(root, clips)
    for clip in clips:
        with VideoWriter(root / f"{clip.record.clip}.mp4", SIZE, SIZE, 25.0) as film:
            for image, time in zip(crops(clip), clip.times, strict=True):
                film.write(image, float(time))
    return root


@pytest.fixture
def footage(data: Path) -> Footage:
    """Footage whose first point tells the frame's number within its clip."""
    footage = Footage(data, read_manifest(data, "train"), 2, torch.device("cpu"))
    footage.points[:, :, 0, 0] = torch.arange(60.0).repeat(2)
    return footage


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbers(pictures: Pictures) -> Tensor:
    return pictures.points[..., 0, 0]


def test_pool_and_lips_lie_on_the_other_side_of_the_cut(footage: Footage) -> None:
    sides = set()
    for seed in range(20):
        batch = footage.draw(replace(SMALL, clips=8), generator(seed))
        shown = torch.cat([numbers(batch.pool), numbers(batch.lips)], 1)
        wanted = numbers(batch.targets)
        before = shown.amax(1) < wanted.amin(1)
        assert (before | (shown.amin(1) > wanted.amax(1))).all()
        sides |= set(before.tolist())
    assert sides == {True, False}


def test_batches_have_the_shapes_they_name(footage: Footage) -> None:
    batch = footage.draw(SMALL, generator())
    assert batch.pool.images.shape == (2, 3, 3, SIZE, SIZE)
    assert batch.pool.sketches.shape == (2, 3, 1, SIZE, SIZE)
    assert batch.targets.sketches.shape == (2, 2, 5, SIZE, SIZE)
    assert batch.mel.shape == (2, 2, 1, 80, 16)
    assert batch.chosen.shape == (2, 2, 2)
    assert batch.targets.images.amax() <= 1


def test_pictures_are_the_frames_asked_for(footage: Footage) -> None:
    pictures = footage.pictures(torch.tensor([0, 20, 59]))
    brightness = pictures.images[:, :, SIZE // 2 + 4 :].mean((1, 2, 3)) * 255
    torch.testing.assert_close(brightness, torch.tensor([0.0, 60.0, 177.0]), atol=4, rtol=0)


def test_neighbours_end_with_the_clip(footage: Footage) -> None:
    first, second = footage.pictures(torch.tensor([59, 60]), TRUE, 1).sketches
    assert torch.equal(first[2], first[1])
    assert torch.equal(second[0], second[1])


def test_the_nearest_references_are_chosen(footage: Footage) -> None:
    batch = footage.draw(replace(SMALL, nearest_share=1.0, moved_share=0.0, pool=6), generator())
    # The first point, hundreds of crops away from one frame to the next, decides.
    apart = (numbers(batch.targets)[:, :, None] - numbers(batch.pool)[:, None]).abs()
    chosen = apart.gather(2, batch.chosen)
    for best, each in zip(chosen.flatten(0, 1), apart.flatten(0, 1), strict=True):
        assert (best.sort().values <= each.round().unique()[:2] + 1e-3).all()


def test_training_chooses_references_as_dubbing_does(footage: Footage) -> None:
    footage.still[:] = footage.still + 0.05 * torch.rand(footage.still.shape, generator=generator())
    footage.still[:, 1] += 1
    targets, pool = torch.tensor([[0, 25, 50]]), torch.arange(5, 45, 4)[None]
    points, still = footage.points[TRUE].numpy(), footage.still.numpy()
    ours = costs(points[targets[0]], points[pool[0]], still[targets[0]], still[pool[0]])
    np.testing.assert_allclose(footage.costs(targets, pool)[0].numpy(), ours, rtol=1e-3, atol=3e-3)


def test_no_reference_is_encoded_in_vain(footage: Footage) -> None:
    batch = footage.draw(replace(SMALL, pool=6, targets=3), generator())
    frames = numbers(batch.pool).gather(1, batch.chosen.flatten(1)).reshape(batch.chosen.shape)
    assert (frames.sort(dim=2).values.diff(dim=2) > 0.5).all()


def test_validation_takes_its_pool_from_the_first_half(data: Path) -> None:
    footage = Footage(data, read_manifest(data, "val"), 2, torch.device("cpu"))
    footage.points[:, :, 0, 0] = torch.arange(60.0)
    ((record, batch),) = fixed_batches(footage, SMALL)
    assert record.identity == "v8"
    assert numbers(batch.pool).max() < 30
    assert numbers(batch.targets).min() >= 35


def test_an_identity_weighs_as_the_root_of_its_footage() -> None:
    records = [talking_clip(0, "a", frames=90).record, talking_clip(1, "b", frames=10).record]
    weights = clip_weights(records)
    assert weights[0] / weights[1] == pytest.approx(3)
    assert weights.sum() == pytest.approx(1)


def test_moved_content_leaves_the_pose() -> None:
    points = talking_clip(0, "a").landmarks
    moved = moved_content(points, np.random.default_rng(0))
    np.testing.assert_array_equal(moved[:, :NUM_POSE], points[:, :NUM_POSE])
    assert 0.001 < np.abs(moved - points)[:, NUM_POSE:].mean() < 0.05


def marked(points: Tensor) -> Pictures:
    """Pictures with a spot where all their points are."""
    axis = (torch.arange(SIZE) + 0.5) / SIZE
    x, y = points[..., 0, None, None], points[..., 1, None, None]
    spot = torch.exp(-((axis - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * 0.06**2))
    return Pictures(
        images=0.8 * spot[..., None, :, :].expand(*points.shape[:2], 3, SIZE, SIZE),
        sketches=spot[..., None, :, :],
        points=points[..., None, :].expand(*points.shape[:2], 131, 2),
        still=points[..., None, :].expand(*points.shape[:2], 2, 2),
    )


@pytest.mark.parametrize("seed", range(4))
def test_points_move_as_pixels_do(seed: int) -> None:
    places = 0.35 + 0.3 * torch.rand(12, 2, 2, generator=generator(seed))
    pictures = marked(places)
    batch = Batch(pictures, pictures, pictures, torch.zeros(12, 2, 1, 80, 16), torch.zeros(12, 2, 1, dtype=torch.long))
    changed = augment(batch, generator(seed))
    axis = (torch.arange(SIZE) + 0.5) / SIZE
    for group in (changed.pool, changed.lips, changed.targets):
        drawn = group.sketches[:, :, 0]
        mass = drawn.sum((-2, -1))
        found = torch.stack([(drawn.sum(-2) * axis).sum(-1) / mass, (drawn.sum(-1) * axis).sum(-1) / mass], -1)
        torch.testing.assert_close(found, group.points[..., 0, :], atol=0.25 / SIZE, rtol=0)
        brightest = group.images[:, :, 1].flatten(2).argmax(-1)
        where = torch.stack([brightest % SIZE, brightest // SIZE], -1) / SIZE + 0.5 / SIZE
        torch.testing.assert_close(where, group.points[..., 0, :], atol=2 / SIZE, rtol=0)
        assert (group.points[..., 0, :] - places).abs().max() > 0.01


def test_most_clips_keep_their_pixels_or_are_mirrored() -> None:
    pictures = marked(0.35 + 0.3 * torch.rand(40, 2, 2, generator=generator()))
    batch = Batch(pictures, pictures, pictures, torch.zeros(40, 2, 1, 80, 16), torch.zeros(40, 2, 1, dtype=torch.long))
    changed = augment(batch, generator()).targets.sketches
    as_it_was, mirrored = (
        torch.isclose(changed, sketches, atol=1e-4).flatten(1).all(1)
        for sketches in (pictures.sketches, pictures.sketches.flip(-1))
    )
    assert as_it_was.any()
    assert mirrored.any()
    assert 0.4 < (as_it_was | mirrored).float().mean() < 0.8


def test_a_clips_pictures_are_varied_alike() -> None:
    places = torch.full((1, 6, 2), 0.4)
    pictures = marked(places)
    batch = Batch(pictures, pictures, pictures, torch.zeros(1, 6, 1, 80, 16), torch.zeros(1, 6, 1, dtype=torch.long))
    changed = augment(batch, generator(3))
    both = torch.cat([changed.pool.points, changed.targets.points], 1)[0, :, 0]
    assert both.std(0).max() < 0.02
    assert 0 <= changed.pool.images.amin() <= changed.pool.images.amax() <= 1


def test_stop_and_resume_is_as_not_stopping(data: Path, tmp_path: Path) -> None:
    whole = train_renderer(SMALL, data, tmp_path / "whole", device="cpu")
    validations = 0

    def stop(line: str) -> None:
        nonlocal validations
        validations += line.startswith("val at 4")
        if validations == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_renderer(SMALL, data, tmp_path / "stopped", device="cpu", report=stop)
    resumed = train_renderer(SMALL, data, tmp_path / "stopped", device="cpu")
    assert resumed == whole
    left, right = (load_file(tmp_path / name / "renderer.safetensors") for name in ("whole", "stopped"))
    assert left.keys() == right.keys()
    for name, weights in left.items():
        assert torch.equal(weights, right[name]), name


def test_a_pool_of_fewer_than_the_references_is_refused() -> None:
    assert replace(SMALL, pool=2).pool == 2
    with pytest.raises(UsageError, match="mine: pool = 2 is less than the 3 references"):
        build(RendererTraining, {"pool": 2}, "mine")


def test_the_last_step_is_validated_once_and_the_adversary_is_annealed_too(data: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    train_renderer(SMALL, data, tmp_path, device="cpu", report=lines.append)
    assert [line.partition(":")[0] for line in lines if line.startswith("val")] == ["val at 0", "val at 2", "val at 4"]
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    assert saved is not None
    ours, theirs = (state["param_groups"][0]["lr"] for state in (saved["optimizer"], saved["adversary"]["optimizer"]))
    assert theirs == ours < 0.2 * SMALL.learning_rate


def test_a_run_tells_what_it_began_with(data: Path, tmp_path: Path) -> None:
    def recorded(name: str) -> object:
        return json.loads((tmp_path / name / "renderer.json").read_text())["training"]["start"]

    train_renderer(replace(SMALL, steps=1), data, tmp_path / "first", device="cpu")
    assert recorded("first") is None
    first = str(tmp_path / "first")
    lines: list[str] = []
    train_renderer(replace(SMALL, steps=1), data, tmp_path / "second", device="cpu", start=first)
    assert recorded("second") == first
    saved = load_checkpoint(tmp_path / "second" / "checkpoint.pt")
    assert saved is not None
    save_checkpoint(tmp_path / "second" / "checkpoint.pt", saved | {"best": {}})
    train_renderer(SMALL, data, tmp_path / "second", device="cpu", start="nothing", report=lines.append)
    assert f"{tmp_path / 'second'} goes on from its checkpoint; the start nothing is not used" in lines
    assert recorded("second") == first


def begun(folder: Path, network: str, start: Path | str | None) -> Path:
    """A run whose card says that it began with `start`."""
    training = {"start": start and str(start)}
    save_weights(folder / network, {"a": torch.zeros(1)}, {"training": training, "validation": {}})
    return folder


def test_what_derives_from_a_model_owes_it_its_terms(tmp_path: Path) -> None:
    scratch = begun(tmp_path / "scratch", "landmarks", None)
    tuned = begun(tmp_path / "tuned", "renderer", begun(tmp_path / "first", "renderer", "fast"))
    assert origin_of(begun(tmp_path / "next", "landmarks", scratch), "landmarks") is None
    assert origin_of(tuned, "renderer") == "fast"
    assert origin_of(Path("models/mine"), "renderer") == "models/mine"
    circle = begun(tmp_path / "circle", "renderer", tmp_path / "circle")
    assert origin_of(circle, "renderer") == str(circle)
    with pytest.raises(UsageError, match="the model fast has terms of its own"):
        export(scratch, tuned, tmp_path / "model", "mine", data="", hardware="", licence=None)


@pytest.mark.parametrize("start", [None, "fast"])
def test_the_card_tells_what_a_run_began_with(start: str | None) -> None:
    of_landmarks, of_renderer = ({"training": {"start": begun}, "validation": {}} for begun in (None, start))
    card = model_card("mine", of_landmarks, of_renderer, data="", hardware="", licence="")
    assert ("| begun with | n/a | fast |" in card) == ("begun with" in card) == (start is not None)


def test_a_run_without_lips_from_when_it_had_their_encoder(data: Path, tmp_path: Path) -> None:
    model = SMALL.model.without(["lips"])
    config = replace(SMALL, model=model, steps=1, learning_rate=0.0)
    train_renderer(config, data, tmp_path / "new", device="cpu")
    new = load_file(tmp_path / "new" / "renderer.safetensors")
    surplus = {name: x for name, x in Renderer(SMALL.model).state_dict().items() if name.startswith("lip_encoder.")}
    assert not new.keys() & surplus.keys()
    save_weights(tmp_path / "old" / "renderer", new | surplus, {"training": {"model": asdict(model)}})
    train_renderer(config, data, tmp_path / "next", device="cpu", start=str(tmp_path / "old"))
    following = load_file(tmp_path / "next" / "renderer.safetensors")
    assert following.keys() == new.keys()
    assert all(torch.equal(weights, following[name]) for name, weights in new.items())
    saved = load_checkpoint(tmp_path / "new" / "checkpoint.pt")
    assert saved is not None
    save_checkpoint(tmp_path / "old" / "checkpoint.pt", saved | {"network": saved["network"] | surplus})
    with pytest.raises(UsageError, match="another architecture"):
        train_renderer(config, data, tmp_path / "old", device="cpu")


@pytest.mark.parametrize(("frames", "said"), [(15, "train has 16 frames"), (49, "val lasts 2 s")])
def test_footage_that_is_too_short_is_refused(frames: int, said: str, tmp_path: Path) -> None:
    clips = [talking_clip(0, "p0", "train", frames), talking_clip(1, "p1", "val", frames)]
    with pytest.raises(InputError, match=said):
        train_renderer(SMALL, prepared(tmp_path, clips), tmp_path / "run", device="cpu")


def test_a_new_schedule_starts_from_another_run(data: Path, tmp_path: Path) -> None:
    brief = replace(SMALL, steps=1)
    train_renderer(brief, data, tmp_path / "first", device="cpu")
    lines: list[str] = []
    still = replace(brief, learning_rate=0.0)
    train_renderer(still, data, tmp_path / "second", device="cpu", start=str(tmp_path / "first"), report=lines.append)
    assert "from step 0" in lines[0]
    first, second = (load_file(tmp_path / name / "renderer.safetensors") for name in ("first", "second"))
    assert all(torch.equal(weights, second[name]) for name, weights in first.items())
    without = replace(still, model=replace(still.model, audio="none"))
    train_renderer(without, data, tmp_path / "ablation", device="cpu", start=str(tmp_path / "first"))
    ablation = load_file(tmp_path / "ablation" / "renderer.safetensors")
    assert ablation.keys() == {name for name in first if not name.startswith("audio.")}
    assert all(torch.equal(weights, first[name]) for name, weights in ablation.items())
    grown = replace(still, model=replace(still.model, context=4))
    train_renderer(grown, data, tmp_path / "grown", device="cpu", start=str(tmp_path / "first"))
    larger = load_file(tmp_path / "grown" / "renderer.safetensors")
    assert {name for name in larger if "context" in name} == larger.keys() - first.keys() != set()
    assert all(torch.equal(weights, larger[name]) for name, weights in first.items())
    painter = replace(SMALL, train_only="decoder", weights=replace(SMALL.weights, aligned_pixel=0))
    train_renderer(painter, data, tmp_path / "painter", device="cpu", start=str(tmp_path / "first"))
    painted = load_file(tmp_path / "painter" / "renderer.safetensors")
    moved = {name.partition(".")[0] for name, weights in first.items() if not torch.equal(weights, painted[name])}
    assert "decoder" in moved
    assert moved.isdisjoint({"reference_encoder", "target_encoder", "alignment"})
    with pytest.raises(UsageError, match="train_only = 'decoder'"):
        train_renderer(brief, data, tmp_path / "painter", device="cpu")
    with pytest.raises(WeightsError, match="no model"):
        train_renderer(brief, data, tmp_path / "third", device="cpu", start=str(tmp_path / "none"))
    other = replace(brief, model=replace(brief.model, coarse=12))
    with pytest.raises(UsageError, match="another architecture"):
        train_renderer(other, data, tmp_path / "first", device="cpu")
    with pytest.raises(UsageError, match="another architecture"):
        train_renderer(other, data, tmp_path / "fourth", device="cpu", start=str(tmp_path / "first"))
