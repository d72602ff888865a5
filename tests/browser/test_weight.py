"""How much of our own JavaScript a page loads, and that nothing comes from elsewhere."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Response

from tests.browser.chromium import Visitor
from tests.browser.system import System

pytestmark = pytest.mark.browser

# Bytes of our own scripts, before compression; comments are not counted, they hold the types. An order book,
# which is loaded when it comes near the window, has 5,000 of them.
MOST = 67_000
COMMENT = re.compile(rb"/\*\*.*?\*/|^\s*//[^\n]*$", re.DOTALL | re.MULTILINE)
PAGES = ["/", "/?view=venues", "/btcusdt", "/markets", "/instruments", "/orders", "/status", "/docs"]
# With one a chart marks own trades; nobody else trades for this one.
ACCOUNT = "localStorage.setItem('client-id', '5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5')"


@pytest.mark.parametrize("path", PAGES)
def test_no_page_loads_more_than_67_kb_of_our_scripts(browser: Browser, system: System, path: str) -> None:
    """Whatever is loaded later included; the libraries are counted apart."""
    scripts: dict[str, int] = {}

    def weigh(response: Response) -> None:
        where = urlsplit(response.url)
        if where.path.startswith("/static/js/"):
            scripts[where.path] = len(COMMENT.sub(b"", response.body()))

    visitor = Visitor(browser, system.url)
    visitor.page.add_init_script(ACCOUNT)
    visitor.page.on("response", weigh)
    visitor.page.goto(path)
    visitor.page.wait_for_load_state("load")
    visitor.page.wait_for_timeout(2_000)  # a chart and its parts come after the first paint
    visitor.close()

    assert scripts
    assert sum(scripts.values()) < MOST, scripts


@pytest.mark.parametrize("path", PAGES)
def test_nothing_comes_from_elsewhere(browser: Browser, system: System, path: str) -> None:
    """No CDN, no font, no picture of another host: a page works without the Internet."""
    hosts: set[str] = set()
    visitor = Visitor(browser, system.url)
    visitor.page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    visitor.page.goto(path)
    visitor.page.wait_for_load_state("load")
    visitor.close()

    assert hosts - {""} == {urlsplit(system.url).netloc}
