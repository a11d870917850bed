"""The process of one live session. It reads audio and commands from stdin, and writes states and media to stdout.

The server starts `python -m lipsmith.serve.live_session ARGUMENTS`, with its arguments as JSON.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO

import numpy as np

from lipsmith import Clip, Dubber
from lipsmith.dubbing.clip_folder import StoredSource
from lipsmith.dubbing.job import surroundings
from lipsmith.dubbing.options import FACE_WORDS
from lipsmith.dubbing.turns import face_numbers
from lipsmith.errors import InputError, LipsmithError
from lipsmith.live import Live
from lipsmith.live.stream import MIME, FragmentedMP4
from lipsmith.serve.limits import limit_memory
from lipsmith.serve.live import COMMAND, HEADER, MEDIA, OFFER, STATE, packed
from lipsmith.serve.media import inspect
from lipsmith.serve.settings import Settings

_LOG = logging.getLogger(__name__)

_MAX_BEHIND = 0.5
"""Seconds of queued speech above which pauses are shortened."""
_LOSSLESS = 1.5
"""Bytes of a stored pixel, at most about."""
_MAX_SECONDS = 60.0
"""Seconds of footage that a session uses; more would only take longer to prepare."""


def main(arguments: dict[str, Any], source: BinaryIO, sink: BinaryIO) -> None:
    """Run a session, and say why if it fails."""
    settings = Settings.from_json(arguments["settings"])
    limit_memory(settings.memory)
    try:
        _run(settings, arguments, source, sink)
    except LipsmithError as error:
        problem = settings.client_message(str(error), {arguments["upload"]: "film"})
        _send_state(sink, state="failed", problem=problem)


def _run(settings: Settings, arguments: dict[str, Any], source: BinaryIO, sink: BinaryIO) -> None:
    """Load or prepare the clip, then run the session until `source` ends."""
    _send_state(sink, state="preparing")
    dubber = Dubber.from_pretrained(settings.model, settings.device, settings.threads)
    clip = _load_clip(settings, dubber, arguments, sink)
    session = Live(clip, arguments["rate"], strength=arguments["strength"], most_behind=_MAX_BEHIND)
    media = {"mime": MIME, "width": clip.size[0], "height": clip.size[1], "frame_rate": session.frame_rate}
    try:
        if arguments["transport"] == "webrtc":
            _run_webrtc(session, source, sink, media)
            return
        _send_state(sink, state="ready", **media)
        Thread(target=_read_messages, args=(session, source), daemon=True).start()
        _send_media(session, FragmentedMP4(*clip.size, session.frame_rate, session.rate, clip.config.name), sink)
    except InputError as error:
        if isinstance(clip.source, StoredSource):
            shutil.rmtree(_stored_at(settings, dubber, arguments), ignore_errors=True)
        raise LipsmithError("The prepared film of the service was damaged; start the session again.") from error


def _stored_at(settings: Settings, dubber: Dubber, arguments: dict[str, Any]) -> Path:
    """The folder in which sessions with this film, choice of faces and model store the clip."""
    face = arguments["face"]
    chosen = face if face in FACE_WORDS else sorted(face_numbers(face))
    depends = [chosen, dict(dubber.config.files), surroundings()]
    key = hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:32]
    return settings.clips(arguments["sha256"]) / key


def _load_clip(settings: Settings, dubber: Dubber, arguments: dict[str, Any], sink: BinaryIO) -> Clip:
    """Load the clip that an earlier session stored, or prepare and store it; also where the stored one is damaged.

    Raises `LipsmithError` where its frames would fill the disk.
    """
    folder = _stored_at(settings, dubber, arguments)
    try:
        os.utime(folder)  # first, so that it does not expire meanwhile
        clip = Clip.load(folder, dubber)
        ends = np.array([0, len(clip.times) - 1])
        list(clip.source.show(ends, clip.times[ends]))  # loading does not open the frames
        return clip
    except (OSError, LipsmithError):
        shutil.rmtree(folder, ignore_errors=True)
    clip = _prepare(settings, dubber, arguments, sink)
    if shutil.disk_usage(settings.data).free < settings.spare_disk + len(clip.times) * math.prod(clip.size) * _LOSSLESS:
        raise LipsmithError("The disk of the service is nearly full; use a shorter film, or try again later.")
    try:
        clip.save(folder)
        return Clip.load(folder, dubber)  # the film itself cannot be played backward fast
    except (OSError, LipsmithError) as error:  # the disk is full, or another session was faster
        _LOG.warning("the clip was not stored: %s", error)
    return clip


def _prepare(settings: Settings, dubber: Dubber, arguments: dict[str, Any], sink: BinaryIO) -> Clip:
    last = -1

    def progress(done: int, total: int) -> None:
        nonlocal last
        percent = 100 * done // total if total else 0
        if percent != last:
            last = percent
            _send_state(sink, state="preparing", progress=percent / 100)

    film = settings.upload(arguments["upload"])
    inspect(film, settings.max_pixels, settings.max_minutes)  # a client need not wait for the worker's verdict
    return dubber.prepare(film, arguments["face"], end=_MAX_SECONDS, progress=progress)


def _run_webrtc(session: Live, source: BinaryIO, sink: BinaryIO, media: dict[str, Any]) -> None:
    """Answer the first offer, and run until `source` ends or the connection closes. Raises the error of the session."""
    try:
        from lipsmith.live.webrtc import answer
    except ModuleNotFoundError as error:
        _send_state(sink, state="failed", problem=str(error))
        return

    async def run() -> None:
        loop, offers = asyncio.get_running_loop(), asyncio.Queue[str | None]()

        def read() -> None:
            _read_messages(session, source, lambda offer: loop.call_soon_threadsafe(offers.put_nowait, offer))
            with suppress(RuntimeError):  # the loop has ended with the connection
                loop.call_soon_threadsafe(offers.put_nowait, None)

        Thread(target=read, daemon=True).start()
        _send_state(sink, state="ready", **media)
        if (offer := await offers.get()) is None:
            return
        try:
            connection, sdp = await answer(session, offer)
        except InputError as error:
            _send_state(sink, state="failed", problem=str(error))
            return
        _send_state(sink, state="answer", sdp=sdp)

        @connection.on("connectionstatechange")
        def stop_when_closed() -> None:
            if connection.connectionState in ("closed", "failed"):
                offers.put_nowait(None)

        stop_when_closed()  # it may have closed before
        while await offers.get() is not None:
            _LOG.warning("ignored a second offer; a session takes only one")
        await connection.close()

    asyncio.run(run())
    if session.error is not None:
        raise session.error


def _read_messages(session: Live, source: BinaryIO, on_offer: Callable[[str], object] = lambda _: None) -> None:
    """Handle the messages of the server; close the session when they end."""
    try:
        while len(header := source.read(HEADER.size)) == HEADER.size:
            kind, size = HEADER.unpack(header)
            content = source.read(size)
            if kind == COMMAND:
                getattr(session, content.decode())()
            elif kind == OFFER:
                on_offer(content.decode())
            else:
                session.push(np.frombuffer(content, "<i2"))
    except Exception:
        _LOG.exception("a message of the server was not handled")
    finally:
        session.close()


def _send_media(session: Live, stream: FragmentedMP4, sink: BinaryIO) -> None:
    for frame in session.frames():
        _send(sink, MEDIA, stream.add(frame))


def _send_state(sink: BinaryIO, **state: object) -> None:
    _send(sink, STATE, json.dumps(state).encode())


def _send(sink: BinaryIO, kind: bytes, content: bytes) -> None:
    sink.write(packed(kind, content))
    sink.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server handles Ctrl-C, which a terminal sends to both
    logging.basicConfig(level=logging.INFO, format="live: %(message)s")
    try:
        # A copy of stdin, because the reader may still wait for it at the end, and its lock would abort the exit.
        main(json.loads(sys.argv[1]), os.fdopen(os.dup(0), "rb"), sys.stdout.buffer)
    except BrokenPipeError:
        _LOG.info("the server has exited")
