"""Streams the file of a multipart request to disk; memory use does not depend on its size."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from anyio import to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from lipsmith.serve.problems import Problem
from lipsmith.serve.sniff import HEAD

_OVERHEAD: Final = 64 * 1024
"""Bytes allowed outside the file: boundaries, headers and other fields."""
_FLUSH_SIZE: Final = 1 << 20
_DIGITS: Final = 18
"""Digits of a size that are read; what has more is too large anyway."""
_GRACE_SECONDS: Final = 60.0
_DRAIN_BYTES: Final = 16 << 20
_DRAIN_SECONDS: Final = 2.0
_MIN_RATE: Final = 4096
"""Minimum average bytes per second after the first `_GRACE_SECONDS`."""


@dataclass(frozen=True)
class Received:
    """The received file: its size in bytes, its first `HEAD` bytes and its SHA-256."""

    size: int
    head: bytes
    digest: str


async def receive_file(request: Request, path: Path, limit: int, check_disk: Callable[[int], None]) -> Received:
    """Write the request's field `file` to `path`; before each part, `check_disk` is called with its size in bytes.

    Raises `Problem`: 400 for a malformed body or a missing field, 408 for a slow transfer, 413 for more than `limit`
    bytes, 415 for a request that is not a form, 507 for a disk that is full. The caller removes a partial file.
    """
    try:
        return await _receive(request, path, limit, check_disk)
    except Problem:
        if not (request.state.body_ended or _waits(request)):
            await _drain(request)
        raise


async def _receive(request: Request, path: Path, limit: int, check_disk: Callable[[int], None]) -> Received:
    boundary = _boundary(request)
    if (declared_size(request) or 0) > limit + _OVERHEAD:
        raise too_large(limit)
    with _open(path) as file:
        writer = _Writer(file, limit, check_disk)
        try:
            parser = MultipartParser(boundary, writer.callbacks())  # type: ignore[arg-type]
            async for chunk in _checked_chunks(request, limit):
                parser.write(chunk)
                if len(writer.pending) >= _FLUSH_SIZE:
                    await to_thread.run_sync(writer.flush)
            parser.finalize()
        except (FormParserError, ValueError) as error:
            raise Problem(400, f"The form is malformed ({error}); send one multipart field named file.") from error
        except ClientDisconnect as error:
            raise Problem(400, "The connection ended before the file was complete; send it again.") from error
        await to_thread.run_sync(writer.flush)
    if not writer.ended:
        raise Problem(400, "The form is incomplete; send it again.")
    if not writer.found:
        raise Problem(400, "The form has no field named file; send the film or the speech in it.")
    return Received(writer.size, writer.head, writer.hash.hexdigest())


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """The new file at `path`. Raises `Problem` 507 if it cannot be written, as on a full disk."""
    try:
        with path.open("wb") as file:
            yield file
    except OSError as error:
        raise Problem(507, f"The file could not be stored ({error.strerror}); try again later.") from error


def declared_size(request: Request) -> int | None:
    """Bytes of the body by its header; None if it does not say."""
    declared = request.headers.get("content-length", "")
    return int(declared[:_DIGITS]) if declared.isdecimal() else None


def too_large(limit: int) -> Problem:
    """The error for a file of more than `limit` bytes."""
    return Problem(413, f"The file is larger than {limit / 1e6:g} MB; shorten it or compress it.", Connection="close")


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        raise Problem(415, "The request is not a form; send multipart/form-data with the file in the field file.")
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:
        raise Problem(400, "The form has no boundary of 1 to 70 characters; let your HTTP library build the form.")
    return boundary


def _waits(request: Request) -> bool:
    """Whether the client sends nothing before it is asked to, and was not asked: reading on would ask it."""
    return not request.state.body_begun and request.headers.get("expect", "").lower() == "100-continue"


async def _drain(request: Request) -> None:
    """Read on briefly: a client that is still sending would otherwise never see the error response."""
    remaining = _DRAIN_BYTES
    with suppress(TimeoutError, ClientDisconnect, Problem):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while remaining > 0 and (message := await request.receive()).get("more_body"):
                remaining -= len(message.get("body", b""))


async def _checked_chunks(request: Request, limit: int) -> AsyncIterator[bytes]:
    started, received = time.monotonic(), 0
    async for chunk in request.stream():
        received += len(chunk)
        measured = time.monotonic() - started - _GRACE_SECONDS
        if measured > 0 and received < measured * _MIN_RATE:
            raise Problem(408, "The upload is too slow; use a faster connection.", Connection="close")
        if received > limit + _OVERHEAD:  # empty fields, or what follows the form
            raise too_large(limit)
        yield chunk


class _Writer:
    """Callbacks of the parser; they write the field `file` and ignore other fields."""

    def __init__(self, file: BinaryIO, limit: int, check_disk: Callable[[int], None]) -> None:
        self._file, self._limit, self._check_disk = file, limit, check_disk
        self.size, self.head, self.hash = 0, b"", hashlib.sha256()
        self.pending = bytearray()
        self.found = self.ended = False
        self._name, self._value = bytearray(), bytearray()
        self._disposition = b""
        self._in_file, self._other_bytes = False, 0

    def callbacks(self) -> dict[str, object]:
        return {
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_part,
            "on_part_data": self._add_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def flush(self) -> None:
        """Write and hash the pending bytes; blocks on the disk."""
        self._check_disk(len(self.pending))
        self.hash.update(self.pending)
        self._file.write(self.pending)
        self.pending.clear()

    def _end_header(self) -> None:
        if bytes(self._name).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _begin_part(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._in_file = options.get(b"name") == b"file"
        if self._in_file and self.found:
            raise Problem(400, "The form has two fields named file; send one file per request.")
        self.found = self.found or self._in_file
        self._disposition = b""

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if not self._in_file:
            self._other_bytes += end - start
            if self._other_bytes > _OVERHEAD:
                remedy = "send only the film or the speech, as the field file"
                raise Problem(413, f"Fields other than file are too large; {remedy}.", Connection="close")
            return
        self.size += end - start
        if self.size > self._limit:
            raise too_large(self._limit)
        if len(self.head) < HEAD:
            self.head += data[start : min(end, start + HEAD - len(self.head))]
        self.pending += data[start:end]

    def _end_part(self) -> None:
        self._in_file = False

    def _end(self) -> None:
        self.ended = True
