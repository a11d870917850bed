"""The live page in Chromium, with its fake microphone.

With LIPSMITH_SHOTS=FOLDER the film is demo/actor.mp4, and a screenshot is written there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from chromium import ASK_SLOWLY, SHOTS, launch, needs_chromium
from dub_samples import write_wav
from service import RunningService, wait_until
from synthetic import DEMO, make_film, speech

if TYPE_CHECKING:
    from playwright.sync_api import Page, WebSocketRoute

ROOT = Path(__file__).parents[2]
TIMEOUT_MS = 120_000

pytestmark = needs_chromium


@pytest.fixture
def page(service: RunningService) -> Iterator[Page]:
    """The live page; any script error or console error fails the test."""
    with launch() as browser:
        opened, errors = browser.new_page(viewport={"width": 900, "height": 900}), []
        opened.set_default_timeout(TIMEOUT_MS)
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        opened.goto(service.url)
        opened.click('a[href="/live"]')
        opened.wait_for_url("**/live")
        yield opened
        assert errors == []


def played(page: Page, screen: str = "screen") -> float:
    """Playback position of the stream, in seconds."""
    return float(page.evaluate(f"document.getElementById('{screen}').currentTime"))


def wait_for_playback(page: Page, seconds: float, screen: str = "screen") -> None:
    for _ in range(TIMEOUT_MS // 100):
        if played(page, screen) > seconds:
            return
        time.sleep(0.1)
    raise AssertionError(f"the stream stopped at {played(page, screen)} s")


def test_microphone_and_recording_are_played(page: Page, tmp_path: Path) -> None:
    film = DEMO / "actor.mp4" if SHOTS else make_film(tmp_path / "film.mp4", 0.4, 12.5, (160, 160))
    page.set_input_files("#film-file", film)
    page.wait_for_selector("#session:not([hidden])")
    assert page.is_disabled("#microphone")  # speech before the session is ready would be late
    page.wait_for_selector("#session-status:has-text('Ready')")
    wait_for_playback(page, 0.5)
    page.click("#microphone")
    page.wait_for_selector('#microphone[aria-pressed="true"]')
    wait_for_playback(page, played(page) + 1)
    page.click("#microphone")
    page.set_input_files("#words-file", write_wav(tmp_path / "words.wav", speech(2.0)))
    wait_for_playback(page, played(page) + 1.5)
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / "live.png", full_page=True)
    page.click("#interrupt")
    wait_for_playback(page, played(page) + 0.5)
    page.click("#end")
    assert "has ended" in page.inner_text("#session-status")
    assert page.is_disabled("#microphone")


def test_the_microphone_is_asked_for_once_and_not_kept_after_the_end(page: Page, tmp_path: Path) -> None:
    page.evaluate(ASK_SLOWLY)
    page.set_input_files("#film-file", make_film(tmp_path / "film.mp4", 0.4, 12.5, (160, 160)))
    page.wait_for_selector("#session-status:has-text('Ready')")
    page.dblclick("#microphone")
    page.wait_for_selector('#microphone[aria-pressed="true"]')
    page.click("#microphone")
    assert page.evaluate("streams.length") == 1
    page.click("#microphone")
    page.click("#end")
    wait_until(lambda: page.evaluate("streams.map((one) => one.getTracks()[0].readyState)") == ["ended", "ended"])
    assert page.get_attribute("#microphone", "aria-pressed") == "false"


def test_any_click_lets_a_film_be_heard_that_the_browser_muted(page: Page) -> None:
    muted = page.evaluate(
        """async () => {
          const { Player } = await import("/static/live-player.js");
          const video = document.createElement("video");
          video.play = async () => {};
          new Player(video).playMuted();
          const before = video.muted;
          document.querySelector("h1").click();
          return [before, video.muted];
        }"""
    )
    assert muted == [True, False]


def test_a_film_that_is_replaced_before_it_plays_does_not_mute_the_next(page: Page) -> None:
    muted = page.evaluate(
        """async () => {
          const { Player } = await import("/static/live-player.js");
          const video = document.createElement("video");
          await new Promise((resolve) => {
            video.play = async () => {
              setTimeout(resolve);
              throw new DOMException("another film was loaded", "AbortError");
            };
            new Player(video).open('video/mp4; codecs="avc1.42E01E"');
          });
          return video.muted;
        }"""
    )
    assert not muted


def test_a_recording_that_was_decoded_late_is_not_said_in_the_next_session(page: Page, tmp_path: Path) -> None:
    page.evaluate(
        """() => {
          const [decode, send] = [OfflineAudioContext.prototype.decodeAudioData, WebSocket.prototype.send];
          const held = new Promise((resolve) => (window.release = resolve));
          window.decoded = false;
          OfflineAudioContext.prototype.decodeAudioData = async function (data) {
            await held;
            return decode.call(this, data).finally(() => setTimeout(() => (window.decoded = true)));
          };
          window.sent = [];
          WebSocket.prototype.send = function (data) {
            window.sent.push(data);
            send.call(this, data);
          };
        }"""
    )
    film = make_film(tmp_path / "film.mp4", 0.4, 12.5, (160, 160))
    page.set_input_files("#film-file", film)
    page.wait_for_selector("#session-status:has-text('Ready')")
    page.set_input_files("#words-file", write_wav(tmp_path / "words.wav", speech(2.0)))
    page.set_input_files("#film-file", film)
    page.wait_for_selector("#microphone:disabled")
    page.wait_for_selector("#microphone:enabled")
    page.evaluate("release()")
    wait_until(lambda: page.evaluate("decoded"))
    assert page.evaluate("sent.length") == 0


def test_a_microphone_that_cannot_be_read_is_given_back(page: Page, tmp_path: Path) -> None:
    page.evaluate(ASK_SLOWLY)
    page.evaluate("() => { AudioWorklet.prototype.addModule = () => Promise.reject(new Error('lost')); }")
    page.set_input_files("#film-file", make_film(tmp_path / "film.mp4", 0.4, 12.5, (160, 160)))
    page.wait_for_selector("#session-status:has-text('Ready')")
    page.click("#microphone")
    page.wait_for_selector("#session-problem:not([hidden])")
    assert page.evaluate("streams[0].getTracks()[0].readyState") == "ended"


def test_an_unusable_film_shows_a_problem(page: Page, tmp_path: Path) -> None:
    page.set_input_files("#film-file", write_wav(tmp_path / "words.wav", speech(0.2)))
    page.wait_for_selector("#film-problem:not([hidden])")
    assert "only sound" in page.inner_text("#film-problem")
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((160, 160, 3), 200, np.uint8))
    page.set_input_files("#film-file", tmp_path / "wall.png")
    page.wait_for_selector("#session-problem:not([hidden])")
    assert "no face" in page.inner_text("#session-problem")
    assert page.is_disabled("#microphone")
    page.set_viewport_size({"width": 320, "height": 640})
    first, second = (page.locator(button).bounding_box() for button in ("#microphone", "#interrupt"))
    assert first is not None
    assert second is not None
    assert second["y"] > first["y"] + first["height"]


def test_a_film_that_is_refused_does_not_leave_the_session_before_it_ready(page: Page, tmp_path: Path) -> None:
    page.set_input_files("#film-file", make_film(tmp_path / "film.mp4", 0.4, 12.5, (160, 160)))
    page.wait_for_selector("#session-status:has-text('Ready')")
    page.set_input_files("#film-file", write_wav(tmp_path / "words.wav", speech(0.2)))
    page.wait_for_selector("#film-problem:not([hidden])")
    assert page.is_hidden("#session")


@pytest.mark.parametrize(
    ("without", "told", "hidden"),
    [
        ("delete window.MediaSource", "#film-problem:has-text('use another browser')", "#session"),
        (
            "Object.defineProperty(navigator, 'mediaDevices', { value: undefined })",
            "#session-status:has-text('Ready: play a recording.')",
            "#microphone",
        ),
    ],
    ids=["films", "microphones"],
)
def test_what_a_browser_lacks_is_said(page: Page, tmp_path: Path, without: str, told: str, hidden: str) -> None:
    page.add_init_script(without)
    page.reload()
    page.set_input_files("#film-file", make_film(tmp_path / "film.mp4", 0.4, 12.5, (160, 160)))
    page.wait_for_selector(told)
    assert page.is_hidden(hidden)


def test_the_webrtc_example_of_the_docs_works(page: Page, service: RunningService, tmp_path: Path) -> None:
    pytest.importorskip("aiortc", reason="WebRTC needs the live extra")
    (call,) = re.findall(r"```js\n(.*?)```", (ROOT / "docs" / "live.md").read_text(), re.DOTALL)
    film = make_film(tmp_path / "film.mp4", 0.4, 12.5, (160, 160))
    sent: Any = {"file": {"name": film.name, "mimeType": "video/mp4", "buffer": film.read_bytes()}}
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
    wait_for_playback(page, 1, "called")
    assert page.evaluate("document.getElementById('called').videoWidth") == 160


def test_a_lost_connection_is_told(page: Page, tmp_path: Path) -> None:
    page.route_web_socket("**/v1/live/*", lambda socket: socket.close(code=1012))
    page.set_input_files("#film-file", make_film(tmp_path / "film.mp4", 0.4, 12.5, (160, 160)))
    page.wait_for_selector("#session-problem:not([hidden])")
    assert page.inner_text("#session-problem") == "The connection to the service was lost."
    assert "has ended" in page.inner_text("#session-status")


def test_a_film_that_stands_still_is_told_until_it_goes_on(page: Page, tmp_path: Path) -> None:
    is_held, held = False, list[str | bytes]()
    relayed: list[WebSocketRoute] = []

    def relay(browser: WebSocketRoute) -> None:
        relayed.append(browser)
        browser.connect_to_server().on_message(lambda message: (held.append if is_held else browser.send)(message))

    page.route_web_socket("**/v1/live/*", relay)
    page.set_input_files("#film-file", make_film(tmp_path / "film.mp4", 0.4, 12.5, (160, 160)))
    page.wait_for_selector("#session-status:has-text('Ready')")
    page.clock.install()
    is_held = True
    page.clock.fast_forward(6000)
    page.wait_for_selector("#session-status:has-text('does not respond')")
    is_held = False
    for message in held:
        relayed[0].send(message)
    page.wait_for_selector("#session-status:has-text('Ready')")
    page.click("#end")
    page.clock.fast_forward(6000)
    assert "has ended" in page.inner_text("#session-status")


def test_a_film_that_the_browser_cannot_play_is_told(page: Page, tmp_path: Path) -> None:
    def spoil(browser: WebSocketRoute) -> None:
        service = browser.connect_to_server()
        service.on_message(lambda message: browser.send(message if isinstance(message, str) else bytes(len(message))))

    page.route_web_socket("**/v1/live/*", spoil)
    page.set_input_files("#film-file", make_film(tmp_path / "film.mp4", 0.4, 12.5, (160, 160)))
    page.wait_for_selector("#session-problem:not([hidden])")
    assert "cannot play" in page.inner_text("#session-problem")
    assert "has ended" in page.inner_text("#session-status")


def test_a_browser_without_the_codec_is_told(page: Page, tmp_path: Path) -> None:
    page.evaluate("MediaSource.isTypeSupported = () => false")
    page.set_input_files("#film-file", make_film(tmp_path / "film.mp4", 0.4, 12.5, (160, 160)))
    page.wait_for_selector("#session-problem:not([hidden])")
    assert "another browser" in page.inner_text("#session-problem")
    assert "has ended" in page.inner_text("#session-status")
    assert page.is_disabled("#words-file")
