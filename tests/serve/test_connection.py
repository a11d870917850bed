from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from service import assert_problem

if TYPE_CHECKING:
    from fastapi.testclient import TestClient


@pytest.mark.parametrize(("size", "status"), [(65_536, 404), (65_537, 413)])
def test_a_body_that_is_no_upload_has_at_most_64_kib(routes: TestClient, size: int, status: int) -> None:
    body = json.dumps({"video": "0" * 32, "speech": "1" * 32}).encode()
    headers = {"Content-Type": "application/json"}
    assert_problem(routes.post("/v1/jobs", content=body.ljust(size), headers=headers), status)
