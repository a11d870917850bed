"""The lip-sync judge: network, losses, and a whole training on footage whose sync is known."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from lipsmith.data.clips import write_manifest
from lipsmith.errors import InputError, UsageError
from lipsmith.evaluation.metrics.lse import estimate_lags
from lipsmith.models.sync.syncnet import SyncNet, SyncNetConfig, distances, windows
from lipsmith.training.losses.sync import batch_loss, curve, shift_loss, shifts, stretch_loss
from lipsmith.training.sync import task as sync
from lipsmith.training.sync.augment import augment_mel, augment_mouths
from lipsmith.training.sync.sampler import Stretches, SyncFootage, balanced, mel_start
from lipsmith.training.sync.task import SyncConfig, train
from sync_clips import write_clips

SMALL = SyncNetConfig(height=16, width=32, mouth_widths=(4, 8), mel_widths=(4, 8), blocks=1, embedding=8, dropout=0.0)


def test_embeddings_lie_on_the_unit_sphere() -> None:
    net = SyncNet(SMALL).eval()
    with torch.no_grad():
        mouth, speech = net(torch.rand(3, 5, 3, 16, 32), torch.rand(2, 1, 80, 16) * 8 - 4)
    assert mouth.shape == (3, 8)
    assert speech.shape == (2, 8)
    torch.testing.assert_close(mouth.norm(dim=1), torch.ones(3))
    assert 0 <= float(distances(mouth[:2], speech).min()) <= float(distances(mouth[:2], speech).max()) <= 2


def test_the_judge_sees_the_lower_half_alone() -> None:
    net = SyncNet(SMALL).eval()
    crops = torch.rand(5, 3, 64, 64)
    changed = crops.clone()
    changed[:, :, :32] = 0
    torch.testing.assert_close(net.mouths(crops), net.mouths(changed))


def test_windows_are_centred() -> None:
    frames = torch.arange(7.0).reshape(7, 1, 1, 1).expand(7, 3, 2, 2)
    assert windows(frames)[1, :, 0, 0, 0].tolist() == [1, 2, 3, 4, 5]


def test_shifts_count_frames_from_the_window_in_step() -> None:
    assert shifts(2, 4, torch.device("cpu")).tolist() == [[-1, 0, 1, 2], [-2, -1, 0, 1]]


def test_curve_is_the_mean_along_diagonals() -> None:
    similarity = torch.arange(8.0).reshape(1, 2, 4)
    mean, count = curve(similarity, torch.ones(1, 4, dtype=torch.bool), 1)
    assert mean.tolist() == [[(0 + 5) / 2, (1 + 6) / 2, (2 + 7) / 2]]
    assert count.tolist() == [[2, 2, 2]]


@pytest.mark.parametrize("lag", [0, 3])
def test_losses_are_least_in_sync(lag: int) -> None:
    """A judge that is certain of the truth has no loss; one that is certain of another moment has much."""
    mouth = torch.eye(30)[:20][None]
    speech = torch.eye(30)[(torch.arange(-5, 25) + lag).clamp(0, 29)][None]
    valid = torch.ones(1, 30, dtype=torch.bool)
    valid[0, :5] = False
    scale = torch.tensor(30.0)
    loss = float(stretch_loss(mouth @ speech.mT, valid, scale, 1) + shift_loss(mouth @ speech.mT, valid, scale, 5, 1))
    assert loss < 1e-6 if lag == 0 else loss > 10


def test_batch_loss_by_hand() -> None:
    """Two orthogonal pairs at scale log 3: each row is (3, 1) / 4."""
    pairs = torch.eye(2)
    assert float(batch_loss(pairs, pairs, torch.log(torch.tensor(3.0)))) == pytest.approx(np.log(4 / 3), abs=1e-6)


def test_frame_zero_of_the_mel_windows_is_the_conventions() -> None:
    """At 25 fps the window of frame i starts at step 80 (i - 2) / 25."""
    assert mel_start(torch.tensor([2, 3, 7])).tolist() == [0, 3, 16]


def test_sampling_is_balanced_by_the_root_of_the_footage() -> None:
    weights = balanced(np.array([0, 0, 1]), np.array([50, 50, 25]))
    np.testing.assert_allclose(weights, [1 / 3, 1 / 3, 1 / 3])


def test_augmentation_keeps_shapes_and_ranges() -> None:
    generator = torch.Generator().manual_seed(1)
    frames = augment_mouths(torch.rand(3, 6, 3, 16, 32), (12, 24), generator)
    mel = augment_mel(torch.rand(3, 4, 80, 16) * 8 - 4, generator)
    assert frames.shape == (3, 6, 3, 12, 24)
    assert mel.shape == (3, 4, 80, 16)
    assert 0 <= float(frames.min()) <= float(frames.max()) <= 1
    assert -4 <= float(mel.min()) <= float(mel.max()) <= 4


def test_lags_of_short_clips_lean_on_their_identity() -> None:
    """Two long clips say 2 late; a short one of the same person that prefers 4 is overruled, a stranger's is not."""
    grid = np.arange(-6, 7)
    late = np.abs(grid - 2).astype(np.float32)
    odd = np.minimum(late, 3 * np.abs(grid - 4)).astype(np.float32) - 0.01 * (grid == 4)
    clips = [np.tile(late, (200, 1)), np.tile(late, (200, 1)), np.tile(odd, (5, 1)), np.tile(np.abs(grid), (5, 1))]
    lags = estimate_lags([clip.astype(np.float32) for clip in clips], np.array([0, 0, 0, 1]))
    assert lags.tolist() == [2, 2, 2, 0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("clips")
    write_clips(root, {"train": [0] * 8 + [4], "val": [0] * 3})
    config = SyncConfig(
        model=SMALL,
        steps=80,
        batch=6,
        length=12,
        margin=6,
        learning_rate=1e-2,
        warmup=5,
        ema=0.9,
        realign=(0.7,),
        validate_every=40,
    )
    torch.manual_seed(0)
    train(config, root, root / "run", device="cpu")
    return root, root / "run"


def test_training_learns_what_is_in_sync(trained: tuple[Path, Path]) -> None:
    _, run = trained
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["sync_accuracy"] > 0.9
    assert (run / "sync" / "model.safetensors").is_file()


def test_training_finds_the_clip_that_is_off(trained: tuple[Path, Path]) -> None:
    _, run = trained
    offsets = json.loads((run / "offsets.json").read_text())
    assert abs(offsets["train/p8/c8"] * 25 - 4) <= 1
    assert sum(abs(offsets[f"train/p{i}/c{i}"]) * 25 <= 1 for i in range(8)) == 8


def test_a_finished_run_is_not_trained_again(trained: tuple[Path, Path]) -> None:
    root, run = trained
    before = (run / "log.jsonl").read_text()
    train(SyncConfig(model=SMALL, steps=80, length=12), root, run, device="cpu")
    assert (run / "log.jsonl").read_text() == before


BRIEF = SyncConfig(model=SMALL, steps=3, batch=2, length=12, margin=6, realign=(), validate_every=2)


def test_a_run_goes_on_with_its_own_clips_and_network_alone(tmp_path: Path) -> None:
    write_clips(tmp_path / "one", {"train": [0, 0], "val": [0]})
    write_clips(tmp_path / "other", {"train": [0, 0, 0], "val": [0]})
    run = tmp_path / "run"
    train(BRIEF, tmp_path / "one", run, device="cpu")
    train(replace(BRIEF, steps=5), tmp_path / "one", run, device="cpu")
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 3, 4, 5]
    with pytest.raises(UsageError, match=f"{run} is a run on other clips"):
        train(BRIEF, tmp_path / "other", run, device="cpu")
    with pytest.raises(UsageError, match=f"{run} is of a network of other sizes"):
        train(replace(BRIEF, model=replace(SMALL, embedding=4)), tmp_path / "one", run, device="cpu")


class Second(Fabric):
    """The second of several processes, as it sees itself."""

    global_rank = 1
    is_global_zero = False


def test_the_second_process_draws_its_own_and_leaves_the_word_to_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sync, "make_fabric", lambda device: Second(accelerator=device, devices=1))
    draws: list[int] = []
    sample = SyncFootage.sample

    def watched(footage: SyncFootage, count: int, length: int, margin: int, generator: torch.Generator) -> Stretches:
        draws.append(generator.initial_seed())
        return sample(footage, count, length, margin, generator)

    monkeypatch.setattr(SyncFootage, "sample", watched)
    write_clips(tmp_path / "data", {"train": [0], "val": [0]})
    told: list[int] = []
    with caplog.at_level(logging.INFO, "lipsmith"):
        train(
            replace(BRIEF, realign=(0.3,)),
            tmp_path / "data",
            tmp_path / "run",
            device="cpu",
            progress=lambda done, total: told.append(done),
        )
    assert draws == [BRIEF.seed + 1] * 3
    assert list((tmp_path / "run").iterdir()) == told == caplog.messages == []


@pytest.mark.parametrize(("train_frames", "said"), [(16, "'train' lasts 1.0 s"), (30, "'val' lasts 1.0 s")])
def test_footage_that_is_too_short_is_refused(train_frames: int, said: str, tmp_path: Path) -> None:
    records = write_clips(tmp_path, {"train": [0]}, train_frames) + write_clips(tmp_path, {"val": [0]}, 16)
    write_manifest(tmp_path, records)
    with pytest.raises(InputError, match=said):
        train(SyncConfig(model=SMALL), tmp_path, tmp_path / "run", device="cpu")


def test_clips_are_seen_in_pieces_and_never_across_each_other(
    trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    footage = SyncFootage(trained[0], "train", torch.device("cpu"), 16)
    net = SyncNet(replace(SMALL, height=footage.mouths.shape[1], width=footage.mouths.shape[2])).eval()
    pictures = (footage.mouths / 255).movedim(-1, 1).split(footage.frames.tolist())
    looked: list[int] = []
    net.mouth.register_forward_pre_hook(lambda _, given: looked.append(len(given[0])))
    with torch.no_grad():
        expected = torch.cat([net.mouth(windows(clip)) for clip in pictures])
        looked.clear()
        monkeypatch.setattr(sync, "_MOUTHS", 7)
        found = sync._mouth_embeddings(net, footage)
    torch.testing.assert_close(found, expected)
    assert max(looked) == 7


def test_speech_outside_the_clip_is_marked(trained: tuple[Path, Path]) -> None:
    root, _ = trained
    footage = SyncFootage(root, "val", torch.device("cpu"), 16)
    _, valid = footage.speech(torch.tensor([0]), torch.tensor([[1, 2, 30, 47, 48]]))
    assert valid.tolist() == [[False, True, True, True, False]]
