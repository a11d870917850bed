"""Clips end to end in the device's memory, so that a batch is a handful of gathers and needs no loader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_AHEAD: Final = 128
"""Clips that are read at a time, which bounds what waits in memory."""

Item = TypeVar("Item")
T = TypeVar("T")


@dataclass(frozen=True)
class Spans:
    """Where C clips lie among rows end to end (frames, windows, mel steps), and how often each is drawn."""

    first: Tensor
    """(C,) first row of each clip."""
    length: Tensor
    """(C,) rows of each clip."""
    weights: Tensor
    """(C,) float64 probabilities."""

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """`count` clips, with replacement."""
        return torch.multinomial(self.weights, count, replacement=True, generator=random)

    def clip_of(self, rows: Tensor) -> Tensor:
        """The clips that rows belong to."""
        return torch.bucketize(rows, self.first, right=True) - 1

    def clamp(self, rows: Tensor, clips: Tensor) -> Tensor:
        """Rows moved to the nearest one of their clips; shapes broadcast."""
        first = self.first[clips]
        return torch.minimum(torch.maximum(rows, first), first + self.length[clips] - 1)


def make_spans(lengths: Sequence[int], identities: Sequence[str], device: torch.device | str) -> Spans:
    """Spans of clips with so many rows, drawn by `root_weights`."""
    length = torch.tensor(list(lengths), dtype=torch.long, device=device)
    weights = torch.from_numpy(root_weights(np.asarray(lengths), identities)).to(device)
    return Spans(torch.cumsum(length, 0) - length, length, weights)


def root_weights(lengths: NDArray[np.int_], identities: Sequence[str]) -> NDArray[np.float64]:
    """Probabilities of clips `(C,)`: an identity's goes with the root of its rows, a clip's within it with its rows.

    By rows alone, a network would learn the few who have most by heart; by identity alone, the few rows of the others.
    """
    _, index = np.unique(np.asarray(identities), return_inverse=True)
    total = np.bincount(index, weights=lengths)
    weights = lengths / np.sqrt(np.maximum(total[index], 1))
    return np.asarray(weights / weights.sum(), np.float64)


def pick(first: Tensor, length: Tensor, count: int, random: torch.Generator) -> Tensor:
    """`count` random rows `(B, count)` of each range of `length` `(B,)` rows from `first` `(B,)` on."""
    share = torch.rand(len(first), count, device=first.device, generator=random)
    return first[:, None] + (share * length[:, None]).long().clamp_max(length[:, None] - 1)


def read_ahead(read: Callable[[Item], T], items: Iterable[Item]) -> Iterator[T]:
    """`read` of every item, in order, by several threads."""
    rest = iter(items)
    with ThreadPoolExecutor() as threads:
        while part := list(islice(rest, _AHEAD)):
            yield from list(threads.map(read, part))


def end_to_end(
    pieces: Iterable[Mapping[str, NDArray[Any]]], total: int, device: torch.device | str
) -> dict[str, Tensor]:
    """Arrays `(rows, ...)` of clips, by name, as tensors `(total, ...)` on the device; clips are copied one by one."""
    tensors: dict[str, Tensor] = {}
    begin = end = 0
    for piece in pieces:
        for name, array in piece.items():
            part = torch.from_numpy(np.ascontiguousarray(array))
            if name not in tensors:
                tensors[name] = torch.empty(total, *part.shape[1:], dtype=part.dtype, device=device)
            end = begin + len(part)
            tensors[name][begin:end] = part.to(device)
        begin = end
    return tensors
