"""A service that cannot start says why, and its command fails."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the service needs the serve extra")

from lipsmith.errors import LipsmithError, UsageError, WeightsError
from lipsmith.inference import onnx
from lipsmith.serve import housekeeping
from lipsmith.serve.run import serve
from lipsmith.serve.settings import Settings


@pytest.mark.parametrize("model", ["nobody", "sync"])
def test_a_model_that_no_worker_could_load_ends_the_service_at_its_start(tmp_path: Path, model: str) -> None:
    with pytest.raises(WeightsError, match=model):
        serve(Settings(data=tmp_path / "data", port=0, model=model), print)
    assert not (tmp_path / "data").exists()


def test_a_gpu_that_no_worker_could_use_ends_the_service_at_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="whether there is a GPU is asked of torch")
    monkeypatch.setattr(onnx, "cuda_is_available", lambda: False)
    with pytest.raises(UsageError, match="finds no such GPU here"):
        serve(Settings(data=tmp_path / "data", port=0, device="cuda:99"), print)
    assert not (tmp_path / "data").exists()


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, port=0)
    settings.database.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(UsageError, match=r"jobs\.sqlite cannot be used \(file is not a database\); choose another"):
        serve(settings, print)


def test_a_database_of_another_version_is_named(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, port=0)
    with closing(sqlite3.connect(settings.database)) as database:
        database.execute("CREATE TABLE job (id VARCHAR)")
    with pytest.raises(UsageError, match=r"jobs\.sqlite cannot be used \(no such column: \S+\); choose another"):
        serve(settings, print)


def test_a_service_that_does_not_start_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(housekeeping, "remove_leftovers", fail)
    with pytest.raises(LipsmithError, match="did not start"):
        serve(Settings(data=tmp_path, port=0), print)
