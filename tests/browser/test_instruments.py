"""Instruments that are removed and added, as open pages show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Visitor
from tests.browser.system import System

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
GUEST = "xrpusdt"
_NOT_YET_RELOADED = "history.replaceState(null, '')"  # else the next reload waits for a minute


@pytest.fixture
def changing(system: System) -> Iterator[System]:
    """Let a test remove an instrument; it is there again afterwards."""
    yield system
    system.change(add=[GUEST])


def test_the_board_loses_and_gets_a_row(live: Open, changing: System) -> None:
    """By itself: the page is loaded again, with its rows and its count."""
    page = live("/")
    changing.change(remove=[GUEST])
    expect(page.locator(f"tr[data-symbol={GUEST}]")).to_have_count(0)
    expect(page.locator("#found")).to_have_text("105 instruments")
    page.evaluate(_NOT_YET_RELOADED)
    changing.change(add=[GUEST])

    expect(page.locator(f"tr[data-symbol={GUEST}]")).to_have_count(1)
    expect(page.locator("#found")).to_have_text("106 instruments")


def test_the_page_of_a_removed_instrument_says_so(visit: Callable[..., Visitor], changing: System) -> None:
    """It does not go on showing its last price."""
    visitor = visit(f"/{GUEST}")
    visitor.expect(404)
    expect(visitor.page.locator("#price")).to_be_visible()
    changing.change(remove=[GUEST])

    expect(visitor.page.get_by_text(f"There is no instrument '{GUEST}'.")).to_be_visible()
