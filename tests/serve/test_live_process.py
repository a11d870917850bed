"""The process of a live session, as the server starts and counts it."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="live sessions need the serve extra")

from fastapi import WebSocketDisconnect

from lipsmith.serve.live import HEADER, STATE, _forward_to_client, _stop, live
from lipsmith.serve.service import Service
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import Store, Upload
from lipsmith.serve.supervisor import Supervisor

UPLOAD = "0" * 32


class Socket:
    """A client that leaves at once, and notes whether the service counts its upload as in use."""

    def __init__(self, settings: Settings) -> None:
        self.closed: list[tuple[object, ...]] = []
        store = Store(settings.database)
        store.add(Upload(id=UPLOAD, owner="me", bytes=1, sha256="0"))
        service = Service(settings, store, Supervisor(settings, store))
        self.app = SimpleNamespace(state=SimpleNamespace(service=service, live=asyncio.Semaphore(1)))
        self.state = SimpleNamespace(owner="me")

    async def accept(self) -> None:
        pass

    async def close(self, *reason: object) -> None:
        self.closed.append(reason)

    async def send_text(self, text: str) -> None:
        pass

    async def receive(self) -> dict[str, str]:
        self.used = self.app.state.service.in_use(UPLOAD)
        return {"type": "websocket.disconnect"}


class Process:
    """A process that tells whether its session is counted while the server waits for its end."""

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots = slots
        self.stdin, self.stdout = SimpleNamespace(close=lambda: None), asyncio.StreamReader()
        self.counted = False

    async def wait(self) -> None:
        self.counted = self._slots.locked()


def run_session(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, str], Process]:
    """The environment of the process of a session, and the process."""
    socket, started = Socket(settings), []
    (settings.data / "tmp").mkdir()

    async def start(*command: str, **options: Any) -> Process:  # noqa: ANN401
        started.append((options.get("env", {}), Process(socket.app.state.live)))
        return started[0][1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    asyncio.run(live(socket, UPLOAD))  # type: ignore[arg-type]
    assert socket.used
    assert not socket.app.state.service.in_use(UPLOAD)
    assert not socket.app.state.live.locked()
    return started[0]


def test_a_session_writes_to_the_data_folder_and_does_not_know_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSMITH_TOKEN", "secret of the server")
    environment, _ = run_session(Settings(data=tmp_path), monkeypatch)
    assert Path(environment["TMPDIR"]).parent == tmp_path / "tmp"
    assert not Path(environment["TMPDIR"]).exists()  # removed with the session
    assert "LIPSMITH_TOKEN" not in environment
    assert "PATH" in environment


def test_a_session_counts_until_its_process_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, process = run_session(Settings(data=tmp_path), monkeypatch)
    assert process.counted


@pytest.mark.parametrize(
    ("state", "closed"), [('{"state": "ready"}', (1011, "The session has ended.")), ('{"state": "failed"}', ())]
)
def test_a_problem_is_not_followed_by_another_reason(tmp_path: Path, state: str, closed: tuple[object, ...]) -> None:
    async def run() -> Socket:
        socket, process = Socket(Settings(data=tmp_path)), Process(asyncio.Semaphore())
        process.stdout.feed_data(HEADER.pack(STATE, len(state)) + state.encode())
        process.stdout.feed_eof()
        await _forward_to_client(socket, process)  # type: ignore[arg-type]
        return socket

    assert asyncio.run(run()).closed == [closed]


def test_a_client_may_leave_while_it_waits_for_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error would be written to the log, as if the service were at fault."""
    socket = Socket(Settings(data=tmp_path))
    socket.app.state.live = asyncio.Semaphore(0)
    monkeypatch.setattr("lipsmith.serve.live._EXIT_TIMEOUT", -0.9)

    async def close(*_: object) -> None:
        raise WebSocketDisconnect(1006)

    monkeypatch.setattr(socket, "close", close)
    asyncio.run(live(socket, UPLOAD))  # type: ignore[arg-type]


def test_a_session_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would keep a place and a core."""
    monkeypatch.setattr("lipsmith.serve.live._EXIT_TIMEOUT", 0.1)

    async def run() -> int | None:
        command = (sys.executable, "-c", "import time; time.sleep(30)")
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
        await _stop(process)
        return process.returncode

    assert asyncio.run(run()) not in (None, 0)


def test_an_interrupt_does_not_end_a_session(tmp_path: Path) -> None:
    """A terminal sends Ctrl-C to the session too, which the server ends."""
    arguments = {"settings": Settings(data=tmp_path).for_process(), "upload": UPLOAD, "sha256": "0", "face": "all"}
    command = [sys.executable, "-m", "lipsmith.serve.live_session", json.dumps(arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as session:
        assert session.stdout is not None
        session.stdout.read(HEADER.size)  # it has begun
        session.send_signal(signal.SIGINT)
        said, _ = session.communicate()
    assert b"does not exist" in said
    assert session.returncode == 0
