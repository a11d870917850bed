"""A service that cannot start says why, and its command fails."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the service needs the serve extra")

from lipsmith.errors import LipsmithError, UsageError
from lipsmith.serve import housekeeping
from lipsmith.serve.run import serve
from lipsmith.serve.settings import Settings


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
