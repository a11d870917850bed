"""The mean of a network's weights before and after an adaptation, which is what is measured and written.

Seconds of film teach much about a person, but also what holds for these seconds alone; halfway, most of the first and
little of the second is left (docs/lab-notes/adaptation.md).
"""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Halfway:
    """Remembers the first weights that it gets, which are the start's."""

    def __init__(self) -> None:
        self.start: dict[str, Tensor] = {}

    def of(self, module: M) -> M:
        """A copy of `module` with the mean of the start's weights and its own."""
        mean = deepcopy(module)
        own = mean.state_dict()
        if not self.start:
            self.start = {name: value.clone() for name, value in own.items()}
        for name, value in own.items():
            if value.is_floating_point():
                value.lerp_(self.start[name].to(value), 0.5)
        return mean
