"""An instrument's page: its live price, where it comes from, how old it is, and the ways off it."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Visitor
from tests.browser.system import System, until

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


def test_price_moves_with_its_figures(live: Open) -> None:
    """Price, age and list of changes go on; the spread is the exact difference of what stands beside it."""
    page = live("/btcusdt")
    before = page.locator("#price").inner_text()

    expect(page.locator("#price")).not_to_have_text(before)
    until(lambda: page.locator("#changes li:not(.empty)").count() >= 3, "three changes")

    bid, ask, spread = page.evaluate(
        "['bid', 'ask', 'spread'].map((id) => document.getElementById(id).textContent)"
    )
    ask, bid, spread = (Decimal(one.replace(",", "")) for one in (ask, bid, spread))
    assert ask - bid == spread
    assert re.fullmatch(r"\d+(\.\d)? s ago", page.locator("#age").inner_text())
    assert page.locator("#source").inner_text() == "binance"
    expect(page.locator("#link-word")).to_have_text("Live")


def test_title_shows_the_price(live: Open) -> None:
    """The price can be read off the tab."""
    page = live("/btcusdt")

    expect(page).to_have_title(re.compile(r"^[▲▼] \d+,\d+\.\d+ · BTC/USDT"))


def test_list_of_changes_is_bounded(live: Open) -> None:
    """The list keeps the last 20 changes however long the page is open."""
    page = live("/btcusdt")

    until(lambda: page.locator("#changes li").count() == 20, "20 changes")
    newest = page.locator("#changes li").first.inner_text()
    expect(page.locator("#changes li").first).not_to_have_text(newest)

    assert page.locator("#changes li").count() == 20


@pytest.mark.parametrize("path", ["/ticker_00", "/eurusd"])
def test_synthetic_cannot_be_overlooked(live: Open, path: str) -> None:
    """A synthetic instrument says so in a band over the whole page and beside its name."""
    page = live(path)

    expect(page.locator(".ribbon").first).to_contain_text("Synthetic")
    expect(page.locator(".hero .badge.synthetic")).to_have_text("SYNTHETIC")


def test_every_source_has_its_row(live: Open) -> None:
    """Both venues' own quotes stand there; the serving one and the best bid and ask are marked."""
    page = live("/btcusdt")
    rows = page.locator("#venues tr")

    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("serving")
    expect(rows.locator(".state")).to_have_text(["live", "live"])
    expect(page.locator("#venues .bid .best:visible")).to_have_count(1)
    expect(page.locator("#venues .ask .best:visible")).to_have_count(1)
    assert all(" s" in text for text in rows.locator(".age").all_inner_texts())


def test_dropdown_by_keyboard(live: Open) -> None:
    """Typing narrows the list, arrows move in it, Enter opens the page."""
    page = live("/btcusdt")
    field = page.get_by_role("combobox", name="Go to instrument")

    field.focus()
    page.keyboard.type("ticker_1")
    expect(field).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#choices").get_by_role("option")).to_have_count(10)
    page.keyboard.press("ArrowDown")
    active = field.get_attribute("aria-activedescendant")
    expect(page.locator(f"#{active}")).to_have_attribute("data-symbol", "ticker_11")
    page.keyboard.press("Enter")

    page.wait_for_url("**/ticker_11")
    expect(page.locator("h1")).to_have_text("ticker_11")


def test_dropdown_by_mouse(live: Open) -> None:
    """A click opens the list, a click on a name opens its page; Escape closes it."""
    page = live("/btcusdt")
    field = page.get_by_role("combobox", name="Go to instrument")

    field.click()
    expect(page.locator("#choices").get_by_role("option")).to_have_count(106)
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    field.click()
    page.locator("#choices").get_by_role("option", name="ETH/USDT").click()

    page.wait_for_url("**/ethusdt")


def test_dropdown_by_the_name_of_a_coin(live: Open) -> None:
    """Bitcoin is BTC; the page's own instrument is marked, and generated ones are named as such."""
    page = live("/btcusdt")
    field = page.get_by_role("combobox", name="Go to instrument")

    field.fill("bitcoin")
    expect(page.locator("#choices").get_by_role("option").first).to_have_text("BTC/USDT")
    expect(page.locator("#choices [aria-current=page]")).to_have_attribute("data-symbol", "btcusdt")
    field.fill("ticker_07")

    expect(page.locator("#choices").get_by_role("option")).to_have_text(["ticker_07synthetic"])


def test_dropdown_whose_list_does_not_come(visit: Callable[..., Visitor]) -> None:
    """The page goes on and says so; the next use tries again, and keys pressed meanwhile are not lost."""
    visitor = visit("/btcusdt", status=200)
    visitor.expect(500)
    page = visitor.page
    field = page.get_by_role("combobox", name="Go to instrument")
    page.route("**/instruments", lambda route: route.fulfill(status=500))

    field.focus()
    expect(page.locator(".picker-fault")).to_contain_text("cannot be loaded now")
    before = page.locator("#price").inner_text()
    expect(page.locator("#price")).not_to_have_text(before)
    page.unroute("**/instruments")
    page.keyboard.type("ticker_31")
    page.keyboard.press("Enter")

    page.wait_for_url("**/ticker_31")


def test_dropdown_loads_its_list_once(live: Open) -> None:
    """Not before the field is used: the page itself names its own instrument and its neighbours only."""
    page = live("/btcusdt")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    field = page.get_by_role("combobox", name="Go to instrument")
    before = page.content()

    for _ in range(2):
        field.click()
        expect(page.locator("#choices").get_by_role("option")).to_have_count(106)
        page.keyboard.press("Escape")
        field.blur()

    assert 'data-symbol="ticker_55"' not in before
    assert [url for url in asked if url.endswith("/instruments")] == [
        page.url.replace("btcusdt", "instruments")
    ]


def test_pin_to_synthetic_and_back(live: Open, system: System) -> None:
    """Pinned to synthetic a real pair is stale with the reason; automatic makes it live again."""
    page = live("/btcusdt")

    system.pin("synthetic")
    expect(page.locator("#banner")).to_contain_text("STALE: not carried by the pinned source")
    expect(page.locator("#stale-word")).to_be_visible()
    expect(page.locator("#pinned")).to_have_text("Pinned: synthetic")
    expect(page).to_have_title(re.compile("^STALE "))
    system.pin("auto")

    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#stale-word")).to_be_hidden()


def test_pin_to_the_other_venue(live: Open, system: System) -> None:
    """A pin moves the page to that venue and the list of changes says from where to where and why."""
    page = live("/btcusdt")

    system.pin("okx")

    expect(page.locator("#source")).to_have_text("okx")
    expect(page.locator("#changes .switched").first).to_contain_text("binance → okx")


def test_unknown_symbol_offers_near_ones(visit: Callable[..., Visitor]) -> None:
    """A mistyped symbol is answered with a page that leads on to what was meant."""
    page = visit("/btcusd", status=404).page

    page.get_by_role("link", name="btcusdt").click()

    page.wait_for_url("**/btcusdt")


def test_api_page_is_readable(visit: Callable[..., Visitor]) -> None:
    """The API's page lists the paths of /openapi.json with their answers."""
    page = visit("/docs").page

    expect(page.locator("#paths section h2", has_text="/courses").first).to_be_visible()
    expect(page.locator("#paths")).not_to_contain_text("description could not be loaded")
