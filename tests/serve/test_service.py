"""Quotas of clients and of the disk."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi", reason="the service needs the serve extra")

from lipsmith.serve.problems import Problem
from lipsmith.serve.service import Service
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import Store
from lipsmith.serve.supervisor import Supervisor


def test_uploads_in_progress_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data=tmp_path)
    store = Store(settings.database)
    service = Service(settings, store, Supervisor(settings, store))
    free = settings.spare_disk + 2500
    monkeypatch.setattr("lipsmith.serve.service.shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    service.begin_upload("a", 1000)
    service.begin_upload("b", 1000)
    with pytest.raises(Problem, match="nearly full"):
        service.begin_upload("c", 1000)
    service.end_upload(1000)
    service.begin_upload("c", 1000)
