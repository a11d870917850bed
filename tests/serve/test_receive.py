"""The file of a request is written, or its client is told why not."""

from __future__ import annotations

import asyncio
import errno
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.requests import Request
from starlette.types import Message

from lipsmith.serve import receive
from lipsmith.serve.problems import Problem
from lipsmith.serve.receive import receive_file

FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nwords\r\n--b--\r\n'


def request(*more: bytes, form: bytes = FORM) -> Request:
    """A request with a form whose field `file` is `words`, and with `more` after it."""
    parts = [form, *more]

    async def receive() -> Message:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    return Request({"type": "http", "headers": headers, "state": {"body_ended": True}}, receive)


def test_the_disk_is_checked_before_a_file_is_written(tmp_path: Path) -> None:
    sizes: list[int] = []
    received = asyncio.run(receive_file(request(), tmp_path / "part", 100, sizes.append))
    assert (received.size, sizes, (tmp_path / "part").read_bytes()) == (5, [5], b"words")


def test_a_full_disk_is_a_problem_with_a_sentence(tmp_path: Path) -> None:
    def fail(size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Problem, match="No space left on device") as raised:
        asyncio.run(receive_file(request(), tmp_path / "part", 100, fail))
    assert raised.value.status_code == 507


def test_what_follows_a_form_is_not_read_without_end(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="larger than") as raised:
        asyncio.run(receive_file(request(*100 * [bytes(1000)]), tmp_path / "part", 100, lambda size: None))
    assert raised.value.status_code == 413


def test_a_film_in_another_field_is_told_its_field(tmp_path: Path) -> None:
    form = FORM.replace(b'"file"', b'"film"').replace(b"words", bytes(100_000))
    with pytest.raises(Problem, match="the speech, as the field file"):
        asyncio.run(receive_file(request(form=form), tmp_path / "part", 1_000_000, lambda size: None))


NOTE = b'--b\r\nContent-Type: text/plain\r\nContent-Disposition: form-data; name="note"\r\n\r\nmine\r\n'


@pytest.mark.parametrize("form", [NOTE + FORM, FORM.removesuffix(b"--b--\r\n") + NOTE + b"--b--\r\n"])
def test_other_fields_may_precede_or_follow_the_file(tmp_path: Path, form: bytes) -> None:
    received = asyncio.run(receive_file(request(form=form), tmp_path / "part", 100, lambda size: None))
    assert (received.size, (tmp_path / "part").read_bytes(), received.head) == (5, b"words", b"words")


def test_two_files_are_refused(tmp_path: Path) -> None:
    form = FORM.removesuffix(b"--b--\r\n") + FORM
    with pytest.raises(Problem, match="two fields named file; send one file per request") as raised:
        asyncio.run(receive_file(request(form=form), tmp_path / "part", 100, lambda size: None))
    assert raised.value.status_code == 400


@pytest.mark.parametrize(("seconds", "slow"), [(60.0, False), (61.0, True)])
def test_an_upload_that_trickles_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, slow: bool
) -> None:
    """It would keep a connection for days: after a minute, 4 kB a second are needed."""
    monkeypatch.setattr(receive, "time", SimpleNamespace(monotonic=chain([0.0], repeat(seconds)).__next__))
    if slow:
        with pytest.raises(Problem, match="too slow") as raised:
            asyncio.run(receive_file(request(), tmp_path / "part", 100, lambda size: None))
        assert raised.value.status_code == 408
    else:
        assert asyncio.run(receive_file(request(), tmp_path / "part", 100, lambda size: None)).size == 5


@pytest.mark.parametrize("expects", [False, True])
def test_a_client_that_waits_is_told_before_it_sends_its_file(tmp_path: Path, expects: bool) -> None:
    """As curl does, which is not reset then: the sentence reaches it. What others send already is read on."""
    received: list[Message] = []

    async def receive() -> Message:
        received.append({"type": "http.request", "body": FORM, "more_body": False})
        return received[-1]

    headers = [(b"content-type", b"multipart/form-data; boundary=b"), (b"content-length", b"1000000")]
    headers += [(b"expect", b"100-continue")] if expects else []
    state = {"body_begun": False, "body_ended": False}
    waiting = Request({"type": "http", "headers": headers, "state": state}, receive)
    with pytest.raises(Problem, match="larger than"):
        asyncio.run(receive_file(waiting, tmp_path / "part", 100, lambda size: None))
    assert len(received) == (0 if expects else 1)
