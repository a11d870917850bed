"""Which systems `lipsmith evaluate` measures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from lipsmith.cli.evaluate import Options, _systems

CLIPS = Path("clips")


@pytest.mark.parametrize(("table", "varied", "numbers"), [(2, "references", (1, 5, 10, 25)), (3, "lips", (1, 3, 5))])
def test_tables_2_and_3_vary_one_number_of_the_model(
    table: Literal[2, 3], varied: str, numbers: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: dict[str, dict[str, int]] = {}

    def load(name: str, *_: object, **number: int) -> None:
        loaded[name] = number

    monkeypatch.setattr("lipsmith.evaluation.run_systems.load_variant", load)
    _systems(Options(data=CLIPS, model="fast", table=table), [])
    assert loaded == {f"{varied}_{number}": {varied: number} for number in numbers}


def test_a_model_on_large_crops_is_measured_with_and_without_its_detail(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: dict[str, bool] = {}

    def load(name: str, *_: object, detail: bool = True) -> None:
        loaded[name] = detail

    monkeypatch.setattr("lipsmith.evaluation.model_system.load_system", load)
    _systems(Options(data=CLIPS, model="fast", side=256), [])
    assert loaded == {"enlarged": False, "fast": True}
    loaded.clear()
    _systems(Options(data=CLIPS, model="fast"), [])
    assert loaded == {"fast": True}
