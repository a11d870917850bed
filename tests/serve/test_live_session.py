"""The process of a live session: its clip, and what its client is told."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="live sessions need the serve extra")

from double import make_dubber
from lipsmith import Clip, Dubber
from lipsmith.dubbing.clip_folder import StoredSource
from lipsmith.errors import InputError, LipsmithError, UsageError, WeightsError
from lipsmith.live import Live
from lipsmith.live.footage import LoopedFootage
from lipsmith.serve import live_session
from lipsmith.serve.live import COMMAND, HEADER, OFFER
from lipsmith.serve.settings import Settings
from synthetic import face_at, make_film

UPLOAD = "0" * 32


@pytest.fixture(autouse=True)
def _film(settings: Settings) -> None:
    make_film(settings.data / "film.mp4", 0.2, 25, (160, 160)).rename(settings.upload(UPLOAD))


def load(settings: Settings, face: str = "largest") -> Clip:
    arguments = {"upload": UPLOAD, "sha256": "0", "face": face}
    return live_session._load_clip(settings, make_dubber(), arguments, io.BytesIO())


@pytest.mark.parametrize("error", [UsageError("it is not empty"), LipsmithError("the disk is full"), OSError("full")])
def test_a_session_goes_on_with_a_clip_that_cannot_be_stored(
    settings: Settings, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def save(clip: Clip, folder: Path) -> Path:
        raise error

    monkeypatch.setattr(Clip, "save", save)
    with caplog.at_level(logging.WARNING):
        assert len(load(settings).times) == 5
    assert str(error) in caplog.text


def test_a_session_refuses_a_film_that_the_service_refuses(settings: Settings) -> None:
    with pytest.raises(InputError, match="160 x 160 pixels; the limit is"):
        load(replace(settings, max_pixels=160 * 159))


@pytest.mark.parametrize("name", ["clip.json", "faces.npz", "frames.avi"])
def test_a_damaged_clip_is_prepared_anew(settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load(settings)
    (stored,) = settings.clips("0").iterdir()
    (stored / name).write_text("{")
    assert len(load(settings).times) == 5
    monkeypatch.delattr(Dubber, "prepare")  # it is stored again
    assert len(load(settings).times) == 5


def test_a_clip_of_which_a_part_is_missing_or_wrong_is_prepared_anew(settings: Settings) -> None:
    load(settings)
    (stored,) = settings.clips("0").iterdir()
    film, table = (stored / "frames.avi").read_bytes(), json.loads((stored / "clip.json").read_text())
    for name, content in (
        ("frames.avi", film[: len(film) // 2]),
        ("clip.json", json.dumps(table | {"rate": "1/0"}).encode()),
        ("clip.json", json.dumps(table | {"face_size": 512}).encode()),
    ):
        (stored / name).write_bytes(content)
        assert len(load(settings).times) == 5
        assert (stored / name).read_bytes() != content


@pytest.mark.parametrize("transport", ["mp4", "webrtc"])
def test_damage_that_shows_during_a_session_removes_the_stored_clip(
    transport: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> Iterator[object]:
        raise InputError("frame 3 cannot be read")
        yield

    monkeypatch.setattr(Dubber, "from_pretrained", lambda *arguments: make_dubber())
    monkeypatch.setattr(live_session, "limit_memory", lambda size: None)
    monkeypatch.setattr(LoopedFootage, "images", fail)
    reading, writing = os.pipe()
    if transport == "webrtc":
        offer = asyncio.run(offered())
        os.write(writing, HEADER.pack(OFFER, len(offer)) + offer)
    arguments = {"settings": settings.for_process(), "upload": UPLOAD, "sha256": "0", "face": "largest"}
    sink = io.BytesIO()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb"):  # the writer is closed first
        live_session.main(arguments | {"rate": 16_000, "strength": 1.0, "transport": transport}, source, sink)
    sent = states(sink)
    assert [state["state"] for state in sent if state["state"] != "preparing"] == (
        ["ready", "failed"] if transport == "mp4" else ["ready", "answer", "failed"]
    )
    assert "start the session again" in sent[-1]["problem"]
    assert not list(settings.clips("0").iterdir())


async def offered() -> bytes:
    """The offer of a WebRTC peer that then stays away."""
    aiortc = pytest.importorskip("aiortc", reason="WebRTC needs the live extra")
    peer = aiortc.RTCPeerConnection()
    peer.addTransceiver("video", direction="recvonly")
    peer.addTransceiver("audio", direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    sdp = str(peer.localDescription.sdp)
    await peer.close()
    return sdp.encode()


def test_equal_choices_of_faces_share_a_clip(settings: Settings) -> None:
    for face in ("1", "1,1", "1, 1"):
        load(settings, face)
    assert len(list(settings.clips("0").iterdir())) == 1


def test_the_first_session_uses_the_stored_frames(settings: Settings) -> None:
    assert isinstance(load(settings).source, StoredSource)


def test_a_clip_that_would_fill_the_disk_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    free = settings.spare_disk + 5 * 160 * 160
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    with pytest.raises(LipsmithError, match="nearly full"):
        load(settings)
    assert not list((settings.data / "clips").iterdir())


def test_a_client_sees_no_paths_and_no_options(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> Dubber:
        raise WeightsError(f"{settings.upload(UPLOAD)} or /opt/model is wrong; add --overwrite.")

    monkeypatch.setattr(Dubber, "from_pretrained", fail)
    monkeypatch.setattr(live_session, "limit_memory", lambda size: None)
    sink = io.BytesIO()
    live_session.main({"settings": settings.for_process(), "upload": UPLOAD}, io.BytesIO(), sink)
    assert states(sink)[-1]["problem"] == "The film or a file of the service is wrong; add overwrite."


def test_a_message_that_cannot_be_handled_ends_the_session() -> None:
    session = Live(make_dubber().prepare([face_at(0, (128, 96))]))
    command = HEADER.pack(COMMAND, 4) + b"sing"
    live_session._read_messages(session, io.BytesIO(command))
    assert list(session.frames()) == []


def states(sink: io.BytesIO) -> list[dict[str, Any]]:
    """The states that a session sent."""
    found: list[dict[str, Any]] = []
    sink.seek(0)
    while len(begin := sink.read(HEADER.size)) == HEADER.size:
        found.append(json.loads(sink.read(HEADER.unpack(begin)[1])))
    return found
