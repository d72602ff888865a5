"""The board: every instrument is live and can be found and opened."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.system import until

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


def test_board_moves(live: Open) -> None:
    """Real pairs and tickers change before the viewer's eyes, each with an arrow beside its colour."""
    page = live("/")
    prices = (
        "() => [...document.querySelectorAll('tr[data-symbol] .price .value')].map((one) => one.textContent)"
    )
    before = page.evaluate(prices)

    until(lambda: sum(a != b for a, b in zip(before, page.evaluate(prices), strict=True)) > 50, "50 changes")

    assert len(before) == 106
    assert page.locator("tr[data-symbol=ticker_00] .arrow").inner_text() in "▲▼"
    assert page.locator("tr[data-symbol=btcusdt] .source").inner_text() == "binance"


def test_groups_tell_synthetic_from_real(live: Open) -> None:
    """No synthetic row stands among the real pairs, and the synthetic groups say what they are."""
    page = live("/")

    assert page.locator("#pairs tr[data-symbol]").count() == 3
    assert page.locator("#pairs .badge[data-kind=synthetic]").count() == 0
    assert page.locator("#fx tr[data-symbol]").count() == 3
    for group in ("#fx", "#tickers"):
        expect(page.locator(f"{group} .group .badge.synthetic")).to_have_text("synthetic")


def test_each_row_shows_the_spread_of_its_own_prices(live: Open) -> None:
    """The tickers' ask is one above the bid, exactly."""
    page = live("/")

    expect(page.locator("tr[data-symbol=ticker_42] .spread")).to_have_text("1.0")


def test_at_most_one_repaint_per_frame(live: Open) -> None:
    """However many messages come, what they change is written once per animation frame."""
    page = live("/")
    script = """() => new Promise((done) => {
        let touched = 0, frames = 0;
        const watch = new MutationObserver(() => (touched += 1));
        const what = { subtree: true, childList: true, characterData: true };
        watch.observe(document.querySelector('.board'), what);
        const tick = () => (frames += 1) && requestAnimationFrame(tick);
        requestAnimationFrame(tick);
        setTimeout(() => done([touched, frames]), 3000);
    })"""

    touched, frames = page.evaluate(script)

    assert 0 < touched <= frames + 3  # the ages grow once a second, outside of the frames


@pytest.mark.parametrize("typed", ["btcusdt", "BTC-USDT", "btc/usdt", "Btc_Usdt"])
def test_search_takes_every_spelling(live: Open, typed: str) -> None:
    """Any spelling of a pair leaves only its row."""
    page = live("/")

    page.get_by_label("Filter instruments").fill(typed)

    expect(page.locator("tr[data-symbol]:visible")).to_have_count(1)
    expect(page.locator("tr[data-symbol=btcusdt]")).to_be_visible()
    expect(page.locator("#found")).to_have_text("1 of 106 instruments")


def test_search_by_keyboard_alone(live: Open) -> None:
    """A slash goes to the search, Escape clears it, Enter opens the first row found."""
    page = live("/")

    page.keyboard.press("/")
    page.keyboard.type("no such thing")
    expect(page.get_by_text("No matches")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("tr[data-symbol]:visible")).to_have_count(106)
    page.keyboard.type("ticker_07")
    page.keyboard.press("Enter")

    page.wait_for_url("**/ticker_07")


def test_row_opens_its_page(live: Open) -> None:
    """A click anywhere on a row opens the instrument's page."""
    page = live("/")

    box = page.locator("tr[data-symbol=ethusdt] .age").bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    page.wait_for_url("**/ethusdt")


def test_sources_are_shown_with_their_state(live: Open) -> None:
    """The board names each source and whether it is live."""
    page = live("/")

    expect(page.locator("#sources li")).to_have_text(["binance live", "okx live", "synthetic live"])


def test_hidden_tab_is_not_painted_and_catches_up(live: Open) -> None:
    """While no frames are drawn the table is not touched; the next frame shows the newest state."""
    page = live("/")
    page.evaluate(
        """() => {
            const wait = [];
            window.drawAgain = () => { window.requestAnimationFrame = held; wait.splice(0).forEach(held); };
            const held = window.requestAnimationFrame.bind(window);
            window.requestAnimationFrame = (paint) => wait.push(paint);
            Object.defineProperty(document, 'hidden', { get: () => wait.length > 0, configurable: true });
            window.touched = 0;
            const watch = new MutationObserver((all) => (window.touched += all.length));
            const what = { subtree: true, childList: true, characterData: true, attributes: true };
            // After the frame that was asked for before.
            held(() => held(() => watch.observe(document.querySelector('.board'), what)));
        }"""
    )
    cell = page.locator("tr[data-symbol=ticker_00] .price .value")
    before = cell.inner_text()
    page.wait_for_timeout(2_500)  # not for something to happen: nothing may
    touched = page.evaluate("window.touched")
    page.evaluate("window.drawAgain()")

    expect(cell).not_to_have_text(before)
    assert touched == 0
    assert page.evaluate("window.touched") > 0


@pytest.mark.parametrize("width", [360, 390, 430, 640, 768, 900, 1024, 1200, 1250, 1366, 1440, 1920, 3840])
@pytest.mark.parametrize("price", ["0.00012345", "59,999.42"])
def test_no_number_is_cut_off(live: Open, width: int, price: str) -> None:
    """From a phone to 4K nothing needs scrolling sideways, and every cell has room for usual long values."""
    page = live("/", viewport={"width": width, "height": 800})
    cut = page.evaluate(
        """(price) => {
            const long = { '.change': '▲ +12.34 %', '.hour span': '▲ +12.34 %', '.price .arrow': '▲',
                '.bid': '0.00012345', '.ask': '0.00012345', '.spread': '0.00000012', '.age .old': '12 min',
                '.age .word': 'STALE' };
            for (const [place, text] of Object.entries(long))
                for (const cell of document.querySelectorAll(`tr[data-symbol] ${place}`))
                    cell.textContent = text;
            for (const cell of document.querySelectorAll('tr[data-symbol] .price .value'))
                cell.innerHTML = price;
            return [...document.querySelectorAll('.board :is(th, td)')]
                .filter((cell) => cell.scrollWidth > cell.clientWidth + 1)
                .map((cell) => `${cell.className || cell.tagName} ${cell.textContent}`);
        }""",
        price,
    )

    assert cut == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.parametrize("inside", [".star button", "thead .age button"])
def test_focus_is_seen_whole(live: Open, inside: str) -> None:
    """The focus ring is not clipped by its cell."""
    page = live("/")
    page.keyboard.press("Tab")  # so that the focus is the keyboard's
    button = page.locator(f".board {inside}").first
    button.focus()

    offset = button.evaluate("one => parseFloat(getComputedStyle(one).outlineOffset)")
    width = button.evaluate("one => parseFloat(getComputedStyle(one).outlineWidth)")

    assert width > 0
    assert offset <= -width


def test_a_pair_is_found_by_the_name_of_its_currency(live: Open) -> None:
    """Whoever types bitcoin means BTC."""
    page = live("/")
    page.locator("#search").fill("Bitcoin")

    expect(page.locator("tr[data-symbol]:visible")).to_have_count(1)
    expect(page.locator("tr[data-symbol=btcusdt]")).to_be_visible()
