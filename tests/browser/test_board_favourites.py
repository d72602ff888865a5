"""Favourites: marked by a star, on top of the board, kept in this browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Visitor

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


def test_favourites_are_on_top_and_survive_a_reload(live: Open) -> None:
    """A star moves its row into the first group, and it is there again after a reload, still live."""
    page = live("/")
    for name in ("ticker_42", "ETH/USDT"):
        page.get_by_role("button", name=f"Favourite {name}").click()
    page.reload()

    rows = page.locator("#favourites tr[data-symbol]")
    expect(rows).to_have_count(2)
    assert rows.evaluate_all("all => all.map((row) => row.dataset.symbol)") == ["ethusdt", "ticker_42"]
    assert page.locator(".board tbody:visible").first.get_attribute("id") == "favourites"
    expect(page.locator("#favourites .count")).to_have_text("2")
    expect(page.locator("#favourites tr[data-symbol=ticker_42]:not([data-stale])")).to_be_visible()
    expect(page.locator("#favourites tr[data-symbol=ticker_42] .badge[data-kind=synthetic]")).to_be_visible()
    expect(page.locator("tr[data-symbol]")).to_have_count(106)


def test_a_star_is_a_toggle(live: Open) -> None:
    """By keyboard: Space marks and unmarks, the focus stays on the star, the row goes home to its place."""
    page = live("/")
    order = "() => [...document.querySelectorAll('.board tr[data-symbol]')].map((row) => row.dataset.symbol)"
    before = page.evaluate(order)
    star = page.get_by_role("button", name="Favourite ticker_07")

    star.focus()
    page.keyboard.press("Space")
    expect(star).to_have_attribute("aria-pressed", "true")
    expect(star).to_be_focused()
    expect(page.locator("#favourites tr[data-symbol=ticker_07]")).to_be_visible()
    page.keyboard.press("Space")

    expect(star).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#favourites")).to_be_hidden()
    assert page.evaluate(order) == before


def test_a_star_does_not_open_the_page(live: Open) -> None:
    """The row is a link, the star on it is not."""
    page = live("/")
    page.locator("tr[data-symbol=ticker_00] .star button").click()

    expect(page.locator("#favourites tr[data-symbol=ticker_00]")).to_be_visible()
    assert page.url.endswith("/")


def test_favourites_alone(live: Open) -> None:
    """The filter shows them alone, and says what to do while there are none."""
    page = live("/")
    page.get_by_role("button", name="Favourites", exact=True).click()
    expect(page.get_by_text("No favourites yet")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("button", name="Favourite BTC/USDT").click()
    page.get_by_role("button", name="Favourites", exact=True).click()

    expect(page.locator("tr[data-symbol]:visible")).to_have_count(1)
    assert page.url.endswith("?group=favourites")


def test_another_tab_learns_of_it(visit: Callable[..., Visitor]) -> None:
    """What is marked in one tab is a favourite in the other at once."""
    visitor = visit("/")
    other = visitor.context.new_page()
    other.goto("/")
    visitor.page.get_by_role("button", name="Favourite ticker_03").click()

    expect(other.locator("#favourites tr[data-symbol=ticker_03]")).to_be_visible()


@pytest.mark.parametrize("kept", ["{", '{"a": 1}', '["nosuch", 7, "ticker_01"]'])
def test_spoilt_storage_is_no_trouble(visit: Callable[..., Visitor], kept: str) -> None:
    """Whatever the storage holds, the board works."""
    page = visit("/", script=f"localStorage.setItem('favourites', {kept!r})").page

    expect(page.locator("#link-word")).to_have_text("Live")
    expect(page.locator("#favourites tr[data-symbol]")).to_have_count(1 if "ticker_01" in kept else 0)


def test_a_double_click_marks_one(live: Open) -> None:
    """The row moves away at the first click; the second one meets another row and does nothing."""
    page = live("/")
    page.locator("tr[data-symbol=ethusdt] .star button").dblclick()

    rows = page.locator("#favourites tr[data-symbol]")
    expect(rows).to_have_count(1)
    expect(rows).to_have_attribute("data-symbol", "ethusdt")
    expect(page.locator(".star [aria-pressed=true]")).to_have_count(1)
