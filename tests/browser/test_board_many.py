"""The board of very many instruments: rows near the window, folded groups, columns, movers, search."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.page import _symbols
from benchmarks.servers import Feeder, feeder, gateway
from tests.benchmarks.test_commands import ran
from tests.browser.chromium import CHATTER, Visitor
from tests.browser.system import until
from tests.waiting import SCALE

pytestmark = pytest.mark.browser

COUNT = 1_100  # 1,000 pairs and 100 tickers
LONG = 30_000 * SCALE
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def many() -> Iterator[tuple[str, Feeder]]:
    """Run a gateway with very many instruments."""
    with (
        tempfile.TemporaryDirectory(prefix="many-") as place,
        feeder(Path(place), _symbols(COUNT)) as feed,
        gateway(Path(place), "eventlet") as running,
    ):
        yield running.url, feed


@pytest.fixture
def board(browser: Browser, many: tuple[str, Feeder]) -> Iterator[Open]:
    """Return a function that opens the board."""
    visitors: list[Visitor] = []

    def opened(path: str = "/", **context: object) -> Page:
        visitor = Visitor(browser, many[0], **context)
        visitors.append(visitor)
        visitor.page.set_default_timeout(LONG)
        visitor.page.goto(path)
        visitor.page.wait_for_selector("tr[data-symbol]:not([data-stale])")
        # The rows above and below those in view are taken out, and spaces stand for them.
        visitor.page.wait_for_selector("tr.space", state="attached")
        return visitor.page

    yield opened
    for visitor in visitors:
        visitor.close()


def rows(page: Page) -> list[str]:
    """List the rows in the document."""
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('tr[data-symbol]')].map((row) => row.dataset.symbol)"
    )
    return found


def test_only_rows_near_the_window_are_in_the_document(board: Open) -> None:
    """The page is as high as all of them; what is scrolled to is there, and says which row it is."""
    page = board()
    first = rows(page)
    page.evaluate("document.querySelector('#pairs tr.space:last-of-type').scrollIntoView({block: 'end'})")
    page.wait_for_selector("tr[data-symbol=c0999usdt]:not([data-stale])")
    last = rows(page)

    assert first[0] == "c0000usdt"
    assert len(first) < 120
    assert len(last) < 120
    assert "c0000usdt" not in last
    # The head, and the headings of the two groups that are shown.
    assert page.evaluate("document.querySelector('.board').ariaRowCount") == str(COUNT - 100 + 3)
    index = page.locator("tr[data-symbol=c0999usdt]").get_attribute("aria-rowindex")
    assert index == str(1_000 + 2)
    assert page.locator("#tickers .group").get_attribute("aria-rowindex") == str(1_000 + 3)


def test_tickers_come_last_and_are_folded(board: Open) -> None:
    """Their heading unfolds them, by the keyboard too, and the choice is kept."""
    page = board()
    fold = page.locator("#tickers .fold")
    expect(fold).to_have_attribute("aria-expanded", "false")
    fold.focus()
    page.keyboard.press("Enter")
    expect(fold).to_have_attribute("aria-expanded", "true")
    page.wait_for_selector("tr[data-symbol=ticker_00]")
    page.reload()

    expect(page.locator("#tickers .fold")).to_have_attribute("aria-expanded", "true")
    assert page.locator("tbody:visible").last.get_attribute("id") == "tickers"


def test_a_search_finds_what_is_out_of_sight_or_folded(board: Open) -> None:
    """Of all instruments, not only those in the document."""
    page = board()
    page.locator("#search").fill("c0777")
    expect(page.locator("tr[data-symbol]")).to_have_count(1)
    expect(page.locator("#found")).to_have_text(re.compile(f"^1 of {COUNT}"))
    page.locator("#search").fill("ticker_42")

    expect(page.locator("tr[data-symbol=ticker_42]")).to_be_visible()
    expect(page.locator("#tickers .fold")).to_have_attribute("aria-expanded", "true")
    page.locator("#search").fill("")
    expect(page.locator("#tickers .fold")).to_have_attribute("aria-expanded", "false")


def test_enter_opens_the_first_match_wherever_the_window_is(board: Open) -> None:
    """It may not be in the document, since only rows near the window are."""
    page = board()
    page.evaluate("document.querySelector('#pairs tr.space:last-of-type').scrollIntoView({block: 'end'})")
    page.wait_for_selector("tr[data-symbol=c0999usdt]")
    page.route("**/c0*usdt", lambda route: route.fulfill(body="there"))
    page.locator("#search").fill("c0")
    page.locator("#search").press("Enter")

    page.wait_for_url("**/c0000usdt")


def test_prices_go_on_while_scrolling(board: Open, many: tuple[str, Feeder]) -> None:
    """What comes into sight shows the newest price; a screen reader is not told of it."""
    page = board()
    many[1].start(10)
    page.mouse.wheel(0, 15_000)
    price = page.locator("tr[data-symbol]:not([data-stale]) .price .value").nth(30)
    before = price.inner_text()
    expect(price).not_to_have_text(before)
    said = page.evaluate(CHATTER)
    many[1].stop()

    assert said <= 1


def test_columns_and_compact_rows_are_chosen_and_kept(board: Open) -> None:
    """In a menu of check boxes; high, low and value are hidden until then."""
    page = board(viewport={"width": 1800, "height": 900})
    expect(page.locator(".board thead .volume")).to_be_hidden()
    height = page.locator("tr[data-symbol]").first.bounding_box()
    page.locator("#columns summary").click()
    for name in ("volume", "high_24h", "low_24h", "compact"):
        page.locator(f"#columns input[name={name}]").check()
    page.locator("#columns input[name=source]").uncheck()
    compact = page.locator("tr[data-symbol]").first.bounding_box()
    page.reload()

    expect(page.locator(".board thead .volume")).to_be_visible()
    expect(page.locator("tr[data-symbol] .high_24h").first).to_have_text("64,500.10")
    expect(page.locator("tr[data-symbol] .volume").first).to_have_text(re.compile(r"^7\d\d\.\dM$"))
    expect(page.locator(".board thead .source")).to_be_hidden()
    assert height
    assert compact
    assert compact["height"] < height["height"]


def test_names_keep_their_room_and_the_menu_says_which_columns_have_none(board: Open) -> None:
    """On a laptop not all columns fit: those of least use go first, and come back with a wider window."""
    page = board(viewport={"width": 1280, "height": 800})
    menu = page.locator("#columns summary")
    menu.click()
    for name in ("volume", "high_24h", "low_24h"):
        page.locator(f"#columns input[name={name}]").check()
    expect(page.locator(".board thead .spread")).to_be_hidden()
    expect(page.locator("#columns label[data-squeezed] input[name=spread]")).to_have_count(1)
    expect(page.locator("#columns label[data-squeezed] input[name=volume]")).to_have_count(0)
    for name in ("volume", "high_24h", "low_24h"):
        expect(page.locator(f".board thead .{name}")).to_be_visible()
    symbol = page.locator(".board thead .symbol").bounding_box()
    fits = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    expect(page.locator("#columns fieldset")).to_be_hidden()
    page.set_viewport_size({"width": 2000, "height": 800})

    expect(page.locator(".board thead .bid")).to_be_visible()
    assert symbol
    assert symbol["width"] >= 100
    assert fits


def _changes(page: Page) -> list[tuple[str, Decimal]]:
    """List the pairs in the document, and their changes within 24 h as shown, once they are."""
    unknown = "[...document.querySelectorAll('#pairs .change')].some((cell) => cell.textContent === '—')"
    until(lambda: not page.evaluate(unknown), "the changes of all pairs in the document")
    shown = page.evaluate(
        """[...document.querySelectorAll('#pairs tr[data-symbol]')]
            .map((row) => [row.dataset.symbol, row.querySelector('.change').textContent])"""
    )
    return [(symbol, Decimal(re.sub("[▲▼+% ]", "", text))) for symbol, text in shown]


def test_movers_first_and_back(board: Open, many: tuple[str, Feeder]) -> None:
    """Of all pairs, whichever way they moved; a button that stays pressed, and the address keeps it."""
    page = board()
    movers = page.locator("#movers")
    before = _changes(page)
    movers.click()
    expect(movers).to_have_attribute("aria-pressed", "true")
    assert "sort=move" in page.url
    moved = _changes(page)
    movers.click()
    expect(movers).to_have_attribute("aria-pressed", "false")
    after = _changes(page)
    quotes = httpx.get(f"{many[0]}/courses", trust_env=False).json()
    changes = {one["symbol"]: Decimal(one["change_24h"]) for one in quotes if not one["synthetic"]}
    furthest = sorted(changes, key=lambda symbol: -abs(changes[symbol]))  # equal ones as they were

    assert [symbol for symbol, _ in moved] == furthest[: len(moved)]
    assert dict(moved).items() <= changes.items()
    assert min(change for _, change in moved) < 0 < max(change for _, change in moved)
    assert after == before
    assert [symbol for symbol, _ in before] == list(changes)[: len(before)]
    assert before != moved


def test_it_is_measured_in_quick_form(tmp_path: Path) -> None:
    """No figure is judged, only that each is measured."""
    _, result = ran(tmp_path, "benchmarks.page", "--instruments", "1200")

    assert result["instruments"] == 1_200
    assert all(look["frames_per_s"] > 0 and look["heap_mb"] > 0 for look in result["looks"])


def test_it_fits_a_phone(board: Open) -> None:
    """Nothing is wider than the page, the menu of columns neither."""
    page = board(viewport={"width": 360, "height": 700}, color_scheme="dark")
    page.locator("#columns summary").click()
    symbol = page.locator("tr[data-symbol] th").first.bounding_box()

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert symbol
    assert symbol["width"] > 45  # rows that are left out must make no columns
    expect(page.locator("#columns label[data-squeezed] input[name=hour]")).to_have_count(1)
