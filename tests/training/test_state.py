"""What every training shares: checkpoints, the clock, averaged weights."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lipsmith.training import state
from lipsmith.training.run import save_weights
from lipsmith.training.state import (
    Ema,
    Meter,
    Schedule,
    load_checkpoint,
    rng_state,
    save_checkpoint,
    set_rng_state,
)


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "run" / "checkpoint.pt"
    assert load_checkpoint(path) is None
    save_checkpoint(path, {"step": 3, "weights": {"a": torch.arange(3.0)}})
    saved = load_checkpoint(path)
    assert saved is not None
    assert saved["step"] == 3
    assert saved["weights"]["a"].tolist() == [0, 1, 2]
    assert [item.name for item in path.parent.iterdir()] == ["checkpoint.pt"]


def test_an_interrupted_save_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 1})

    def half(_: object, target: Path) -> None:
        target.write_bytes(b"half of a")
        raise KeyboardInterrupt

    monkeypatch.setattr(state.torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, {"step": 2})
    assert load_checkpoint(path) == {"step": 1}


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_weights_may_be_read_by_whom_the_umask_lets(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        save_weights(tmp_path / "renderer", {"a": torch.arange(3.0)}, {})
    finally:
        os.umask(before)
    path = tmp_path / "renderer.safetensors"
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    assert load_file(path)["a"].tolist() == [0, 1, 2]


class Clock:
    """Stands in for the `time` module: seconds pass when told."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr(state, "time", stopped)
    return stopped


def test_by_steps_the_rate_warms_up_and_falls_to_a_hundredth(clock: Clock) -> None:
    schedule = Schedule(100, warmup=4)
    assert schedule.scale(0) == pytest.approx(1 / 5)
    assert schedule.scale(50) == pytest.approx(0.01 + 0.99 / 2)
    assert schedule.scale(100) == pytest.approx(0.01)
    assert not schedule.done(99)
    assert schedule.done(100)
    clock.now += 1e6
    assert not schedule.done(99)


def test_by_minutes_the_nearer_limit_rules(clock: Clock) -> None:
    schedule = Schedule(100, minutes=10)
    clock.now += 150
    assert schedule.progress(0) == pytest.approx(0.25)
    assert schedule.progress(60) == pytest.approx(0.6)
    assert schedule.scale(0) == pytest.approx(0.01 + 0.99 * (1 + math.cos(math.pi / 4)) / 2)
    clock.now += 450
    assert schedule.done(0)


def test_minutes_spent_before_a_resume_count(clock: Clock) -> None:
    first = Schedule(100, minutes=10)
    clock.now += 180
    saved = first.state_dict()
    clock.now += 10_000
    second = Schedule(100, minutes=10)
    second.load_state_dict(saved)
    clock.now += 60
    assert second.elapsed == pytest.approx(4)


def weights(value: float) -> torch.nn.Module:
    module = torch.nn.BatchNorm1d(1)
    torch.nn.init.constant_(module.weight, value)
    module.num_batches_tracked.fill_(int(value))
    return module


def test_the_average_follows_fast_at_first_and_copies_whole_numbers() -> None:
    ema = Ema(weights(0.0), decay=0.5)
    ema.update(weights(11.0))
    # The rate is 1 - 2 / 11 at the first update, then no less than 1 - decay.
    assert ema.weights["weight"].item() == pytest.approx(9.0)
    assert ema.weights["num_batches_tracked"].item() == 11
    for _ in range(100):
        ema.update(weights(4.0))
    assert ema.weights["weight"].item() == pytest.approx(4.0)
    ema.update(weights(6.0))
    assert ema.weights["weight"].item() == pytest.approx(5.0)


def test_a_resumed_average_goes_on_the_same() -> None:
    first, second = Ema(weights(0.0), 0.9), Ema(weights(3.0), 0.9)
    first.update(weights(1.0))
    second.load_state_dict(first.state_dict())
    for ema in (first, second):
        ema.update(weights(2.0))
    assert second.weights["weight"].item() == first.weights["weight"].item()
    assert second.updates == 2


def test_random_numbers_go_on_where_they_were() -> None:
    generator = torch.Generator().manual_seed(3)
    saved = rng_state(generator)
    drawn = torch.rand(2, generator=generator), torch.rand(2)
    set_rng_state(generator, saved)
    again = torch.rand(2, generator=generator), torch.rand(2)
    assert all(torch.equal(a, b) for a, b in zip(drawn, again, strict=True))


def test_the_meter_tells_samples_a_second_and_the_share_of_data(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 1.0, 2.0, 4.0, 4.0, 9.0, 9.0])
    monkeypatch.setattr(state.time, "perf_counter", lambda: next(ticks))
    meter = Meter(torch.device("cpu"))
    with meter.data():
        pass
    meter.add(8)
    assert meter.read() == pytest.approx((2.0, 0.25))
    assert meter.read() == pytest.approx((0.0, 0.0))
