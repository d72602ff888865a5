"""A system with an admin token and room for one viewer: refusals are explained on the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.chromium import Visitor
from tests.browser.system import System

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run a system that asks for a token and takes one viewer."""
    folder = tmp_path_factory.mktemp("guarded")
    with System(folder, "--admin-token", "open sesame", "--max-viewers", "1") as running:
        yield running


def test_pin_asks_for_the_token(browser: Browser, guarded: System) -> None:
    """Without the token the page says what is missing; with it the pin works; only this tab keeps it."""
    visitor = Visitor(browser, guarded.url)
    visitor.expect(401)
    page = visitor.page
    page.goto("/status")

    page.get_by_role("button", name="okx").click()
    page.get_by_role("button", name="Yes, pin it").click()
    expect(page.locator("#switched")).to_contain_text("Refused: ")
    expect(page.get_by_label("Admin token")).to_be_focused()
    waiting: list[bool] = []

    def send(route: Route) -> None:
        waiting.append(page.locator("#token-form").is_hidden())
        route.continue_()

    page.route("**/sources/active", send)
    page.keyboard.type("a wrong one")
    page.keyboard.press("Enter")
    expect(page.locator("#token-form")).to_be_visible()
    page.get_by_label("Admin token").fill("open sesame")
    page.keyboard.press("Enter")

    expect(page.locator("#switched")).to_have_text("Only okx serves now, for all viewers.")
    expect(page.locator("#token-form")).to_be_hidden()
    expect(page.locator("#pinned")).to_have_text("Pinned: okx")
    assert waiting == [True, True]  # a second token could be removed by the refusal of the first one
    assert page.evaluate("localStorage.length") == 0
    assert page.evaluate("sessionStorage.length") == 1
    visitor.close()


def test_one_viewer_too_many(browser: Browser, guarded: System) -> None:
    """A page refused by a full gateway says so, instead of waiting for ever."""
    first = Visitor(browser, guarded.url)
    first.page.goto("/ticker_00")
    expect(first.page.locator("#link-word")).to_have_text("Live")
    second = Visitor(browser, guarded.url)
    second.expect(503)
    second.page.goto("/ticker_00")

    expect(second.page.locator("#link-word")).to_have_text("Refused")
    expect(second.page.locator("#banner")).to_contain_text("reached its limit of viewers")
    first.close()
    second.close()
