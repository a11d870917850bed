"""The benchmark of face recognition: what it prints of pairs of films."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_people_with_one_film_each_make_no_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    people = importlib.import_module("people")
    assert people.summary(np.zeros(0)) == "no pairs"
    assert people.summary(np.array([0.25, 0.5, 0.75])) == "3 pairs, 0.25 to 0.75, median 0.50"
