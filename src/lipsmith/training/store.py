"""Clips concatenated in the device's memory, so that a batch takes a few gathers and no data loader."""

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
"""Clips read at a time, which bounds memory."""

Item = TypeVar("Item")
T = TypeVar("T")


@dataclass(frozen=True)
class Spans:
    """The ranges of C clips among concatenated rows (frames, windows, mel steps), and their sampling probabilities."""

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
        """Rows clamped to the ranges of their clips; shapes broadcast."""
        first = self.first[clips]
        return torch.minimum(torch.maximum(rows, first), first + self.length[clips] - 1)


def make_spans(lengths: Sequence[int], identities: Sequence[str], device: torch.device | str) -> Spans:
    """Spans of clips with these `lengths`, sampled by `root_weights`."""
    length = torch.tensor(list(lengths), dtype=torch.long, device=device)
    weights = torch.from_numpy(root_weights(np.asarray(lengths), identities)).to(device)
    return Spans(torch.cumsum(length, 0) - length, length, weights)


def root_weights(lengths: NDArray[np.int_], identities: Sequence[str]) -> NDArray[np.float64]:
    """Probabilities of clips `(C,)`: of an identity by the square root of its rows, of a clip within it by its rows.

    Sampling by rows would overfit to the few identities with the most rows; sampling by identity, to the few rows of
    the others.
    """
    _, index = np.unique(np.asarray(identities), return_inverse=True)
    total = np.bincount(index, weights=lengths)
    weights = lengths / np.sqrt(np.maximum(total[index], 1))
    return np.asarray(weights / weights.sum(), np.float64)


def pick(first: Tensor, length: Tensor, count: int, random: torch.Generator) -> Tensor:
    """`count` random rows `(B, count)` from each range of `length` `(B,)` rows, starting at `first` `(B,)`."""
    share = torch.rand(len(first), count, device=first.device, generator=random)
    return first[:, None] + (share * length[:, None]).long().clamp_max(length[:, None] - 1)


def few_ranks(rows: int, total: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """First rank and number `(rows, 1)` of successive ones among `total`: at most half of them, often a single one.

    Half of these lie at either end: of frames ranked by lip opening they are the most closed or the most open ones, as
    in a shot whose person is silent, or a portrait.
    """
    few, place = torch.rand(2, rows, 1, device=random.device, generator=random)
    count = (total / 2 * few**3).long().clamp_min(1)
    return ((2 * place - 0.5).clamp(0, 1) * (total - count)).round().long(), count


def even_ranks(first: Tensor, total: Tensor, count: int) -> Tensor:
    """`count` ranks `(rows, count)`, evenly spaced over `total` `(rows, 1)` ones from `first` `(rows, 1)`."""
    return first + (torch.linspace(0, 1, count, device=first.device) * (total - 1)).round().long()


def read_ahead(read: Callable[[Item], T], items: Iterable[Item]) -> Iterator[T]:
    """`read` of every item, in order, in several threads."""
    rest = iter(items)
    with ThreadPoolExecutor() as threads:
        while part := list(islice(rest, _AHEAD)):
            yield from list(threads.map(read, part))


def end_to_end(
    pieces: Iterable[Mapping[str, NDArray[Any]]], total: int, device: torch.device | str
) -> dict[str, Tensor]:
    """Concatenate arrays `(rows, ...)` of clips, by name, to tensors `(total, ...)` on the device, clip by clip."""
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
