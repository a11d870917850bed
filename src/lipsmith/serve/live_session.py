"""The process of one live session: sound and commands on standard input, states and media on standard output.

`python -m lipsmith.serve.live_session WORDS` is started by the server, with what it needs to know as JSON.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable
from threading import Thread
from typing import Any, BinaryIO

import numpy as np

from lipsmith import Clip, Dubber
from lipsmith.errors import InputError, LipsmithError
from lipsmith.live import Live
from lipsmith.live.stream import MIME, FragmentedMP4
from lipsmith.serve.limits import limit_memory
from lipsmith.serve.live import COMMAND, HEADER, MEDIA, OFFER, STATE
from lipsmith.serve.settings import Settings

_LOG = logging.getLogger(__name__)

_MOST_BEHIND = 0.5
_SECONDS = 60.0
"""Of footage that a session plays forward and back; more would only take longer to prepare."""


def main(words: dict[str, Any], source: BinaryIO, sink: BinaryIO) -> None:
    """Prepare the clip, or load it, and stream until `source` ends."""
    settings = Settings.from_plain(words["settings"])
    limit_memory(settings.memory)
    try:
        _tell(sink, state="preparing")
        dubber = Dubber.from_pretrained(settings.model, settings.device, settings.threads)
        clip = _clip(settings, dubber, words, sink)
        session = Live(clip, words["rate"], strength=words["strength"], most_behind=_MOST_BEHIND)
    except LipsmithError as error:
        _tell(sink, state="failed", problem=str(error).replace(str(settings.upload(words["upload"])), "The film"))
        return
    media = {"mime": MIME, "width": clip.size[0], "height": clip.size[1], "frame_rate": session.frame_rate}
    if words["transport"] == "webrtc":
        _call(session, source, sink, media)
        return
    _tell(sink, state="ready", **media)
    Thread(target=_listen, args=(session, source), daemon=True).start()
    _stream(session, FragmentedMP4(*clip.size, session.frame_rate, session.rate, clip.config.name), sink)


def _clip(settings: Settings, dubber: Dubber, words: dict[str, Any], sink: BinaryIO) -> Clip:
    """The clip as an earlier session kept it, or prepared and kept now."""
    key = hashlib.sha256(f"{words['sha256']} {words['face']} {dubber.config.name}".encode()).hexdigest()[:32]
    folder = settings.data / "clips" / key
    try:
        clip = Clip.load(folder, dubber)
        os.utime(folder)
    except InputError:
        clip = _prepared(settings, dubber, words, sink)
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        clip.save(folder)
    return clip


def _prepared(settings: Settings, dubber: Dubber, words: dict[str, Any], sink: BinaryIO) -> Clip:
    told = -1

    def progress(done: int, total: int) -> None:
        nonlocal told
        share = 100 * done // total if total else 0
        if share != told:
            told = share
            _tell(sink, state="preparing", progress=share / 100)

    film = settings.upload(words["upload"])
    return dubber.prepare(film, words["face"], end=_SECONDS, progress=progress)


def _call(session: Live, source: BinaryIO, sink: BinaryIO, media: dict[str, Any]) -> None:
    """Answer the first offer, and keep the call until `source` ends."""
    try:
        from lipsmith.live.webrtc import answer
    except ModuleNotFoundError:
        _tell(sink, state="failed", problem="WebRTC needs the live extra: pip install 'lipsmith[live]'.")
        return

    async def call() -> None:
        loop, offers = asyncio.get_running_loop(), asyncio.Queue[str | None]()

        def listen() -> None:
            _listen(session, source, lambda offer: loop.call_soon_threadsafe(offers.put_nowait, offer))
            loop.call_soon_threadsafe(offers.put_nowait, None)

        Thread(target=listen, daemon=True).start()
        _tell(sink, state="ready", **media)
        if (offer := await offers.get()) is None:
            return
        try:
            connection, sdp = await answer(session, offer)
        except InputError as error:
            _tell(sink, state="failed", problem=str(error))
            return
        _tell(sink, state="answer", sdp=sdp)
        while await offers.get() is not None:
            _LOG.warning("a call takes one offer; another was ignored")
        await connection.close()

    asyncio.run(call())


def _listen(session: Live, source: BinaryIO, offered: Callable[[str], object] = lambda _: None) -> None:
    """Push what comes; close the session when the server is gone."""
    while len(header := source.read(HEADER.size)) == HEADER.size:
        kind, size = HEADER.unpack(header)
        content = source.read(size)
        if kind == COMMAND:
            getattr(session, content.decode())()
        elif kind == OFFER:
            offered(content.decode())
        else:
            session.push(np.frombuffer(content, "<i2"))
    session.close()


def _stream(session: Live, stream: FragmentedMP4, sink: BinaryIO) -> None:
    for frame in session.frames():
        _write(sink, MEDIA, stream.add(frame))


def _tell(sink: BinaryIO, **state: object) -> None:
    _write(sink, STATE, json.dumps(state).encode())


def _write(sink: BinaryIO, kind: bytes, content: bytes) -> None:
    sink.write(HEADER.pack(kind, len(content)) + content)
    sink.flush()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="live: %(message)s")
    try:
        main(json.loads(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        _LOG.info("the server is gone")
