"""One service for all tests of this folder, and the files that they upload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("fastapi", reason="the service needs the serve extra")
pytest.importorskip("httpx")

import httpx

from chromium import SHOTS, TIMEOUT_MS, is_foreign, launch
from dub_samples import two_faces, write_film, write_wav
from service import RunningService, run_service, upload_file
from synthetic import DEMO, SPEECH, make_film, speech

if TYPE_CHECKING:
    from fastapi.testclient import TestClient
    from playwright.sync_api import Browser, BrowserContext, Page

    from lipsmith.serve.service import Service
    from lipsmith.serve.settings import Settings


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """0.4 s of the moving face, with sound."""
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", 0.4, 25, (160, 160), audio=speech(0.4))


@pytest.fixture(scope="session")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """0.4 s of speech."""
    return write_wav(tmp_path_factory.mktemp("voice") / "voice.wav", speech(0.4))


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A shared service; tests must not stop it."""
    with run_service(
        tmp_path_factory.mktemp("service") / "data", "--max-upload", "20MB", "--max-minutes", "1"
    ) as started:
        yield started


@pytest.fixture
def client(service: RunningService) -> Iterator[httpx.Client]:
    """A new client without uploads."""
    with service.client() as created:
        yield created


@pytest.fixture
def uploads(client: httpx.Client, film: Path, voice: Path) -> dict[str, str]:
    """Ids of the uploaded film and voice, as fields of a job."""
    return {"video": upload_file(client, film), "speech": upload_file(client, voice)}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a service whose data folder is there, with nothing in it."""
    from lipsmith.serve.settings import Settings

    for name in ("uploads", "clips", "tmp", "jobs"):
        (tmp_path / name).mkdir()
    return Settings(data=tmp_path)


@pytest.fixture
def routes(settings: Settings) -> TestClient:
    """A client of a service that runs no worker, so that jobs stay queued."""
    from fastapi.testclient import TestClient

    from lipsmith.serve.app import make_app

    return TestClient(make_app(settings), base_url="http://localhost")


@pytest.fixture
def idle(routes: TestClient) -> Service:
    """The service of `routes`."""
    found: Service = routes.app.state.service  # type: ignore[attr-defined]
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of a file."""
    with launch() as browser:
        yield browser


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A film, a short speech and a long one."""
    folder = tmp_path_factory.mktemp("footage")
    if SHOTS:
        return {"film": DEMO / "actor.mp4", "speech": SPEECH, "long": SPEECH}
    return {
        "film": make_film(folder / "film.mp4", 0.6, 25, (160, 160), audio=speech(0.6)),
        "speech": write_wav(folder / "speech.wav", speech(0.4)),
        "long": write_wav(folder / "long.wav", speech(40)),
    }


@pytest.fixture(scope="module")
def couple(footage: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same with a film of two faces."""
    path = tmp_path_factory.mktemp("couple") / "two.mp4"
    write_film(path, [two_faces(time=number / 25) for number in range(8)])
    return footage | {"film": path}


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A new browser profile."""
    created = browser.new_context(viewport={"width": 900, "height": 800}, accept_downloads=True)
    created.set_default_timeout(TIMEOUT_MS)
    yield created
    created.close()


@pytest.fixture
def page(context: BrowserContext, service: RunningService) -> Iterator[Page]:
    """The page; script errors, console errors and requests to other servers fail the test."""
    opened, errors = context.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    opened.on("request", lambda request: errors.append(request.url) if is_foreign(request.url, service.url) else None)
    opened.goto(service.url)
    yield opened
    assert [line for line in errors if "status of 4" not in line] == []
