"""The networks that metrics rest on. One that is missing costs its own figures, never the others'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lipsmith.errors import WeightsError
from lipsmith.evaluation.metrics.csim import Recogniser
from lipsmith.evaluation.metrics.judge import OWN, Judge, load_judge
from lipsmith.evaluation.metrics.lpips import Lpips, load_lpips
from lipsmith.face.mesh import FaceMesh

T = TypeVar("T")


@dataclass(frozen=True)
class Networks:
    """None where weights are missing; `missing` says which and where to get them."""

    mesh: FaceMesh
    lpips_alex: Lpips | None
    lpips_vgg: Lpips | None
    recogniser: Recogniser | None
    judge: Judge | None
    missing: dict[str, str]


def load_networks(judge: str = OWN) -> Networks:
    """All networks that are at hand."""
    missing: dict[str, str] = {}

    def attempt(figure: str, load: Callable[[], T]) -> T | None:
        try:
            return load()
        except WeightsError as error:
            missing[figure] = str(error)
            return None

    return Networks(
        FaceMesh(),
        attempt("lpips_alex", lambda: load_lpips("alexnet")),
        attempt("lpips_vgg", lambda: load_lpips("vgg16")),
        attempt("csim", Recogniser),
        attempt("lse_d", lambda: load_judge(judge)),
        missing,
    )
