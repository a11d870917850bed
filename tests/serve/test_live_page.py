"""The live page in a real browser, with the fake microphone that Chromium has for tests.

With LIPSMITH_SHOTS=FOLDER the film is demo/actor.mp4 and the page is written there as a picture.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dub_samples import write_wav
from service import Running
from synthetic import DEMO, make_film, speech

sync_api = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ROOT = Path(__file__).parents[2]
SHOTS = os.environ.get("LIPSMITH_SHOTS")
FLAGS = ("--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
PATIENCE = 120_000
"""Milliseconds."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")


@pytest.fixture
def page(service: Running) -> Iterator[Page]:
    """The live page, in which nothing may fail."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened, wrong = browser.new_page(viewport={"width": 900, "height": 900}), []
        opened.set_default_timeout(PATIENCE)
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        opened.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
        opened.goto(service.url)
        opened.click('a[href="/live"]')
        opened.wait_for_url("**/live")
        yield opened
        browser.close()
        assert wrong == []


def shown(page: Page, screen: str = "screen") -> float:
    """Seconds of the stream that were played."""
    return float(page.evaluate(f"document.getElementById('{screen}').currentTime"))


def until_shown(page: Page, seconds: float, screen: str = "screen") -> None:
    for _ in range(PATIENCE // 100):
        if shown(page, screen) > seconds:
            return
        time.sleep(0.1)
    raise AssertionError(f"the stream stands at {shown(page, screen)} s")


def test_a_film_speaks_what_the_microphone_takes_in(page: Page, tmp_path: Path) -> None:
    film = DEMO / "actor.mp4" if SHOTS else make_film(tmp_path / "film.mp4", 0.4, 12.5, (160, 160))
    page.set_input_files("#film-file", film)
    page.wait_for_selector("#session-status:has-text('Ready')")
    until_shown(page, 0.5)
    page.click("#microphone")
    page.wait_for_selector('#microphone[aria-pressed="true"]')
    until_shown(page, shown(page) + 1)
    page.click("#microphone")
    page.set_input_files("#words-file", write_wav(tmp_path / "words.wav", speech(2.0)))
    until_shown(page, shown(page) + 1.5)
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / "live.png", full_page=True)
    page.click("#interrupt")
    until_shown(page, shown(page) + 0.5)
    page.click("#end")
    assert "has ended" in page.inner_text("#session-status")


def test_a_film_that_cannot_be_used_is_told(page: Page, tmp_path: Path) -> None:
    page.set_input_files("#film-file", write_wav(tmp_path / "words.wav", speech(0.2)))
    page.wait_for_selector("#session-problem:not([hidden])")
    assert page.inner_text("#session-problem")


def test_the_documents_call_over_webrtc_shows_the_film(page: Page, service: Running, tmp_path: Path) -> None:
    pytest.importorskip("aiortc", reason="WebRTC needs the live extra")
    (call,) = re.findall(r"```js\n(.*?)```", (ROOT / "docs" / "live.md").read_text(), re.DOTALL)
    film = make_film(tmp_path / "film.mp4", 0.4, 12.5, (160, 160))
    sent = {"file": {"name": film.name, "mimeType": "video/mp4", "buffer": film.read_bytes()}}
    upload = page.request.post(f"{service.url}v1/uploads", multipart=sent).json()["id"]
    page.evaluate(
        f"""async () => {{
          const [upload, video] = ["{upload}", document.createElement("video")];
          video.id = "called";
          document.body.append(video);
          video.muted = video.autoplay = true;
          {call}
        }}"""
    )
    until_shown(page, 1, "called")
    assert page.evaluate("document.getElementById('called').videoWidth") == 160
