"""Many clients at once; benchmarks/serve.py does the same for longer."""

from __future__ import annotations

from pathlib import Path

from service import crowd, ended, memory, running, send

CLIENTS = 50


def test_fifty_clients_and_four_jobs(film: Path, voice: Path, tmp_path: Path) -> None:
    with running(tmp_path / "data") as service, service.client() as client:
        wanted = {"video": send(client, film), "speech": send(client, voice)}
        jobs = [client.post("/v1/jobs", json=wanted).json()["id"] for _ in range(4)]
        assert crowd(service, voice, CLIENTS, polls=3) == 0
        before, _ = memory(service)
        assert crowd(service, voice, CLIENTS, polls=3) == 0
        assert [ended(client, job)["state"] for job in jobs] == ["done"] * 4
        # What a round of uploads would take if it stayed: the library's arenas take some, whoever comes.
        assert memory(service)[0] - before < 16
