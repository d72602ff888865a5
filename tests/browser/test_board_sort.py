"""The board sorted and filtered: by every column, kept in the address, exact, calm under the pointer."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Visitor
from tests.browser.system import until

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
# The columns and the direction of the first click.
COLUMNS = {
    "symbol": "up",
    "price": "down",
    "change": "down",
    "hour": "down",
    "bid": "down",
    "ask": "down",
    "spread": "up",
    "source": "up",
    "age": "up",
}
# Clicks and reads in one turn, so that no price moves in between.
_CLICKED = """([column, clicks]) => {
    for (let at = 0; at < clicks; at += 1) document.querySelector(`[data-column=${column}]`).click();
    const text = (row) => {
        if (column === 'symbol') return row.dataset.symbol;
        const inner = { price: ' .value', hour: ' span', age: ' .old' }[column] ?? '';
        const read = (cell) => row.querySelector(`td.${cell}`).textContent.trim();
        if (column !== 'spread' || row.dataset.symbol.startsWith('ticker_')) return read(column + inner);
        const [spread, ask] = [read('spread'), read('ask')].map((number) => number.replaceAll(',', ''));
        return ask === '—' ? ask : (spread / ask).toFixed(4); // as a share: prices differ a thousandfold
    };
    return [...document.querySelectorAll('.board tbody')].map((group) =>
        [...group.querySelectorAll('tr[data-symbol]')].map((row) => [row.dataset.symbol, text(row)]));
}"""
_ORDER = "() => [...document.querySelectorAll('.board tr[data-symbol]')].map((row) => row.dataset.symbol)"


def _value(column: str, text: str) -> Any:
    """Read a cell as what it is sorted by; None for what is not known."""
    if column in {"symbol", "source"}:
        return text
    number = text.translate(str.maketrans("", "", "▲▼+%s, ")).removesuffix("ago")
    return None if number == "—" else Decimal(number)


def _assert_sorted(groups: list[list[tuple[str, str]]], column: str, down: bool) -> None:
    slack = 1 if column == "age" else 0  # ages are written at different moments, whole seconds each
    for group in groups:
        values = [_value(column, text) for _, text in group]
        known = [value for value in values if value is not None]
        rising = reversed(known) if down else known
        ordered = [a <= b + slack if slack else a <= b for a, b in pairwise(rising)]
        assert all(ordered), (column, values)
        assert None not in values[: len(known)], f"{column}: what is not known comes last"


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_sorts_both_ways_and_back(live: Open, column: str) -> None:
    """A click sorts each group exactly, a second one turns it, a third one brings the first order back."""
    page = live("/")
    first_order = page.evaluate(_ORDER)
    head = page.locator(f"th:has([data-column={column}])")
    first_down = COLUMNS[column] == "down"

    once = page.evaluate(_CLICKED, [column, 1])
    said_once = head.get_attribute("aria-sort")
    twice = page.evaluate(_CLICKED, [column, 1])
    said_twice = head.get_attribute("aria-sort")
    page.evaluate(_CLICKED, [column, 1])

    _assert_sorted(once, column, first_down)
    _assert_sorted(twice, column, not first_down)
    words = ("descending", "ascending") if first_down else ("ascending", "descending")
    assert (said_once, said_twice, head.get_attribute("aria-sort")) == (*words, None)
    assert page.evaluate(_ORDER) == first_order
    assert sum(len(group) for group in once) == 106


def test_sorting_is_kept_in_the_address(live: Open) -> None:
    """The address says column and way; a reload and a link bring both back; bad ones are left aside."""
    page = live("/")
    page.get_by_role("button", name="24 h").click()
    said = page.url.partition("?")[2]
    page.reload()
    expect(page.locator("tr[data-symbol=ticker_00]:not([data-stale])")).to_be_attached()

    expect(page.locator(".board th.change")).to_have_attribute("aria-sort", "descending")
    assert said == page.url.partition("?")[2] == "sort=change&order=down"
    until(lambda: _sorted_by_change(page), "rows sorted after the reload")
    page.goto("/?sort=nonsense&order=sideways")
    expect(page.locator(".board th[aria-sort]")).to_have_count(0)


def _sorted_by_change(page: Page) -> bool:
    groups = page.evaluate(_CLICKED, ["change", 0])
    try:
        _assert_sorted(groups, "change", down=True)
    except AssertionError:
        return False
    return any(_value("change", text) is not None for _, text in groups[1])


def test_rows_follow_their_values(live: Open) -> None:
    """While prices move the rows go on being sorted by themselves."""
    page = live("/?sort=price&order=down")
    page.mouse.move(5, 5)
    before = page.evaluate(_ORDER)

    until(lambda: page.evaluate(_ORDER) != before, "another order")


def test_rows_keep_still_under_the_pointer(live: Open) -> None:
    """While the pointer moves over the rows none of them changes its place; afterwards they catch up."""
    page = live("/?sort=price&order=down", viewport={"width": 1280, "height": 900})
    row = page.locator("#pairs tr[data-symbol]").last.bounding_box()
    assert row
    page.mouse.move(row["x"] + 300, row["y"] + 4)
    page.evaluate(
        """() => {
            window.moves = 0;
            const watch = new MutationObserver((all) => (window.moves += all.length));
            const groups = document.querySelectorAll('.board tbody');
            for (const group of groups) watch.observe(group, { childList: true });
        }"""
    )
    for step in range(30):
        page.mouse.move(row["x"] + 300 + step % 2 * 9, row["y"] + 4)
        page.wait_for_timeout(100)  # not for something to happen: nothing may
    moved = page.evaluate("window.moves")
    page.mouse.move(5, 5)

    assert moved == 0
    until(lambda: page.evaluate("window.moves") > 0, "rows that catch up")


def test_sorting_is_done_about_once_a_second(live: Open) -> None:
    """However fast prices come, in three seconds rows are put in order at most four times."""
    page = live("/?sort=price&order=down")
    page.mouse.move(5, 5)
    script = """() => new Promise((done) => {
        let times = 0;
        const watch = new MutationObserver(() => (times += 1));
        const groups = document.querySelectorAll('.board tbody');
        for (const group of groups) watch.observe(group, { childList: true });
        setTimeout(() => done(times), 3000);
    })"""

    assert 0 < page.evaluate(script) <= 4


def test_search_and_sort_together(live: Open) -> None:
    """What is left by the search is sorted, and goes on being so."""
    page = live("/?sort=symbol&order=down")
    page.get_by_label("Filter instruments").fill("ticker_1")

    shown = page.locator("tr[data-symbol]:visible")
    expect(shown).to_have_count(10)
    assert shown.evaluate_all("all => all.map((row) => row.dataset.symbol)") == [
        f"ticker_1{n}" for n in range(9, -1, -1)
    ]


@pytest.mark.parametrize(
    ("name", "group", "number"),
    [("Real pairs", "pairs", 3), ("Currencies", "fx", 3), ("Tickers", "tickers", 100)],
)
def test_one_group_alone(live: Open, name: str, group: str, number: int) -> None:
    """A button shows one group alone; the address keeps that, and All shows everything again."""
    page = live("/")
    page.get_by_role("button", name=name, exact=True).click()
    page.reload()

    expect(page.get_by_role("button", name=name, exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("tr[data-symbol]:visible")).to_have_count(number)
    expect(page.locator("#found")).to_have_text(f"{number} of 106 instruments")
    assert page.url.endswith(f"?group={group}")
    page.get_by_role("button", name="All", exact=True).click()
    expect(page.locator("tr[data-symbol]:visible")).to_have_count(106)


def test_sorting_by_keyboard(live: Open) -> None:
    """The heads are buttons: Tab reaches them, Enter sorts."""
    page = live("/")
    page.get_by_role("button", name="Symbol").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(page.locator(".board th.price")).to_have_attribute("aria-sort", "descending")


def test_the_first_prices_are_shown_sorted(visit: Callable[..., Visitor]) -> None:
    """A link to a sorted board never shows prices in another order than the wanted one."""
    script = """document.addEventListener('DOMContentLoaded', () => {
        const group = document.getElementById('tickers');
        const watch = new MutationObserver(() => {
            const texts = [...group.querySelectorAll('.price .value')].map((one) => one.textContent);
            if (texts.some((text) => text === '—')) return;
            watch.disconnect();
            window.first = texts;
        });
        watch.observe(group, { subtree: true, childList: true, characterData: true });
    });"""
    page = visit("/?sort=price&order=down", script=script).page
    until(lambda: page.evaluate("Boolean(window.first)"), "the first prices")

    prices = [Decimal(text.replace(",", "")) for text in page.evaluate("window.first")]

    assert prices == sorted(prices, reverse=True)
