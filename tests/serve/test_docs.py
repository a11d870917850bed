"""The examples of docs/serve.md work with a running service."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lipsmith.media import probe
from service import RunningService

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
DEFAULT = "http://127.0.0.1:7860"


def block(language: str, word: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    return next(str(text) for text in found if word in text)


@pytest.fixture
def folder(film: Path, voice: Path, tmp_path: Path) -> Path:
    shutil.copy(film, tmp_path / "film.mp4")
    shutil.copy(voice, tmp_path / "speech.wav")
    return tmp_path


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_example_dubs(service: RunningService, folder: Path) -> None:
    script = block("bash", "curl").replace(DEFAULT, service.url.rstrip("/"))
    done = subprocess.run(["bash", "-eu", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"state":"done"' in done.stdout
    assert probe(folder / "dubbed.mp4").frames == 10
    assert (folder / "head.bin").stat().st_size == 1024


def test_the_python_example_dubs(service: RunningService, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(block("python", "Client").replace(DEFAULT, service.url), {})
    assert probe(folder / "dubbed.mp4").frames == 10


def test_the_table_lists_every_route(service: RunningService) -> None:
    with service.client() as client:
        routes = client.get("/openapi.json").json()["paths"]
    named = DOCUMENT.replace("`, `/", " /v1/jobs/{id}/")
    for route in routes:
        pattern = re.sub(r"\{\w+\}", "{id}", route)
        assert pattern in named or pattern.rsplit("/", 1)[-1] in named, pattern
