"""One file of a multipart request, written to disk as it arrives: nothing is held, whatever its size."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from anyio import to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from lipsmith.serve.problems import Problem
from lipsmith.serve.sniff import HEAD

_OVERHEAD: Final = 64 * 1024
"""Bytes of a request that are not the file: boundaries, headers, other small fields."""
_BLOCK: Final = 1 << 20
_GRACE: Final = 60.0
_DRAINED: Final = 16 << 20
_MOMENT: Final = 2.0
_SLOWEST: Final = 4096
"""Bytes a second that an upload must reach on average after `_GRACE` seconds."""


@dataclass
class Received:
    """What was written: how many bytes, their SHA-256, and the first `HEAD` of them."""

    size: int = 0
    head: bytes = b""
    digest: str = ""


async def receive_file(request: Request, path: Path, limit: int) -> Received:
    """Write the request's field `file` to `path`.

    Raises `Problem`: 400 for a body that is not what its headers say or lacks the field, 408 for one that comes too
    slowly, 413 for more than `limit` bytes, 415 for a request that is no form. What was written then stays.
    """
    try:
        return await _receive(request, path, limit)
    except Problem:
        if not request.state.body_ended:
            await _drain(request)
        raise


async def _receive(request: Request, path: Path, limit: int) -> Received:
    boundary = _boundary(request)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > limit + _OVERHEAD):
        raise too_large(limit)
    with path.open("wb") as file:
        writer = _Writer(file, limit)
        try:
            parser = MultipartParser(boundary, writer.callbacks())  # type: ignore[arg-type]
            async for chunk in _paced(request):
                parser.write(chunk)
                if len(writer.pending) >= _BLOCK:
                    await to_thread.run_sync(writer.flush)
            parser.finalize()
        except (FormParserError, ValueError) as error:
            raise Problem(400, f"The form cannot be read ({error}); send one multipart field named file.") from error
        except ClientDisconnect as error:
            raise Problem(400, "The connection ended before the file did; send it again.") from error
        await to_thread.run_sync(writer.flush)
    if not writer.ended:
        raise Problem(400, "The form has no end; send it again.")
    if not writer.found:
        raise Problem(400, "The form has no field named file; send the film or the speech in it.")
    return Received(writer.received.size, writer.received.head, writer.hash.hexdigest())


def too_large(limit: int) -> Problem:
    """The answer to a file of more than `limit` bytes."""
    return Problem(413, f"The file is larger than {limit / 1e6:g} MB; shorten it or compress it.", Connection="close")


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        raise Problem(415, "An upload is a form; send it as multipart/form-data with the file in the field file.")
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:
        raise Problem(400, "The form names no boundary of 1 to 70 characters; let your HTTP library make the form.")
    return boundary


async def _drain(request: Request) -> None:
    """Read on for a moment: a client that is still sending would be cut off before it sees why it was refused."""
    left = _DRAINED
    with suppress(TimeoutError, ClientDisconnect, Problem):
        async with asyncio.timeout(_MOMENT):
            while left > 0 and (message := await request.receive()).get("more_body"):
                left -= len(message.get("body", b""))


async def _paced(request: Request) -> AsyncIterator[bytes]:
    began, received = time.monotonic(), 0
    async for chunk in request.stream():
        received += len(chunk)
        waited = time.monotonic() - began - _GRACE
        if waited > 0 and received < waited * _SLOWEST:
            raise Problem(408, "The file comes too slowly; send it over a faster connection.", Connection="close")
        yield chunk


@dataclass
class _Writer:
    """Callbacks of the parser; they keep the field `file` and pass over all others."""

    file: BinaryIO
    limit: int
    received: Received = field(default_factory=Received)
    pending: bytearray = field(default_factory=bytearray)
    found: bool = False
    ended: bool = False

    def __post_init__(self) -> None:
        self.hash = hashlib.sha256()
        self._name, self._value = bytearray(), bytearray()
        self._disposition = b""
        self._inside, self._others = False, 0

    def callbacks(self) -> dict[str, object]:
        return {
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header,
            "on_headers_finished": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def flush(self) -> None:
        """Write and hash what has come; blocks on the disk."""
        self.hash.update(self.pending)
        self.file.write(self.pending)
        self.pending.clear()

    def _header(self) -> None:
        if bytes(self._name).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _begin(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._inside = options.get(b"name") == b"file"
        if self._inside and self.found:
            raise Problem(400, "The form has two fields named file; send one file a request.")
        self.found = self.found or self._inside
        self._disposition = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        if not self._inside:
            self._others += end - start
            if self._others > _OVERHEAD:
                raise Problem(413, "Fields other than file are too long; send the file alone.", Connection="close")
            return
        self.received.size += end - start
        if self.received.size > self.limit:
            raise too_large(self.limit)
        if len(self.received.head) < HEAD:
            self.received.head += data[start : min(end, start + HEAD - len(self.received.head))]
        self.pending += data[start:end]

    def _end_part(self) -> None:
        self._inside = False

    def _end(self) -> None:
        self.ended = True
