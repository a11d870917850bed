"""Starts Chromium for tests of the page, and performs actions that several tests share.

With LIPSMITH_SHOTS=FOLDER the film is demo/actor.mp4, and screenshots are written there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SHOTS = os.environ.get("LIPSMITH_SHOTS")
TIMEOUT_MS = 600_000 if SHOTS else 90_000
_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = ("--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

ASK_SLOWLY = """() => {
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    window.streams = [];
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      await new Promise((resolve) => setTimeout(resolve, 500));
      window.streams.push(await ask(wanted));
      return window.streams.at(-1);
    };
}"""
"""Makes the browser slow to give a camera or microphone, and keeps what it gave in `streams`."""

needs_chromium = pytest.mark.skipif(
    _CHROMIUM is None or find_spec("playwright") is None,
    reason="the page's tests need playwright and Chromium: apt-get install chromium",
)


@contextmanager
def launch() -> Iterator[Browser]:
    """Start Chromium without a window, with a fake camera and microphone."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        yield browser
        browser.close()


def is_foreign(request: str, own: str) -> bool:
    """Return whether a request goes to another server than `own`."""
    return not request.startswith(("blob:", "data:")) and urlsplit(request).netloc != urlsplit(own).netloc


def screenshot(page: Page, name: str) -> None:
    """Write a screenshot if LIPSMITH_SHOTS is set."""
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def fill_in(page: Page, footage: dict[str, Path], words: str = "speech") -> None:
    """Choose film and speech, wait for faces, and give consent."""
    page.set_input_files("#film-file", footage["film"])
    page.set_input_files("#speech-file", footage[words])
    page.wait_for_selector("#faces .face")
    page.check("#consent")
    page.wait_for_selector("#dub:enabled")


def is_loaded(page: Page, name: str) -> bool:
    """Return whether a media element has data for its current position."""
    return bool(page.evaluate(f"document.getElementById('{name}').readyState > 1"))
