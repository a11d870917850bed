from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("httpx", reason="the client needs the serve extra")

import httpx

from lipsmith.client import Client
from lipsmith.errors import UsageError


@pytest.mark.parametrize("token", ["Schlüsselwort", "secret-word\n", " secret-word"])
def test_a_token_that_no_header_can_hold_is_refused(token: str) -> None:
    """As by a service, which has no such token."""
    with pytest.raises(UsageError, match="cannot be sent in a header"):
        Client(token=token)
    Client(token="correct horse battery staple").close()


REQUESTS: list[tuple[Callable[[Any], object], object, str]] = [
    (Client, "localhost:7860", "The address 'localhost:7860' is not one of a service; give one such as http://"),
    (Client, None, "The address None is not one of a service"),
    (lambda file: Client().upload(file), None, "The file is of type NoneType; give a path"),
    (lambda file: Client().save("0", file), 5, "The result is of type int; give a path"),
    (lambda file: Client().save("0", file), "", "The result is an empty path; give a path"),
    (lambda file: Client().save("0", file), "dubbed.mkv", "dubbed.mkv: the result is an MP4 film; its name must"),
]


@pytest.mark.parametrize(("request_", "given", "said"), REQUESTS)
def test_arguments_of_wrong_kinds_are_usage_errors(request_: Callable[[Any], object], given: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        request_(given)


def test_an_error_has_the_response_as_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a program can tell what to repeat later from what to give up."""
    busy = httpx.Response(429, headers={"Retry-After": "7"})
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda *_: busy)
    with Client() as client, pytest.raises(UsageError, match="status 429") as raised:
        client.jobs()
    cause = raised.value.__cause__
    assert isinstance(cause, httpx.HTTPStatusError)
    assert cause.response.headers["Retry-After"] == "7"
