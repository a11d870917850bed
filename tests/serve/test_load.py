"""Load test with many clients; benchmarks/serve.py runs a longer one."""

from __future__ import annotations

from pathlib import Path

from service import errors_under_load, memory_mb, run_service, upload_file, wait_for_job

CLIENTS = 50


def test_fifty_clients_cause_no_error_and_no_leak(film: Path, voice: Path, tmp_path: Path) -> None:
    with run_service(tmp_path / "data") as service, service.client() as client:
        request = {"video": upload_file(client, film), "speech": upload_file(client, voice)}
        jobs = [client.post("/v1/jobs", json=request).json()["id"] for _ in range(4)]
        assert errors_under_load(service, voice, CLIENTS, polls=2) == 0
        before, _ = memory_mb(service)
        assert errors_under_load(service, voice, CLIENTS, polls=2) == 0
        assert [wait_for_job(client, job)["state"] for job in jobs] == ["done"] * 4
        # Less than a round of uploads would take; the allocator keeps some memory anyway.
        assert memory_mb(service)[0] - before < 16
