"""Layout stability: nothing moves while a page loads or when its banner appears."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Visitor

pytestmark = pytest.mark.browser

# What the field takes for good.
MOST = 0.1
WATCH = """window.shift = 0; window.moved = [];
new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
        if (entry.hadRecentInput) continue;
        window.shift += entry.value;
        window.moved.push(...entry.sources.map(({ node }) => node?.id || node?.className || node?.nodeName));
    }
}).observe({ type: 'layout-shift', buffered: true });"""


@pytest.mark.parametrize("width", [360, 768, 1440])
@pytest.mark.parametrize(
    "path",
    ["/", "/?view=venues", "/btcusdt", "/instruments", "/markets", "/ticker_00", "/orders", "/status"],
)
def test_little_moves_while_a_page_loads(visit: Callable[..., Visitor], path: str, width: int) -> None:
    """Space is reserved for what is loaded later."""
    page = visit(path, script=WATCH, viewport={"width": width, "height": 900}).page
    expect(page.locator("#link")).to_have_attribute("data-link", "live")
    page.wait_for_timeout(2_500)  # not for something to happen: whatever moves late counts too

    assert page.evaluate("window.shift") < MOST, page.evaluate("window.moved")


@pytest.mark.parametrize("path", ["/", "/btcusdt", "/instruments", "/markets", "/orders", "/status"])
def test_the_banner_moves_nothing(live: Callable[..., Page], path: str) -> None:
    """It overlays the bottom of the window."""
    page = live("/")
    page.goto(path)
    expect(page.locator("#link")).to_have_attribute("data-link", "live")
    before, after, banner, foot = page.evaluate("""() => {
        const top = (place) => document.querySelector(place).getBoundingClientRect();
        const before = top('main h1').top;
        const banner = document.getElementById('banner');
        banner.textContent = 'No real pair has a live price.';
        banner.hidden = false;
        return [before, top('main h1').top, top('#banner').bottom, innerHeight];
    }""")

    assert after == before
    assert banner == foot
