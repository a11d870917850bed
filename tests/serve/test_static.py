"""Scripts and styles of the page."""

from __future__ import annotations

import mimetypes

import pytest

pytest.importorskip("fastapi", reason="the service needs the serve extra")

from fastapi import FastAPI
from fastapi.testclient import TestClient

from lipsmith.serve.page import mount


def test_a_browser_accepts_the_scripts_whatever_the_system_calls_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mimetypes, "_db", mimetypes.MimeTypes())
    mimetypes.add_type("text/plain", ".js")  # as programs on Windows do
    app = FastAPI()
    mount(app)
    assert TestClient(app).get("/static/app.js").headers["content-type"].startswith("text/javascript")
