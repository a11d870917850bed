"""Access control: owners, tokens, cross-site requests, and security headers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import time
from pathlib import Path

import httpx
import pytest
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lipsmith.serve.auth import AuthMiddleware, FailedLogins, _secret, address_of, session_value
from lipsmith.serve.settings import Settings
from service import RunningService, assert_problem, run_service, wait_for_job


def test_clients_cannot_access_each_other(
    client: httpx.Client, service: RunningService, uploads: dict[str, str]
) -> None:
    job = client.post("/v1/jobs", json=uploads).json()["id"]
    wait_for_job(client, job)
    with service.client() as other:
        assert other.get("/v1/jobs").json() == []
        for path in ("", "/events", "/result", "/before"):
            assert_problem(other.get(f"/v1/jobs/{job}{path}"), 404)
        assert_problem(other.delete(f"/v1/jobs/{job}"), 404)
        assert_problem(other.delete(f"/v1/jobs/{job}/result"), 404)
        assert_problem(other.get(f"/v1/uploads/{uploads['video']}"), 404)
        assert_problem(other.get(f"/v1/uploads/{uploads['video']}/faces"), 404)
        assert_problem(other.post("/v1/jobs", json=uploads), 404)
    assert client.get(f"/v1/jobs/{job}/result").status_code == 200


def test_every_response_has_the_security_headers(client: httpx.Client) -> None:
    for path in ("/", "/v1/jobs", "/static/style.css", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
    set_cookie = httpx.get(client.base_url).headers["set-cookie"]
    assert "HttpOnly" in set_cookie
    assert "SameSite=Strict" in set_cookie


def test_cross_site_requests_are_rejected(client: httpx.Client) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert_problem(client.post("/v1/jobs", json={}, headers=headers), 403)
    for host in ("evil.example", "["):
        assert_problem(client.get("/v1/jobs", headers={"Host": host}), 400)
    own = str(client.base_url).rstrip("/")
    assert_problem(client.post("/v1/jobs", json={}, headers={"Origin": own, "Sec-Fetch-Site": "same-origin"}), 422)


def test_a_token_is_required_and_accepted(tmp_path: Path) -> None:
    with run_service(tmp_path / "data", "--host", "0.0.0.0", LIPSMITH_TOKEN="correct horse") as service:
        url = service.url.replace("0.0.0.0", "127.0.0.1")
        with httpx.Client(base_url=url) as client:
            assert_problem(client.get("/v1/jobs"), 401, "Send the token")
            assert client.get("/v1/jobs").headers["www-authenticate"] == "Bearer"
            assert_problem(client.get("/v1/jobs", headers={"Authorization": "Bearer wrong"}), 401, "token is wrong")
            assert client.get("/v1/jobs", headers={"Authorization": "Bearer correct horse"}).json() == []
            assert_problem(client.get("/metrics"), 401)
            for host in ("x/healthz?", "x/static/", "x/login?"):
                assert_problem(client.get("/v1/jobs", headers={"Host": host}), 401)
            assert client.get("/healthz").status_code == 200
            assert all("password" in client.get(path).text for path in ("/", "/live"))
            assert client.post("/login", data={"token": "wrong horse"}).headers["location"] == "/?wrong"
            assert_problem(client.get("/v1/jobs"), 401)
            assert client.post("/login", data={"token": "correct horse"}).headers["location"] == "/"
            assert client.get("/v1/jobs").json() == []
            for _ in range(10):
                client.post("/login", data={"token": "wrong horse"})
            client.cookies.clear()
            assert client.post("/login", data={"token": "correct horse"}).headers["location"] == "/?wait"
            assert_problem(client.get("/v1/jobs"), 401)
            response = client.get("/v1/jobs", headers={"Authorization": "Bearer correct horse"})
            assert_problem(response, 429)
            assert int(response.headers["retry-after"]) > 0


def test_a_proxy_tells_clients_apart(tmp_path: Path) -> None:
    token, wrong = ({"Authorization": f"Bearer {words}"} for words in ("correct horse", "wrong"))
    options = ("--host", "0.0.0.0", "--proxy", "127.0.0.1")
    with run_service(tmp_path / "data", *options, LIPSMITH_TOKEN="correct horse") as service:
        url = service.url.replace("0.0.0.0", "127.0.0.1")
        with httpx.Client(base_url=url, headers={"X-Forwarded-Proto": "https"}) as client:
            ours, theirs = ({"X-Forwarded-For": address} for address in ("192.0.2.1", "192.0.2.2"))
            for _ in range(10):
                client.get("/v1/jobs", headers=wrong | theirs)
            assert_problem(client.get("/v1/jobs", headers=token | theirs), 429)
            response = client.get("/v1/jobs", headers=token | ours)
            assert response.json() == []
            assert "Secure" in response.headers["set-cookie"]


def test_other_cookies_are_not_unquoted(client: httpx.Client) -> None:
    """Python before 3.11.10 takes 15 s for this one, in which the service would answer nobody."""
    began = time.monotonic()
    cookies = 'other="' + 60_000 * "\\" + '"; lipsmith_client=' + 32 * "a"
    response = client.get("/v1/jobs", headers={"Cookie": cookies})
    assert response.json() == []
    assert "set-cookie" not in response.headers
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("sent", ["x", 31 * "a" + "G", 33 * "a", "../" + 29 * "a"])
def test_a_cookie_that_no_service_made_is_replaced(client: httpx.Client, sent: str) -> None:
    response = client.get("/v1/jobs", headers={"Cookie": f"lipsmith_client={sent}"})
    assert re.match("lipsmith_client=[0-9a-f]{32};", response.headers["set-cookie"])


def test_a_cookie_made_of_a_guessed_token_tries_nothing(tmp_path: Path) -> None:
    """Cookies have no limit of wrong ones."""
    owner, token = "a" * 32, "correct horse"
    guess = hmac.new(token.encode(), owner.encode(), hashlib.sha256).hexdigest()
    settings = Settings(data=tmp_path, token=token)
    issued = session_value(settings, owner)
    assert ask(settings, Cookie=f"lipsmith_client={owner}; lipsmith_session={guess}") == 401
    _secret.cache_clear()  # as after a restart
    assert ask(settings, Cookie=f"lipsmith_client={owner}; lipsmith_session={issued}") == 200
    assert ask(settings, Cookie=f"lipsmith_client={'b' * 32}; lipsmith_session={issued}") == 401
    assert os.name != "posix" or (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2:0:0:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_addresses_of_one_network_of_ipv6_count_as_one(one: str, other: str, same: bool) -> None:
    first, second = (address_of(HTTPConnection({"type": "http", "client": (host, 1)})) for host in (one, other))
    assert (first == second) is same


@pytest.mark.parametrize(("proxy", "status"), [("127.0.0.1", 200), (None, 400)])
def test_the_host_of_a_proxy_is_accepted(tmp_path: Path, proxy: str | None, status: int) -> None:
    settings = Settings(data=tmp_path, proxy=proxy, token="correct horse")
    assert ask(settings, Authorization="Bearer correct horse", Host="dub.example") == status


def test_the_password_of_a_proxy_is_no_wrong_token(tmp_path: Path) -> None:
    """Browsers send it with every request, and proxies pass it on."""
    settings, owner = Settings(data=tmp_path, token="correct horse"), "a" * 32
    cookies = f"lipsmith_client={owner}; lipsmith_session={session_value(settings, owner)}"
    assert ask(settings, Authorization="Basic dXNlcjp3b3Jkcw==", Cookie=cookies) == 200
    assert ask(settings, Authorization="Basic dXNlcjp3b3Jkcw==") == 401
    assert ask(settings, Authorization="Bearer wrong horse", Cookie=cookies) == 401


def ask(settings: Settings, **headers: str) -> int:
    """The status of a request for jobs."""

    async def found(scope: Scope, receive: Receive, send: Send) -> None:
        await Response()(scope, receive, send)

    async def get() -> int:
        transport = httpx.ASGITransport(AuthMiddleware(found, settings, FailedLogins()))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get("/v1/jobs", headers=headers)).status_code

    return asyncio.run(get())
