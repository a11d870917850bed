"""The application without a worker or a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi.testclient import TestClient


def test_a_service_whose_worker_does_not_run_is_not_healthy(routes: TestClient) -> None:
    answer = routes.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (503, "no worker")
    assert "lipsmith_worker_up 0.0" in routes.get("/metrics").text


def test_a_login_that_is_not_needed_leads_to_the_page(routes: TestClient) -> None:
    answer = routes.post("/login", data={"token": "any"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
