"""Pages behind a real nginx: live under a path; in words why not, where it changed the Host."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chromium import Visitor
from tests.browser.system import System
from tests.process.nginx import UPGRADING, located, nginx

pytestmark = pytest.mark.browser


def test_pages_are_live_under_a_path(
    browser: Browser, healed: System, require_program: Callable[[str], str]
) -> None:
    """The board, an instrument reached from it, its chart, and the orders page."""
    with nginx(require_program("nginx"), located("/crypto/", f"{healed.url}/"), UPGRADING) as outside:
        visitor = Visitor(browser, outside.url)
        page = visitor.page
        page.goto("/crypto/")
        expect(page.locator("#link")).to_have_attribute("data-link", "live")
        page.get_by_role("table").get_by_role("link", name="ticker_00").first.click()
        page.wait_for_url("**/crypto/ticker_00")
        expect(page.locator("#link")).to_have_attribute("data-link", "live")
        page.get_by_role("link", name="Orders").click()
        page.wait_for_url("**/crypto/orders")
        expect(page.locator("#link")).to_have_attribute("data-link", "live")
        visitor.close()


def test_a_page_that_is_refused_says_which_setting_to_change(
    browser: Browser, healed: System, require_program: Callable[[str], str]
) -> None:
    """nginx on another port hands on the Host without it: the origin is not ours."""
    changed = located("/", healed.url).replace("$http_host", "$host")
    with nginx(require_program("nginx"), changed, UPGRADING) as outside:
        page = browser.new_context().new_page()
        page.goto(f"{outside.url}/ticker_00")

        expect(page.locator("#link-word")).to_have_text("Refused")
        expect(page.locator("#banner")).to_contain_text("proxy_set_header Host $http_host")
        page.context.close()
