"""The markets page: the best of all venues, the index, and who is how far from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import CHATTER, Visitor
from tests.browser.contrast import contrasts
from tests.browser.system import System, until
from tests.waiting import SCALE

pytestmark = pytest.mark.browser

Visit = Callable[..., Visitor]
PHONES = [{"width": 360, "height": 700}, {"width": 390, "height": 844}]
PREMIUM = re.compile(r"^[+-]?\d+\.\d\d$")
_SCROLLED = """() => new Promise((done) => {
    addEventListener('scroll', () => setTimeout(done), { once: true });
    scrollTo(0, 200);
})"""


def filled(page: Page) -> Page:
    """Wait until both tables show what the server sent."""
    expect(page.locator("#link")).to_have_attribute("data-link", "live")
    expect(page.locator("#premiums .middle[data-number]")).to_have_count(6, timeout=30_000 * SCALE)
    expect(page.locator("#markets .bid > span")).not_to_have_text(["—"] * 3, timeout=30_000 * SCALE)
    return page


@pytest.fixture
def markets(visit: Visit) -> Callable[..., Page]:
    """Return a function that opens the page and waits until both tables are filled."""
    return lambda **context: filled(visit("/markets", **context).page)


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run a system for which two venues make an index."""
    folder = tmp_path_factory.mktemp("of-two")
    with System(folder, "--index-min", "2", "--stale-after", "2", "--failback-after", "1") as running:
        yield running


@pytest.fixture
def indexed(browser: Browser, of_two: System) -> Iterator[Page]:
    """Open the page of that system."""
    visitor = Visitor(browser, of_two.url)
    visitor.page.set_default_timeout(15_000 * SCALE)
    visitor.page.goto("/markets")
    yield filled(visitor.page)
    for venue in of_two.ports:
        of_two.fault(venue, "none")
    visitor.close()


def test_the_best_prices_and_who_has_them(markets: Callable[..., Page]) -> None:
    """Of each pair; the fakes' prices lie apart, so the market is crossed."""
    page = markets()
    rows = page.locator("#markets tr")

    expect(rows).to_have_count(3)
    expect(rows.locator(".bid small")).to_have_text(["okx"] * 3)
    expect(rows.locator(".ask small")).to_have_text(["binance"] * 3)
    expect(rows.locator(".spread .word")).to_have_text(["crossed"] * 3)
    expect(rows.first.locator(".spread > span")).to_have_text(re.compile(r"^-\d+\.\d\d$"))


def test_an_index_of_too_few_sources_is_stale_and_says_so(markets: Callable[..., Page]) -> None:
    """Two venues are not enough by default: no premium is shown."""
    page = markets()

    expect(page.locator("#markets .index .word")).to_have_text(["stale"] * 3)
    expect(page.locator("#markets .note")).to_have_text(["2 sources are usable, 3 needed"] * 3)
    expect(page.locator("#premiums .premium")).to_have_text(["—"] * 6)


def test_a_silent_venue_is_left_out_with_its_reason(markets: Callable[..., Page], system: System) -> None:
    """In the second table, beside its last price."""
    page = markets()
    system.fault("okx", "freeze")
    row = page.locator("#premiums tr:has-text('okx')").first

    expect(row.locator(".note")).to_have_text(re.compile("^not in the index: .+"), timeout=15_000 * SCALE)
    expect(row.locator(".middle")).to_have_text(re.compile(r"^[\d,.]+$"))
    expect(row).to_have_attribute("data-stale", "")
    expect(page.locator("#markets .bid small")).to_have_text(["binance"] * 3)


def test_premiums_are_of_the_index_and_sorted(indexed: Page) -> None:
    """Of two venues the index is the middle, so their premiums are opposite; the furthest come first."""
    page = indexed
    expect(page.locator("#markets .note")).to_have_text(["binance, okx"] * 3)
    expect(page.locator("#premiums .premium")).to_have_text([PREMIUM] * 6)

    def opposite() -> bool:
        texts = page.locator("#premiums .premium").all_inner_texts()
        numbers = [Decimal(text) for text in texts if PREMIUM.match(text)]
        distances = [abs(number) for number in numbers]
        # Values move within the second after they were sorted; a phone's labels are not text.
        return (
            len(numbers) == 6
            and sorted(distances, reverse=True) == distances
            and min(numbers) < 0 < max(numbers)
        )

    until(opposite, "premiums in order")


def test_the_order_rests_under_the_pointer(indexed: Page) -> None:
    """Rows that somebody points at stay where they are; their values go on."""
    page = indexed
    expect(page.locator("#premiums .premium")).to_have_text([PREMIUM] * 6)
    box = page.locator("#premiums").bounding_box()
    assert box
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    first = page.locator("#premiums tr").first
    handle = first.element_handle()
    price = first.locator(".middle")
    before = price.inner_text()

    def moved() -> bool:
        page.mouse.move(box["x"] + 20 + len(seen) % 9, box["y"] + 20)
        seen.append(handle.evaluate("(row) => row === document.querySelector('#premiums tr')"))
        return len(seen) > 30 and price.inner_text() != before

    seen: list[bool] = []
    until(moved, "another price")
    assert all(seen)


def test_the_order_rests_while_a_phone_scrolls(indexed: Page) -> None:
    """A finger is no pointer that moves over the rows; whoever reads on must find them where they were."""
    page = indexed
    page.set_viewport_size({"width": 360, "height": 500})
    expect(page.locator("#premiums .premium")).to_have_text([PREMIUM] * 6)
    page.evaluate(_SCROLLED)
    first = page.locator("#premiums tr").first
    handle = first.element_handle()
    price = first.locator(".middle")
    before = price.inner_text()

    def moved() -> bool:
        page.evaluate(f"scrollTo(0, {200 + len(seen) % 9})")
        seen.append(handle.evaluate("(row) => row === document.querySelector('#premiums tr')"))
        return len(seen) > 30 and price.inner_text() != before

    seen: list[bool] = []
    until(moved, "another price")
    assert all(seen)


def test_the_chart_of_an_instrument_shows_its_index(browser: Browser, of_two: System) -> None:
    """If somebody wants that, live, instead of the prices that are served."""
    visitor = Visitor(browser, of_two.url)
    page = visitor.page
    page.goto("/btcusdt?interval=1s&of=index")
    source, time = page.locator("#bar-source"), page.locator("#bar-time")
    expect(source).to_have_text("index", timeout=30_000 * SCALE)
    before = time.inner_text()
    expect(time).not_to_have_text(before, timeout=15_000 * SCALE)

    expect(source).to_have_text("index")
    expect(page.locator("#chart-words")).to_have_text(re.compile(r"^Index\. Candles: \d+ bars? of 1s"))
    assert "/history/index:btcusdt?" in (page.locator("#csv").get_attribute("href") or "")
    page.get_by_role("button", name="Served", exact=True).click()
    expect(source).to_have_text("binance", timeout=15_000 * SCALE)
    visitor.close()


def test_the_index_goes_stale_with_its_reason(indexed: Page, of_two: System) -> None:
    """Its last value remains, marked; whoever is left has no premium."""
    page = indexed
    of_two.fault("okx", "freeze")

    expect(page.locator("#markets .index .word")).to_have_text(["stale"] * 3, timeout=15_000 * SCALE)
    expect(page.locator("#markets .index[data-stale] > span")).to_have_text([re.compile(r"^[\d,.]+$")] * 3)
    expect(page.locator("#markets .note")).to_have_text(["1 source is usable, 2 needed"] * 3)
    expect(page.locator("#premiums .premium")).to_have_text(["—"] * 6)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_values_move_and_contrast_is_enough(markets: Callable[..., Page], scheme: str) -> None:
    """In both themes."""
    page = markets(color_scheme=scheme)
    bid = page.locator("#markets .bid > span").first
    before = bid.inner_text()
    until(lambda: bid.inner_text() != before, "another bid")

    assert Decimal(bid.inner_text().replace(",", "")) > 0
    assert {text: found for text, found in contrasts(page).items() if found < 4.5} == {}


@pytest.mark.parametrize("size", PHONES, ids=["360", "390"])
def test_a_phone_needs_no_sideways_scrolling(markets: Callable[..., Page], size: dict[str, int]) -> None:
    """Rows become blocks with labels; for screen readers they are still rows of a table."""
    page = markets(viewport=size)

    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.get_by_role("row").count() == 3 + 6 + 2
    label = "getComputedStyle(document.querySelector('#markets .bid'), '::before').content"
    assert page.evaluate(label) == '"Best bid"'


def test_the_keyboard_reaches_each_pair(markets: Callable[..., Page]) -> None:
    """Its name is a link to its page; nothing is read out while values move."""
    page = markets()
    expect(page.locator("#announce")).to_have_text("Prices are live.")
    links = page.locator("#markets a")
    links.first.focus()
    second = links.nth(1).get_attribute("href") or ""
    page.keyboard.press("Tab")

    expect(links.nth(1)).to_be_focused()
    assert page.evaluate(CHATTER) == 0
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/{second.rpartition('/')[2]}$"))


def test_the_board_leads_there(visit: Visit) -> None:
    """Beside its other view."""
    page: Any = visit("/").page
    page.locator("#views").get_by_role("link", name="Markets").click()

    expect(page).to_have_url(re.compile("/markets$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Markets")
