"""What a viewer chooses of a chart and of the instruments, and where that is kept: in the address."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.charts import (
    clock,
    drawn,
    has_bars,
    history,
    legend,
    pixels,
    shows,
    until_relayed,
)
from tests.browser.chromium import Visitor
from tests.browser.system import System, until

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


def _pressed(page: Page) -> list[str]:
    return page.locator("#chart .toolbar [aria-pressed=true]:not([data-of])").all_inner_texts()


@pytest.mark.parametrize(("path", "usual"), [("/btcusdt", ["1m", "Candles"]), ("/ticker_00", ["1s", "Line"])])
def test_usual_choice(live: Open, path: str, usual: list[str]) -> None:
    """A pair begins with candles of a minute, a ticker with its point a second; the address says nothing."""
    page = drawn(live(path))

    assert _pressed(page) == usual
    assert "?" not in page.url


def test_choice_is_in_the_address(live: Open) -> None:
    """Interval and type are chosen by buttons, stand in the address, and outlive a reload."""
    page = drawn(live("/btcusdt"))

    page.get_by_role("button", name="5s", exact=True).click()
    page.get_by_role("button", name="Line", exact=True).click()
    expect(page).to_have_url(re.compile(r"/btcusdt\?interval=5s&type=line$"))
    expect(page.locator("#chart-words")).to_have_text(re.compile(r"^Line of closing prices: \d+ bars of 5s"))
    page.reload()

    expect(page.locator("#chart-words")).to_have_text(re.compile(r"^Line of closing prices: \d+ bars of 5s"))
    assert _pressed(page) == ["5s", "Line"]


@pytest.mark.parametrize("query", ["?interval=7m&type=pie", "?interval=&type=", "?interval=__proto__"])
def test_unknown_choice_falls_back(live: Open, query: str) -> None:
    """What the address asks for and does not exist is the usual."""
    page = drawn(live(f"/btcusdt{query}"))

    assert _pressed(page) == ["1m", "Candles"]


def test_without_an_index_the_chart_says_why(visit: Callable[..., Visitor], live: Open) -> None:
    """Two venues are too few for one; generated prices offer none at all."""
    visitor = visit("/btcusdt")
    page = drawn(visitor.page)
    visitor.expect(404)  # which the browser notes, too
    page.get_by_role("button", name="Index", exact=True).click()

    expect(page.locator("#chart-note")).to_have_text(
        "There are no bars of its index: too few sources carry it."
    )
    expect(page).to_have_url(re.compile(r"of=index"))
    page.get_by_role("button", name="Served", exact=True).click()
    drawn(page)
    assert "of=" not in page.url
    ticker = drawn(live("/ticker_00?of=index"))
    expect(ticker.get_by_role("button", name="Index", exact=True)).to_have_count(0)


def test_every_interval_is_drawn(live: Open, system: System) -> None:
    """Each interval shows the history's own bars of that length."""
    page = drawn(live("/btcusdt"))
    buttons = page.locator("#chart [data-interval]")

    for button in buttons.all():
        interval = button.inner_text()
        button.click()
        expect(page.locator("#chart-words")).to_contain_text(re.compile(rf"\bbars? of {interval} since"))
        newest = clock(history(system, "btcusdt", interval=interval)["bars"][-1]["time"])
        until(partial(shows, page, newest), f"the newest bar of {interval}")

    assert buttons.count() == 9


def test_quick_changes_of_mind(live: Open) -> None:
    """Who goes back before the other interval has come sees the first one, live."""
    page = drawn(live("/ticker_13?interval=1s"))
    held: list[Route] = []
    page.route(re.compile("interval=5s"), lambda route: held.append(route))  # noqa: PLW0108

    page.get_by_role("button", name="5s", exact=True).click()
    until_relayed(page, lambda: bool(held), "the request")
    page.get_by_role("button", name="1s", exact=True).click()
    for route in held:
        route.continue_()
    before = legend(page)["time"]
    until(partial(shows, page, before + "+"), "a new bar")

    expect(page.locator("#chart-words")).to_contain_text("bars of 1s")


def test_choice_is_this_viewers_own(live: Open) -> None:
    """Two viewers of one instrument see what each has chosen."""
    one = drawn(live("/ticker_14?interval=5s&type=candles"))
    other = drawn(live("/ticker_14"))

    one.get_by_role("button", name="15s", exact=True).click()
    expect(one.locator("#chart-words")).to_contain_text("bars of 15s")
    other.reload()
    drawn(other)

    assert (_pressed(one), _pressed(other)) == (["15s", "Candles"], ["1s", "Line"])


def test_type_is_changed_where_one_looks(live: Open, system: System) -> None:
    """Candles and line are two pictures of the same place."""
    page = drawn(live("/ticker_12?interval=1s&type=line"))
    until(has_bars(system, "ticker_12", 12), "12 bars")
    before = pixels(page, "--up") + pixels(page, "--down")

    page.get_by_role("button", name="Candles").click()
    until(lambda: pixels(page, "--up") + pixels(page, "--down") > before + 50, "candles")
    page.get_by_role("button", name="Line").click()
    until(lambda: pixels(page, "--accent") > 20, "a line")

    assert "type=line" in page.url


def instruments(page: Page) -> list[str]:
    """List all symbols in the server's order."""
    listed = page.request.get("./instruments", headers={"Accept": "application/json"}).json()
    return [one["symbol"] for one in listed["instruments"]]


def test_neighbours_by_keyboard(live: Open) -> None:
    """The keys [ and ] go along the instruments and keep what was chosen; a field keeps its keys."""
    page = drawn(live("/btcusdt?interval=5s&type=line"))
    symbols = instruments(page)
    at = symbols.index("btcusdt")

    page.keyboard.press("]")
    page.wait_for_url(f"**/{symbols[at + 1]}?interval=5s&type=line")
    page.keyboard.press("[")
    page.wait_for_url("**/btcusdt?interval=5s&type=line")
    page.get_by_role("combobox", name="Go to instrument").focus()
    page.keyboard.type("]")

    expect(page.get_by_role("combobox", name="Go to instrument")).to_have_value("]")
    assert "/btcusdt" in page.url


def test_neighbours_by_link(live: Open) -> None:
    """The links to the neighbours keep the choice too, and go round at the ends."""
    page = drawn(live("/btcusdt?interval=15s&type=line"))
    symbols = instruments(page)
    link = page.locator("#previous" if symbols[0] == "btcusdt" else "#next")
    target = symbols[(symbols.index("btcusdt") + (-1 if symbols[0] == "btcusdt" else 1)) % len(symbols)]

    link.click()

    page.wait_for_url(f"**/{target}?interval=15s&type=line")


def test_dropdown_keeps_the_choice(live: Open) -> None:
    """Who goes to another instrument by its name sees the same of it."""
    page = drawn(live("/btcusdt?interval=15s&type=line"))

    page.get_by_role("combobox", name="Go to instrument").fill("ticker_42")
    page.keyboard.press("Enter")

    page.wait_for_url("**/ticker_42?interval=15s&type=line")
