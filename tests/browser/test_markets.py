"""The markets page: the best of all venues, the index, and who is how far from it."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Visitor
from tests.browser.contrast import contrasts
from tests.browser.system import System, until
from tests.waiting import SCALE

pytestmark = pytest.mark.browser

Visit = Callable[..., Visitor]


@pytest.fixture
def markets(visit: Visit) -> Callable[..., Page]:
    """Return a function that opens the page and waits until both tables are filled."""

    def open_markets(**context: Any) -> Page:
        page = visit("/markets", **context).page
        expect(page.locator("#link")).to_have_attribute("data-link", "live")
        expect(page.locator("#premiums tr")).to_have_count(6, timeout=30_000 * SCALE)
        return page

    return open_markets


def test_the_best_prices_and_who_has_them(markets: Callable[..., Page]) -> None:
    """Of each pair; the fakes' prices lie apart, so the market is crossed."""
    page = markets()
    rows = page.locator("#markets tr")

    expect(rows).to_have_count(3)
    expect(rows.locator(".bid + .at")).to_have_text(["okx"] * 3)
    expect(rows.locator(".ask + .at")).to_have_text(["binance"] * 3)
    expect(rows.locator(".spread .word")).to_have_text(["crossed"] * 3)
    expect(rows.first.locator(".spread")).to_have_text(re.compile(r"^-[\d.]+ crossed$"))


def test_an_index_of_too_few_sources_is_stale_and_says_so(markets: Callable[..., Page]) -> None:
    """Two venues are not enough by default: no premium is shown."""
    page = markets()

    expect(page.locator("#markets .index .word")).to_have_text(["stale"] * 3)
    expect(page.locator("#markets td:last-child")).to_have_text(["2 sources are usable, 3 needed"] * 3)
    expect(page.locator("#premiums .premium")).to_have_text(["—"] * 6)


def test_a_silent_venue_is_left_out_with_its_reason(markets: Callable[..., Page], system: System) -> None:
    """In the second table, beside its last price."""
    page = markets()
    system.fault("okx", "freeze")
    row = page.locator("#premiums tr:has-text('okx')").first

    expect(row.locator("td").last).not_to_be_empty(timeout=15_000 * SCALE)
    expect(page.locator("#markets .bid + .at")).to_have_text(["binance"] * 3)


def test_values_move_and_contrast_is_enough(markets: Callable[..., Page]) -> None:
    """In both themes."""
    for scheme in ("light", "dark"):
        page = markets(color_scheme=scheme)
        bid = page.locator("#markets .bid").first
        before = bid.inner_text()
        until(lambda: bid.inner_text() != before, "another bid")  # noqa: B023

        assert Decimal(bid.inner_text().replace(",", "")) > 0
        assert {text: found for text, found in contrasts(page).items() if found < 4.5} == {}
