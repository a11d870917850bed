"""200 malicious requests: each gets a client error or a closed connection, and the service keeps running."""

from __future__ import annotations

import io
import os
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from service import RunningService, run_service, upload_file, wait_for_job

PATHS = (
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "/etc/passwd",
    "....//....//etc/passwd",
    "..\\..\\windows\\win.ini",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data",
    "concat:/etc/passwd|/etc/hosts",
    "a" * 32 + "\x00.mp4",
    "0" * 31,
    "F" * 32,
    "'; DROP TABLE job; --",
)
GUESSES = tuple(f"{number:032x}" for number in range(8))
DISGUISES = {
    "a ZIP": b"PK\x03\x04",
    "HTML": b"<!doctype html><script>alert(1)</script>",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "a playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "a concat script": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "a DASH manifest": b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'/>",
    "SDP": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 1 RTP/AVP 96\n",
    "a binary": b"\x7fELF\x02\x01\x01",
    "subtitles": b"1\n00:00:00,000 --> 00:00:01,000\nhello\n",
    "empty": b"",
}
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    + b"RIFF0000WAVE" * 50
    + b"\r\n--b--\r\n"
)


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder: working directory, home and temporary folder of the service."""
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def target(outside: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    here = str(outside)
    data = tmp_path_factory.mktemp("target") / "data"
    homes = {"HOME": here, "TMPDIR": here, "LIPSMITH_HOME": here}
    with run_service(data, "--max-upload", "1MB", cwd=outside, impatient=True, **homes) as started:
        yield started


def zip_bomb() -> bytes:
    """A zip file that expands a thousandfold."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("film.mp4", bytes(50_000_000))
    return packed.getvalue()


def huge_png() -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (60_000).to_bytes(4, "big") * 2 + bytes(30)


def raw(target: RunningService, *parts: bytes, seconds: float = 20) -> int:
    """Status of the response to raw bytes; 0 if the connection is closed without one."""
    url = httpx.URL(target.url)
    with socket.create_connection((url.host, url.port), timeout=seconds) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
            response = connection.recv(64)
        except TimeoutError:
            pytest.fail("the connection got no response and was not closed")
        except OSError:
            return 0
    return int(response.split()[1]) if response else 0


def head(length: int | str, kind: bytes = b"multipart/form-data; boundary=b") -> bytes:
    lines = b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Type: %b\r\nContent-Length: %b\r\n\r\n"
    return lines % (kind, str(length).encode())


def requests(target: RunningService, client: httpx.Client, victim_ids: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Description and response status of each request."""
    routes = ("uploads/{}", "uploads/{}/faces", "jobs/{}", "jobs/{}/events", "jobs/{}/result", "jobs/{}/before")
    for path in (*PATHS[:-1], *victim_ids.values()):
        for route in routes:
            yield f"{route} {path}", client.get("/v1/" + route.format(quote(path, safe="%"))).status_code
        yield f"delete {path}", client.delete(f"/v1/jobs/{quote(path, safe='')}").status_code
    for guess in GUESSES:
        yield f"guess {guess}", client.get(f"/v1/jobs/{guess}/result").status_code
    for path in PATHS:
        for field in ("video", "speech", "face", "tail"):
            body = {"video": GUESSES[0], "speech": GUESSES[1], field: path}
            yield f"{field} {path!r}", client.post("/v1/jobs", json=body).status_code
    yield from bodies(client)
    yield from forms(target, client)


def bodies(client: httpx.Client) -> Iterator[tuple[str, int]]:
    valid = {"video": GUESSES[0], "speech": GUESSES[1]}
    extras: tuple[dict[str, object], ...] = (
        {"output": "/etc/cron.d/x"},
        {"callback": "http://evil.example"},
        {"model": "/etc"},
        {"start": -1},
        {"end": 1e308},
        {"preview": 1e9},
        {"video": None},
        {"face": ["1"] * 1000},
        {"face": "1," * 40_000},
    )
    for extra in extras:
        yield f"a job with {str(extra)[:40]}", client.post("/v1/jobs", json=valid | extra).status_code
    deep = b"[" * 60_000
    for content in (b"", b"{", b"\xff\xfe", b"null", deep, b"x" * 100_000, b'{"video":1e999}'):
        response = client.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})
        yield f"a body {content[:20]!r}", response.status_code
    for kind in ("text/plain", "application/xml", "multipart/form-data"):
        yield f"a job as {kind}", client.post("/v1/jobs", content=b"{}", headers={"Content-Type": kind}).status_code


def forms(target: RunningService, client: httpx.Client) -> Iterator[tuple[str, int]]:
    for name, content in DISGUISES.items():
        yield name, client.post("/v1/uploads", files={"file": ("film.mp4", content, "video/mp4")}).status_code
    for name, content in (("a zip bomb", zip_bomb()), ("a huge picture", huge_png()), ("too large", bytes(2_000_000))):
        yield name, client.post("/v1/uploads", files={"file": ("film.mp4", content)}).status_code
    yield "another field", client.post("/v1/uploads", files={"film": ("f", FORM)}).status_code
    for kind in (
        b"application/json",
        b"text/plain",
        b"",
        b"multipart/form-data",
        b"multipart/form-data; boundary=" + b"b" * 300,
    ):
        yield f"a form as {kind[:40]!r}", raw(target, head(len(FORM), kind), FORM)
    long_name = FORM.replace(b'"f"', b'"' + b"../" * 3_500_000 + b'"')
    yield "a name of 10 MB", raw(target, head(len(long_name)), long_name)
    yield "a field of 10 MB", raw(target, head(len(FORM) + 10**7), FORM.replace(b'"file"', b'"' + b"n" * 10**7 + b'"'))
    for cut in range(0, len(FORM) - 1, 60):
        yield f"cut off at {cut}", raw(target, head(len(FORM)), FORM[:cut])
        yield f"a form that ends at {cut}", raw(target, head(cut), FORM[:cut])
    for length in (10**10, 10**15, "9" * 100, "-1", "x"):
        yield f"a length of {length}", raw(target, head(length), FORM)
    yield "not HTTP", raw(target, bytes(range(256)) * 10)
    yield "a header of 1 MB", raw(target, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 10**6 + b"\r\n\r\n")


def open_stalled(target: RunningService) -> list[socket.socket]:
    """Connections that start a request and then stall."""
    url = httpx.URL(target.url)
    starts = (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", head(1000), head(1000) + FORM[:100])
    opened = []
    for start in starts:
        connection = socket.create_connection((url.host, url.port), timeout=60)
        connection.sendall(start)
        opened.append(connection)
    return opened


def test_malicious_requests_are_rejected(
    target: RunningService, outside: Path, film: Path, voice: Path, tmp_path: Path
) -> None:
    with target.client() as victim, target.client() as attacker:
        inputs = {"video": upload_file(victim, film), "speech": upload_file(victim, voice)}
        job = victim.post("/v1/jobs", json=inputs).json()["id"]
        assert wait_for_job(victim, job)["state"] == "done"
        worker, stalled = target.worker(), open_stalled(target)
        results = list(requests(target, attacker, inputs | {"job": job}))
        assert len(results) + len(stalled) >= 200
        assert [(what, status) for what, status in results if status and not 400 <= status < 500] == []
        for connection in stalled:
            response = connection.recv(64)
            assert not response or response.split()[1] == b"408"
            connection.close()
        assert attacker.get("/healthz").json()["status"] == "ok"
        assert target.worker() == worker
        assert victim.get(f"/v1/jobs/{job}/result").status_code == 200
        assert wait_for_job(victim, victim.post("/v1/jobs", json=inputs).json()["id"])["state"] == "done"
        stored = {path.name for path in (target.data / "uploads").iterdir()}
    assert stored == {inputs["video"], inputs["speech"]}
    assert os.listdir(outside) == []  # noqa: PTH208 - names only
