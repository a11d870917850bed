"""The page in headless Chromium, when answers arrive late or in another order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from chromium import fill_in, needs_chromium
from service import RunningService, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import APIResponse, BrowserContext, Page, Response, Route

pytestmark = needs_chromium


class Held:
    """The first answer to a request like this, which is kept from the page until `release`."""

    def __init__(self, page: Page, url: str, method: str = "GET") -> None:
        self._page, self._url, self._method = page, url, method
        self._requested = False
        self._answer: tuple[Route, APIResponse] | None = None
        page.route(url, self._handle)

    def _handle(self, route: Route) -> None:
        if self._requested or route.request.method != self._method:
            route.continue_()
            return
        self._requested = True
        self._answer = route, route.fetch()

    def wait(self) -> None:
        """Return when the service has answered."""
        wait_until(lambda: self._page.evaluate("true") and self._answer)

    def release(self, **changes: object) -> None:
        """Give the answer to the page, with these fields changed."""
        assert self._answer is not None
        route, answer = self._answer
        route.fulfill(response=answer, **({"json": answer.json() | changes} if changes else {}))
        settle(self._page)


def settle(page: Page) -> None:
    """Leave the page time to take the answers that it was given."""
    page.wait_for_timeout(200)


def dub(page: Page, count: int = 1) -> None:
    """Dub, and wait for the result and for a history of this many dubs."""
    page.click("#dub")
    wait_until(lambda: page.locator("#history li").count() == count)
    page.wait_for_selector("#result:not([hidden])")
    page.wait_for_selector("#history li:first-child:has-text('done')")


def test_a_late_list_does_not_show_an_ended_dub_as_running(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    held = Held(page, "**/v1/jobs")
    page.click("#dub")
    held.wait()
    page.wait_for_selector("#history li:has-text('done')")
    held.release()
    assert "done" in page.inner_text("#history")


def test_a_late_list_does_not_show_a_removed_dub(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    dub(page)
    held = Held(page, "**/v1/jobs")
    page.click("#history .open")
    held.wait()
    page.click("#history .remove")
    page.wait_for_selector("#history-empty:not([hidden])")
    held.release()
    assert page.is_visible("#history-empty")


def test_a_double_click_removes_a_dub_without_a_problem(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    dub(page)
    clicked: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if clicked or route.request.method != "DELETE":
            route.continue_()
        else:
            clicked.append(route)

    page.route("**/result", hold_the_first)
    page.dblclick("#history .remove")
    page.wait_for_selector("#history-empty:not([hidden])")
    with page.expect_response(lambda answer: answer.status == 404), page.expect_response("**/v1/jobs"):
        clicked[0].continue_()
    settle(page)
    assert page.is_hidden("#history-problem")


def test_of_two_dubs_the_one_opened_last_is_shown(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    dub(page)
    page.check("#label")
    dub(page, 2)
    newest, oldest = (page.get_attribute(f"#history li:{place}-child", "data-job") for place in ("first", "last"))
    held = Held(page, f"**/v1/jobs/{oldest}")
    page.click("#history li:last-child .open")
    held.wait()
    with page.expect_response(f"**/v1/jobs/{newest}"):
        page.click("#history li:first-child .open")
    settle(page)
    held.release()
    assert str(newest) in str(page.get_attribute("#download", "href"))


def test_late_news_of_an_ended_dub_do_not_stop_its_film(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    dub(page)
    held = Held(page, "**/events")
    page.click("#history .open")
    held.wait()
    page.evaluate("document.getElementById('after').loop = true")
    page.click("#play")
    wait_until(lambda: page.evaluate("document.getElementById('after').currentTime > 0"))
    held.release()
    assert page.inner_text("#play") == "Pause"
    assert not page.evaluate("document.getElementById('after').paused")


def test_a_late_answer_to_a_cancellation_does_not_show_the_dub_again(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage, "long")
    held = Held(page, "**/v1/jobs/*", "DELETE")
    page.click("#dub")
    page.wait_for_selector('[data-stage="dubbing"][aria-current]')
    page.click("#cancel")
    held.wait()
    page.wait_for_selector("#work", state="hidden")
    held.release(state="running")
    assert page.is_hidden("#work")


def test_a_dub_that_ends_as_it_is_canceled_says_only_how_it_ended(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage, "long")
    clicked: list[Route] = []
    page.route("**/v1/jobs/*", lambda route: clicked.append(route))
    page.click("#dub")
    page.wait_for_selector("#history li")
    page.click("#cancel")
    wait_until(lambda: page.is_visible("#cancel") and clicked)
    page.request.delete(clicked[0].request.url)
    page.wait_for_selector("#work", state="hidden")
    with page.expect_response(lambda answer: answer.status == 409):
        clicked[0].continue_()
    settle(page)
    assert page.inner_text("#options-problem") == "The dub was canceled."


def test_a_problem_of_another_dub_is_not_shown(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    dub(page)
    page.check("#label")
    dub(page, 2)
    removed = page.get_attribute("#history li:first-child", "data-job")
    page.request.delete(f"{page.url}v1/jobs/{removed}/result")
    held = Held(page, "**/side-by-side", "POST")
    page.click("#side")
    held.wait()
    page.click("#history li:last-child .open")
    wait_until(lambda: str(removed) not in str(page.get_attribute("#download", "href")))
    held.release()
    page.wait_for_selector("#side:has-text('Download')")
    assert page.is_hidden("#result-problem")


def test_a_dub_that_ends_while_another_is_shown_is_listed_as_ended(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    dub(page)
    page.set_input_files("#speech-file", footage["long"])
    page.wait_for_selector("#dub:enabled")
    page.click("#dub")
    page.wait_for_selector("#history li:first-child:has-text('dub, running')")
    page.click("#history li:last-child .open")
    page.wait_for_selector("#result:not([hidden])")
    running = page.get_attribute("#history li:first-child", "data-job")
    page.request.delete(f"{page.url}v1/jobs/{running}")
    page.wait_for_selector("#history li:first-child:has-text('canceled')")


def test_a_hidden_tab_keeps_no_connection(page: Page, footage: dict[str, Path]) -> None:
    """Browsers open six to a server: as many tabs would leave none to cancel a dub, or to open the page."""
    fill_in(page, footage, "long")
    page.click("#dub")
    page.wait_for_selector('[data-stage="dubbing"][aria-current]')
    set_hidden = "(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
    set_hidden += " document.dispatchEvent(new Event('visibilitychange')); }"
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/events")):
        page.evaluate(set_hidden, True)
    (dub,) = page.request.get(f"{page.url}v1/jobs").json()
    page.request.delete(f"{page.url}v1/jobs/{dub['id']}")
    settle(page)
    assert page.is_visible("#work")
    page.evaluate(set_hidden, False)
    page.wait_for_selector("#work", state="hidden")
    assert page.inner_text("#options-problem") == "The dub was canceled."


def test_a_dub_whose_answer_is_lost_is_listed(
    context: BrowserContext, service: RunningService, footage: dict[str, Path]
) -> None:
    page = context.new_page()
    page.goto(service.url)
    fill_in(page, footage)

    def lose_answers(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/v1/jobs", lose_answers)
    page.click("#dub")
    wait_until(lambda: "does not respond" in page.inner_text("#history-problem"))
    assert "does not respond" in page.inner_text("#options-problem")
    page.unroute("**/v1/jobs")
    page.wait_for_selector("#history li:has-text('done')")
    assert page.is_hidden("#history-problem")


def test_a_film_chosen_meanwhile_is_not_replaced_by_that_of_an_earlier_dub(
    page: Page, footage: dict[str, Path], tmp_path: Path
) -> None:
    others = [tmp_path / "second.mp4", tmp_path / "third.mp4"]
    for number, path in enumerate(others):
        path.write_bytes(footage["film"].read_bytes() + (8 + number).to_bytes(4, "big") + b"free" + bytes(number))
    fill_in(page, footage)
    dub(page)
    page.set_input_files("#film-file", others[0])
    page.wait_for_selector("#faces .face")
    held = Held(page, "**/v1/uploads/" + page.request.get(f"{page.url}v1/jobs").json()[0]["video"])
    page.click("#again")
    held.wait()
    page.set_input_files("#film-file", others[1])
    page.wait_for_selector("#faces .face")
    held.release()
    assert page.is_visible("#film-video")
    assert "Found: film" in page.inner_text("#film-status")


def choose_other(page: Page, face: str, speech: Path) -> None:
    page.eval_on_selector("#others", "details => (details.open = true)")
    page.select_option("#other-face", face)
    page.set_input_files("#other-file", speech)


def speeches_sent(page: Page) -> dict[str, str]:
    """The speeches of other faces in the request for a preview, which is then waited for."""
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/v1/jobs")) as sent:
        page.click("#preview")
    page.wait_for_selector("#result:not([hidden])")
    speeches: dict[str, str] = (sent.value.post_data_json or {})["speeches"]
    return speeches


def test_a_speech_for_a_face_of_another_film_is_not_used(
    page: Page, footage: dict[str, Path], couple: dict[str, Path]
) -> None:
    fill_in(page, couple)
    held = Held(page, "**/v1/uploads/*")
    choose_other(page, "2", footage["long"])
    held.wait()
    fill_in(page, footage)
    held.release()
    assert page.is_hidden("#others")
    assert speeches_sent(page) == {}


def test_speeches_of_two_faces_are_sent_at_the_same_time(page: Page, couple: dict[str, Path]) -> None:
    fill_in(page, couple)
    held = Held(page, "**/v1/uploads/*")
    choose_other(page, "1", couple["long"])
    held.wait()
    choose_other(page, "2", couple["speech"])
    wait_until(lambda: "Found: sound" in page.inner_text("#other-status"))
    assert page.is_disabled("#dub")
    assert "face 1" in page.inner_text("#missing")
    held.release()
    page.wait_for_selector("#dub:enabled")
    speeches = speeches_sent(page)
    assert speeches.keys() == {"1", "2"}
    assert speeches["1"] != speeches["2"]


def test_of_two_speeches_of_a_face_the_one_chosen_last_is_used(page: Page, couple: dict[str, Path]) -> None:
    fill_in(page, couple)
    held = Held(page, "**/v1/uploads/*")
    choose_other(page, "1", couple["long"])
    held.wait()
    with page.expect_response(lambda answer: answer.status == 201) as sent:
        choose_other(page, "1", couple["speech"])
    page.wait_for_selector("#dub:enabled")
    held.release()
    assert speeches_sent(page)["1"] == sent.value.json()["id"]


def test_a_speech_of_a_face_that_fails_is_not_waited_for(page: Page, couple: dict[str, Path]) -> None:
    fill_in(page, couple)
    choose_other(page, "2", couple["film"])
    page.wait_for_selector("#other-problem:has-text('no sound')")
    assert page.query_selector("#other-list li") is None
    assert speeches_sent(page) == {}


def test_a_selected_face_is_selected_again_in_another_part_of_the_film(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    page.click("#faces .face")
    held = Held(page, "**/faces?*")
    page.focus("#start")
    page.keyboard.press("ArrowRight")
    assert page.is_disabled("#dub")
    held.wait()
    assert "a face" in page.inner_text("#missing")
    held.release()
    page.click("#faces .face")
    page.wait_for_selector("#dub:enabled")


def test_a_search_for_faces_that_nobody_needs_is_stopped(
    page: Page, footage: dict[str, Path], couple: dict[str, Path]
) -> None:
    def search_on(route: Route) -> None:
        if route.request.method == "GET":
            route.fulfill(status=202, json={"progress": 0, "faces": []})
        else:
            route.continue_()

    def stops(part: str) -> Callable[[Response], bool]:
        return lambda answer: answer.request.method == "DELETE" and answer.url.endswith(part) and answer.status == 204

    page.route("**/faces?*", search_on)
    with page.expect_response("**/faces?"):
        page.set_input_files("#film-file", footage["film"])
    page.focus("#start")
    with page.expect_response(stops("/faces?")), page.expect_response("**/faces?start=0.1"):
        page.keyboard.press("ArrowRight")
    with page.expect_response(stops("/faces?start=0.1")):
        page.set_input_files("#film-file", couple["film"])


def test_a_film_that_is_still_analyzed_as_the_speech_stays(page: Page, footage: dict[str, Path]) -> None:
    page.set_input_files("#film-file", footage["film"])
    page.wait_for_selector("#faces .face")
    held = Held(page, "**/v1/uploads/*")
    with page.expect_request("**/v1/uploads/*") as analysis:
        page.set_input_files("#speech-file", footage["film"])
    held.wait()
    page.click("#film-remove")
    page.wait_for_selector("#film-found", state="hidden")
    held.release()
    assert page.request.get(analysis.value.url).status == 200
