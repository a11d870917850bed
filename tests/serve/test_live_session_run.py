"""A live session runs as its client asked, on a clip prepared for exactly that."""

from __future__ import annotations

import asyncio
import io
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from threading import Thread
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="live sessions need the serve extra")

from double import CONFIG, Double, make_dubber
from dub_samples import write_film
from lipsmith import Clip, Dubber
from lipsmith.errors import InputError
from lipsmith.live import Live
from lipsmith.serve import live_session
from lipsmith.serve.live import COMMAND, HEADER, OFFER, SOUND
from lipsmith.serve.settings import Settings
from synthetic import face_at, make_film

UPLOAD = "0" * 32


@pytest.fixture(autouse=True)
def _film(settings: Settings) -> None:
    make_film(settings.data / "film.mp4", 0.2, 25, (192, 160)).rename(settings.upload(UPLOAD))


def load(
    settings: Settings, face: str = "largest", dubber: Dubber | None = None, sink: io.BytesIO | None = None
) -> Clip:
    arguments = {"upload": UPLOAD, "sha256": "0", "face": face}
    return live_session._load_clip(settings, dubber or make_dubber(), arguments, sink or io.BytesIO())


def states(sink: io.BytesIO) -> list[dict[str, Any]]:
    """The states that a session sent."""
    found = []
    sink.seek(0)
    while len(begin := sink.read(HEADER.size)) == HEADER.size:
        kind, size = HEADER.unpack(begin)
        content = sink.read(size)
        found += [json.loads(content)] if kind == b"s" else []
    return found


def test_a_clip_is_kept_for_each_choice_of_faces_model_and_version(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> int:
        return len(list(settings.clips("0").iterdir()))

    load(settings)
    assert kept() == 1
    load(settings, "all")
    assert kept() == 2
    load(settings, dubber=Dubber(Double(), replace(CONFIG, files={"paint.onnx": "another"})))
    assert kept() == 3
    monkeypatch.setattr(live_session, "surroundings", lambda: {"lipsmith": "next"})
    load(settings)
    assert kept() == 4


def test_a_clip_that_is_used_again_does_not_expire(settings: Settings) -> None:
    load(settings)
    (stored,) = settings.clips("0").iterdir()
    os.utime(stored, (0, 0))
    load(settings)
    assert stored.stat().st_mtime > time.time() - 60


def test_a_session_uses_the_beginning_of_a_long_film(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_session, "_MAX_SECONDS", 0.12)
    assert len(load(settings).times) == 3


def test_a_session_refuses_a_film_that_is_too_long_for_the_service(settings: Settings) -> None:
    with pytest.raises(InputError, match=r"lasts 0\.0 minutes; the limit is 0\.001"):
        load(replace(settings, max_minutes=1e-3))


@pytest.mark.parametrize(("total", "shares"), [(1000, [percent / 100 for percent in range(101)]), (0, [0.0])])
def test_progress_is_told_in_whole_percents(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, total: int, shares: list[float]
) -> None:
    """Where the length of a film is unknown there is none."""

    def prepare(dubber: Dubber, *given: Any, progress: Callable[[int, int], None], **others: Any) -> Clip:  # noqa: ANN401
        for done in range(1001):
            progress(done, total)
        return own_prepare(dubber, *given, **others)

    own_prepare, sink = Dubber.prepare, io.BytesIO()
    monkeypatch.setattr(Dubber, "prepare", prepare)
    load(settings, sink=sink)
    assert states(sink) == [{"state": "preparing", "progress": share} for share in shares]


def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, sink: Any, **arguments: Any) -> None:  # noqa: ANN401
    """Run a session whose server leaves at once."""
    monkeypatch.setattr(Dubber, "from_pretrained", lambda *given: make_dubber())
    usual = {"face": "largest", "rate": 16_000, "strength": 1.0, "transport": "mp4"}
    known = {"settings": settings.for_process(), "upload": UPLOAD, "sha256": "0"}
    live_session.main(known | usual | arguments, io.BytesIO(), sink)


def test_a_session_has_the_requested_face_rate_and_strength(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never falls behind a microphone by more than half a second, and its memory is limited."""

    def live(clip: Clip, rate: int, **options: Any) -> Live:  # noqa: ANN401 - those of the session
        opened.append((len(clip.chosen), rate, options))
        return Live(clip, rate, **options)

    opened: list[tuple[int, int, dict[str, Any]]] = []
    limits: list[int] = []
    images = [np.hstack([face_at(0, (160, 160)), face_at(0, (160, 160))])] * 3
    write_film(settings.data / "two.mp4", images).rename(settings.upload(UPLOAD))
    monkeypatch.setattr(live_session, "Live", live)
    monkeypatch.setattr(live_session, "limit_memory", limits.append)
    sink = io.BytesIO()
    run(settings, monkeypatch, sink, face="all", rate=48_000, strength=0.5)
    assert opened == [(2, 48_000, {"strength": 0.5, "most_behind": 0.5})]
    assert limits == [settings.memory]
    ready = states(sink)[-1]
    assert (ready["state"], ready["width"], ready["height"], ready["frame_rate"]) == ("ready", 320, 160, 25)


def test_states_are_sent_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_session, "limit_memory", lambda size: None)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    settings.upload(UPLOAD).unlink()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb") as sink:
        run(settings, monkeypatch, sink)
        told = [state["state"] for state in states(io.BytesIO(source.read() or b""))]
    assert told == ["preparing", "failed"]


def test_speech_and_commands_reach_the_session_in_order() -> None:
    """Samples are little-endian."""
    given: list[object] = []
    session = SimpleNamespace(
        push=lambda samples: given.append(samples.tolist()),
        flush=lambda: given.append("flush"),
        close=lambda: given.append("close"),
    )
    messages = [(SOUND, b"\x01\x00\xff\x7f"), (COMMAND, b"flush"), (SOUND, b"\x00\x80")]
    source = io.BytesIO(b"".join(HEADER.pack(kind, len(content)) + content for kind, content in messages))
    live_session._read_messages(cast("Live", session), source)
    assert given == [[1, 32767], "flush", [-32768], "close"]


def run_webrtc(
    monkeypatch: pytest.MonkeyPatch,
    answer: object,
    offers: list[bytes],
    seconds: float,
) -> tuple[list[dict[str, Any]], bool]:
    """What a client is told after its offers, and whether the session goes on for `seconds`; then its server leaves."""
    webrtc = pytest.importorskip("lipsmith.live.webrtc", reason="WebRTC needs the live extra")
    monkeypatch.setattr(webrtc, "answer", answer)
    reading, writing = os.pipe()
    session, sink = Live(make_dubber().prepare([face_at(0, (128, 96))])), io.BytesIO()
    process = Thread(target=live_session._run_webrtc, args=(session, os.fdopen(reading, "rb"), sink, {}))
    process.start()
    for offer in offers:
        os.write(writing, HEADER.pack(OFFER, len(offer)) + offer)
    process.join(seconds)
    goes_on = process.is_alive()
    os.close(writing)
    process.join(10)
    assert not process.is_alive()
    return states(sink), goes_on


def connected(close: Callable[[], Awaitable[None]]) -> Any:  # noqa: ANN401 - of aiortc, where it is installed
    """A connection to a peer that is there, of which no more is needed."""
    connection = pytest.importorskip("pyee", reason="WebRTC needs the live extra").EventEmitter()
    connection.connectionState, connection.close = "connected", close
    return connection


def test_a_connection_takes_one_offer_and_is_closed_with_its_session(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(session: Live, offer: str) -> tuple[object, str]:
        return connection, f"answer to {offer}"

    async def close() -> None:
        closed.append(True)

    closed: list[bool] = []
    connection = connected(close)
    told, goes_on = run_webrtc(monkeypatch, answer, [b"v=0 first", b"v=0 second"], 0.3)
    assert [state.get("sdp") for state in told] == [None, "answer to v=0 first"]
    assert goes_on
    assert closed == [True]
    assert "ignored a second offer" in caplog.text


def test_a_client_is_told_what_is_wrong_with_its_offer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(session: Live, offer: str) -> tuple[object, str]:
        await asyncio.sleep(0)
        raise InputError("The offer is invalid; send that of createOffer.")

    told, goes_on = run_webrtc(monkeypatch, answer, [b"v=0"], 10)
    assert told[-1] == {"state": "failed", "problem": "The offer is invalid; send that of createOffer."}
    assert not goes_on


def test_a_process_ends_with_its_webrtc_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(session: Live, offer: str) -> tuple[object, str]:
        asyncio.get_running_loop().call_later(0.1, lose)
        return connection, "sdp"

    def lose() -> None:
        connection.connectionState = "failed"
        connection.emit("connectionstatechange")

    connection = connected(lambda: asyncio.sleep(0))
    _, goes_on = run_webrtc(monkeypatch, answer, [b"v=0"], 10)
    assert not goes_on
