"""One service for all tests of this folder, and what is sent to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the service needs the serve extra")
pytest.importorskip("httpx")

import httpx

from dub_samples import write_wav
from service import Running, running, send
from synthetic import make_film, speech


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """0.4 s of the moving face, with sound."""
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", 0.4, 25, (160, 160), audio=speech(0.4))


@pytest.fixture(scope="session")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """0.4 s of speech."""
    return write_wav(tmp_path_factory.mktemp("voice") / "voice.wav", speech(0.4))


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that nobody changes."""
    with running(tmp_path_factory.mktemp("service") / "data", "--max-upload", "20MB", "--max-minutes", "1") as started:
        yield started


@pytest.fixture
def client(service: Running) -> Iterator[httpx.Client]:
    """A client that has sent nothing yet."""
    with service.client() as made:
        yield made


@pytest.fixture
def uploads(client: httpx.Client, film: Path, voice: Path) -> dict[str, str]:
    """Film and voice, sent, as a job names them."""
    return {"video": send(client, film), "speech": send(client, voice)}
