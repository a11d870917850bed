"""The learning rate's schedule, averaged weights, and gradients that overflow."""

from __future__ import annotations

import math

import pytest
import torch

from lipsmith.training import schedule as module
from lipsmith.training.schedule import Ema, Schedule, drop_nonfinite_gradients


class Clock:
    """Replaces the `time` module by a clock that the test advances."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr(module, "time", stopped)
    return stopped


def test_by_steps_the_rate_warms_up_and_decays_to_a_hundredth(clock: Clock) -> None:
    schedule = Schedule(100, warmup=4)
    assert schedule.scale(0, schedule.progress(0)) == pytest.approx(1 / 5)
    assert schedule.scale(50, schedule.progress(50)) == pytest.approx(0.01 + 0.99 / 2)
    assert schedule.scale(100, schedule.progress(100)) == pytest.approx(0.01)
    assert schedule.progress(99) < 1
    assert schedule.progress(100) == 1
    clock.now += 1e6
    assert schedule.progress(99) < 1


def test_by_minutes_the_earlier_limit_applies(clock: Clock) -> None:
    schedule = Schedule(100, minutes=10)
    clock.now += 150
    assert schedule.progress(0) == pytest.approx(0.25)
    assert schedule.progress(60) == pytest.approx(0.6)
    assert schedule.scale(0, schedule.progress(0)) == pytest.approx(0.01 + 0.99 * (1 + math.cos(math.pi / 4)) / 2)
    clock.now += 450
    assert schedule.progress(0) == 1


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
    module.register_buffer("num_batches_tracked", torch.tensor(int(value)))
    return module


def average(ema: Ema) -> float:
    return float(ema.module.state_dict()["weight"])


def test_the_average_adapts_fast_at_first_and_copies_integers() -> None:
    ema = Ema(weights(0.0), decay=0.5)
    ema.update(weights(11.0))
    # The rate is 1 - 2 / 11 at the first update, then no less than 1 - decay.
    assert average(ema) == pytest.approx(9.0)
    assert ema.module.state_dict()["num_batches_tracked"] == 11
    for _ in range(100):
        ema.update(weights(4.0))
    assert average(ema) == pytest.approx(4.0)
    ema.update(weights(6.0))
    assert average(ema) == pytest.approx(5.0)


def test_a_resumed_average_continues_identically() -> None:
    first, second = Ema(weights(0.0), 0.9), Ema(weights(3.0), 0.9)
    first.update(weights(1.0))
    second.load_state_dict(first.state_dict())
    for ema in (first, second):
        ema.update(weights(2.0))
    assert average(second) == average(first)
    assert second.updates == 2


def test_gradients_that_overflow_count_as_zero() -> None:
    layer = torch.nn.Linear(2, 1)
    layer.weight.grad = torch.tensor([[torch.inf, 3.0]])
    drop_nonfinite_gradients(layer)
    assert layer.weight.grad.tolist() == [[0.0, 3.0]]
    assert layer.bias.grad is None


def test_a_bad_batch_leaves_no_trace_in_the_statistics_of_batch_normalization() -> None:
    layer = torch.nn.BatchNorm1d(2)
    layer(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    ema = Ema(layer, 0.9)
    layer(torch.tensor([[torch.inf, 2.0], [3.0, 6.0]]))
    ema.restore_buffers(layer)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.running_mean.tolist() == pytest.approx([0.2, 0.67])
    assert layer.running_var.isfinite().all()
