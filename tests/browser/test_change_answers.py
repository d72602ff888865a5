"""What /instruments and /status say when something between them and the engine answers a change."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.chromium import Visitor
from tests.browser.system import System

pytestmark = pytest.mark.browser

Visit = Callable[..., Visitor]
PERHAPS = "It may have been done: see which button is pressed."
OURS = '{"code": "internal_error", "title": "Internal error", "detail": "See the log."}'


def add_answered(visit: Visit, status: int, body: str) -> Page:
    """Open the page and add a pair; the request never reaches the server, but is answered with this."""
    visitor = visit("/instruments")
    visitor.expect(status)
    page = visitor.page

    def answer(route: Route) -> None:
        if route.request.method == "POST":
            route.fulfill(status=status, body=body)
        else:
            route.continue_()

    page.route("**/instruments", answer)
    page.get_by_label("Pairs by name").fill("SOL-USDT")
    page.keyboard.press("Enter")
    return page


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (502, "<h1>Bad Gateway</h1>", "HTTP 502."),
        (504, "", "HTTP 504."),
        (500, OURS, "See the log."),
        (200, "<h1>Sign in to this network</h1>", "HTTP 200."),
    ],
)
def test_what_may_have_been_done_is_not_called_refused(
    visit: Visit, status: int, body: str, why: str
) -> None:
    """A proxy that gave up waiting, and an error of ours, say nothing about the change."""
    page = add_answered(visit, status, body)

    expect(page.locator("#changed[data-kind=refused]")).to_have_text(
        f"{why} It may have been done: see the list below before you try again."
    )
    expect(page.get_by_label("Pairs by name")).to_have_value("SOL-USDT")


def test_a_proxy_that_forbids_it_costs_no_token(visit: Visit, system: System) -> None:
    """The server itself says 401: 403 is somebody else's, whose reason is shown."""
    page = add_answered(visit, 403, '{"detail": "Not from this network"}')

    expect(page.locator("#changed[data-kind=refused]")).to_have_text(
        "Refused, nothing was changed. Not from this network."
    )
    expect(page.locator("#token-form")).to_be_hidden()
    assert page.evaluate("sessionStorage.getItem('admin-token')") == system.token


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (502, "<h1>Bad Gateway</h1>", f"HTTP 502. {PERHAPS}"),
        (200, "<h1>Sign in to this network</h1>", f"HTTP 200. {PERHAPS}"),
        (403, '{"detail": "Not from this network"}', "Refused: Not from this network"),
    ],
)
def test_a_pin_that_something_else_answers(visit: Visit, status: int, body: str, said: str) -> None:
    """Only what certainly had no effect is called refused, and nothing done that the server did not say."""
    visitor = visit("/status")
    visitor.expect(status)
    page = visitor.page
    page.route("**/sources/active", lambda route: route.fulfill(status=status, body=body))

    page.locator("#switch button").nth(1).click()
    page.get_by_role("button", name="Yes, pin it").click()

    expect(page.locator("#switched[data-kind=refused]")).to_have_text(said)
