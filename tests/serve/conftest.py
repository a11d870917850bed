"""One service for all tests of this folder, and the files that they upload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the service needs the serve extra")
pytest.importorskip("httpx")

import httpx

from dub_samples import write_wav
from service import RunningService, run_service, upload_file
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
