"""The order book on the pages of an instrument and of orders: merged, of one venue, while it is seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Visitor
from tests.browser.contrast import contrasts
from tests.waiting import SCALE

pytestmark = pytest.mark.browser

Visit = Callable[..., Visitor]
LONG = 30_000 * SCALE


def opened(visit: Visit, path: str, **context: object) -> Page:
    """Open a page, scroll to its order book, and wait until it is filled."""
    page = visit(path, **context).page
    page.locator("#ladder").scroll_into_view_if_needed()
    expect(page.locator("#ladder-bids .price").first).not_to_have_text("—", timeout=LONG)
    return page


@pytest.mark.parametrize("path", ["/btcusdt", "/orders?instrument=btcusdt"])
def test_the_merged_book_with_everyone_who_is_in_it(visit: Visit, path: str) -> None:
    """Prices go away from the spread, sums grow, and each level names its venues."""
    page = opened(visit, path)
    expect(page.locator("#ladder-note")).to_have_text(re.compile("binance .* ago, okx .* ago"), timeout=LONG)
    expect(page.locator("#ladder-venue option")).to_have_text(["All venues", "binance", "okx"])
    state = page.evaluate(
        "['bid', 'ask'].map((side) => [...document.querySelectorAll(`#ladder-${side}s tr`)]"
        ".map((row) => [...row.children].map((cell) => cell.textContent)))"
    )
    for side, outwards in zip(state, (-1, 1), strict=True):
        rows = [row for row in (side if outwards < 0 else side[::-1]) if row[0] != "—"]
        prices, sums = ([Decimal(row[at].replace(",", "")) for row in rows] for at in (0, 2))

        assert len(rows) > 3
        assert sorted(prices, reverse=outwards < 0) == prices
        assert sorted(sums) == sums
        assert all(set(row[3].split(", ")) <= {"binance", "okx"} for row in rows)


def test_one_venue_alone(visit: Visit) -> None:
    """By the keyboard, too: it is an ordinary list of choices."""
    page = opened(visit, "/btcusdt")
    expect(page.locator("#ladder-venue option")).to_have_count(3, timeout=LONG)
    page.locator("#ladder-venue").select_option("okx")

    expect(page.locator("#ladder-bids .who").first).to_have_text("okx")
    expect(page.locator("#ladder-spread")).to_have_text(re.compile(r"^Spread [\d.,]+$"))


def test_it_is_watched_only_while_it_can_be_seen(visit: Visit) -> None:
    """The page unsubscribes when it leaves the window."""
    visitor = visit("/btcusdt", viewport={"width": 390, "height": 700})
    page = visitor.page
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(str(frame))))
    page.reload()
    page.locator("#ladder").scroll_into_view_if_needed()
    expect(page.locator("#ladder-bids .price").first).not_to_have_text("—", timeout=LONG)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_function("scrollY === 0")
    page.wait_for_timeout(500)
    topics = [re.findall(r'"topics":\[[^\]]*\]', frame) for frame in sent]
    found = [each[0] for each in topics if each]

    assert found[-2:] == ['"topics":["depth"]', '"topics":[]']


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read(visit: Visit, theme: str) -> None:
    """Nothing is wider than the page, and every text has contrast enough."""
    page = opened(visit, "/btcusdt", viewport={"width": 360, "height": 700}, color_scheme=theme)

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert {text: found for text, found in contrasts(page).items() if found < 4.5} == {}


@pytest.mark.parametrize("path", ["/btcusdt", "/orders?instrument=btcusdt"])
def test_a_page_without_its_script_says_so(visit: Visit, path: str) -> None:
    """Everything else works on."""
    page = visit("/docs").page
    page.route("**/ladder.js", lambda route: route.abort("connectionfailed"))
    page.goto(path)
    page.locator("#ladder").scroll_into_view_if_needed()

    expect(page.locator("#ladder-note")).to_have_text(re.compile("could not be loaded. Reload the page."))


def test_generated_prices_have_no_book(visit: Visit) -> None:
    """There is nothing to trade with."""
    page = visit("/ticker_00").page
    orders = visit("/orders?instrument=ticker_00").page

    expect(page.locator("#ladder")).to_have_count(0)
    expect(orders.locator("#ladder")).to_be_hidden()
