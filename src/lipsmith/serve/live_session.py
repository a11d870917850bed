"""The process of one live session: sound and commands on standard input, states and media on standard output.

`python -m lipsmith.serve.live_session WORDS` is started by the server, with what it needs to know as JSON.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from threading import Thread
from typing import Any, BinaryIO

import numpy as np

from lipsmith import Clip, Dubber
from lipsmith.errors import InputError, LipsmithError
from lipsmith.live import Live
from lipsmith.live.stream import MIME, FragmentedMP4
from lipsmith.serve.limits import limit_memory
from lipsmith.serve.live import COMMAND, HEADER, MEDIA, STATE
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
    _tell(sink, state="ready", mime=MIME, width=clip.size[0], height=clip.size[1], frame_rate=session.frame_rate)
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


def _listen(session: Live, source: BinaryIO) -> None:
    """Push what comes; close the session when the server is gone."""
    while len(header := source.read(HEADER.size)) == HEADER.size:
        kind, size = HEADER.unpack(header)
        content = source.read(size)
        if kind == COMMAND:
            getattr(session, content.decode())()
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
