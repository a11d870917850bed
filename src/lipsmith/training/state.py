"""What every training shares: its checkpoint, its clock and its averaged weights."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from lipsmith.errors import UsageError
from lipsmith.inference.model_folder import find_model
from lipsmith.inference.stages import WEIGHTS as MODEL_WEIGHTS
from lipsmith.inference.stages import of_network


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write `state` so that `path` always holds a whole checkpoint: written beside, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    torch.save(dict(state), beside)
    os.replace(beside, path)  # noqa: PTH105 - one atomic call, whatever stands at `path`


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote, tensors on the CPU; None where there is no such file."""
    if not path.is_file():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file that may be read by whom the umask lets; safetensors' own lets nobody else."""
    path.write_bytes(save(dict(tensors)))


def load_initial_weights(module: nn.Module, start: str, network: str) -> None:
    """Take up the weights of `network` (`landmarks`, `renderer`) from a run or a model, by folder or name.

    Modules that only one of the two has, as in an ablation or a network that has grown, keep their start or are left
    out. Raises WeightsError where there is none of them, UsageError where they are of another architecture.
    """
    run = Path(start) / f"{network}.safetensors"
    if run.is_file():
        weights = load_file(run)
    else:
        weights = of_network(load_file(find_model(start).path / MODEL_WEIGHTS), network)
    own = module.state_dict()
    shared = {_owner(name) for name in own} & {_owner(name) for name in weights}
    wanted, found = (_shapes(tensors, shared) for tensors in (own, weights))
    if not shared or wanted != found:
        raise UsageError(f"{start} is of another architecture than the config; start from another model")
    module.load_state_dict({name: weights[name] for name in found}, strict=False)


def _owner(name: str) -> str:
    """The module that a tensor of a state dict belongs to."""
    return name.rpartition(".")[0]


def _shapes(tensors: Mapping[str, Tensor], owners: set[str]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in tensors.items() if _owner(name) in owners}


class Schedule:
    """How far a run is, and the learning rate there: linear warm-up, then a cosine down to a hundredth.

    A run ends after `steps` steps or `minutes` of wall-clock time (None: no such limit), whichever comes
    first; the cosine follows the nearer of the two, so that a run of N minutes ends annealed on any machine.
    """

    def __init__(self, steps: int, minutes: float | None = None, warmup: int = 0) -> None:
        self.steps, self.minutes, self.warmup = steps, minutes, warmup
        self.spent = 0.0
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Minutes trained so far, those before a resume included."""
        return self.spent + (time.monotonic() - self._started) / 60

    def progress(self, step: int) -> float:
        """Share of the run that is done, 0..1."""
        by_time = self.elapsed / self.minutes if self.minutes else 0.0
        return min(1.0, max(step / self.steps, by_time))

    def done(self, step: int) -> bool:
        """Whether the run is over."""
        return self.progress(step) >= 1

    def scale(self, step: int) -> float:
        """Factor (0, 1] on the learning rate."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.progress(step))))

    def state_dict(self) -> dict[str, float]:
        """What a resumed run must know: the minutes already spent."""
        return {"elapsed": self.elapsed}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from `state_dict`."""
        self.spent, self._started = float(state["elapsed"]), time.monotonic()


class Ema:
    """Exponential moving average of a module's weights, which generalises better than the last step's."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards the module's present weights; early on faster, so that the first weights fade."""
        self.updates += 1
        rate = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        means, values = [], []
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                means.append(self.weights[name])
                values.append(value.detach())
            else:
                self.weights[name].copy_(value)
        torch._foreach_lerp_(means, values, rate)

    def state_dict(self) -> dict[str, Any]:
        """Weights and number of updates."""
        return {"updates": self.updates, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`, on the device where the weights already are."""
        self.updates = int(state["updates"])
        for name, value in state["weights"].items():
            self.weights[name].copy_(value)


class Meter:
    """Throughput, and the share of time that goes into making batches, measured without stopping the device.

    On a GPU the spans are marked by events in its queue and read only by `read`, which synchronises.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._device = device
        self._restart()

    @contextmanager
    def data(self) -> Iterator[None]:
        """Around the making of one batch."""
        start = self._mark()
        yield
        self._spans.append((start, self._mark()))

    def add(self, samples: int) -> None:
        """Count the samples of one step."""
        self._samples += samples

    def read(self) -> tuple[float, float]:
        """Samples a second and data share (0..1) since the last reading; starts anew."""
        end = self._mark()
        if self._cuda:
            torch.cuda.synchronize(self._device)
        total = self._between(self._begin, end)
        data = sum(self._between(*span) for span in self._spans)
        samples = self._samples
        self._restart()
        return samples / max(total, 1e-9), data / max(total, 1e-9)

    def _restart(self) -> None:
        self._spans: list[tuple[Any, Any]] = []
        self._samples = 0
        self._begin = self._mark()

    def _mark(self) -> Any:  # noqa: ANN401 - an event on a GPU, seconds elsewhere
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _between(self, start: Any, end: Any) -> float:  # noqa: ANN401
        return float(start.elapsed_time(end)) / 1000 if self._cuda else float(end - start)


def rng_state(generator: torch.Generator) -> dict[str, Tensor]:
    """States of all random numbers a run draws: the sampler's, and the ones dropout uses."""
    state = {"sampler": generator.get_state(), "cpu": torch.get_rng_state()}
    if generator.device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(generator.device)
    return state


def set_rng_state(generator: torch.Generator, state: Mapping[str, Tensor]) -> None:
    """Go on from `rng_state`."""
    generator.set_state(state["sampler"])
    torch.set_rng_state(state["cpu"])
    if generator.device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], generator.device)
