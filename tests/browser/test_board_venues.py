"""The board's other view: every venue's own quote of each real pair, the best ones marked."""

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
# Every card at one moment: its rows, and who is marked.
_CARDS = """() => [...document.querySelectorAll('.pair')].map((pair) =>
    [...pair.querySelectorAll('tbody tr')].map((row) => {
        const side = (name) => {
            const [mark, value] = row.querySelector(`td.${name}`).children;
            return [value.textContent, !mark.hidden];
        };
        return [row.dataset.stale === undefined, side('bid'), side('ask')];
    }))"""


@pytest.fixture
def venues(visit: Visit) -> Callable[..., Page]:
    """Return a function that opens the view and waits until all rows are live."""

    def open_view(**context: Any) -> Page:
        page = visit("/?view=venues", **context).page
        expect(page.locator("#link")).to_have_attribute("data-link", "live")
        expect(page.locator(".pair tbody tr:not([data-stale]) .state [class=dot] + span")).to_have_count(
            6, timeout=30_000 * SCALE
        )
        return page

    return open_view


def _assert_best(cards: list[Any]) -> None:
    for rows in cards:
        for row in rows:
            row[1][0], row[2][0] = (row[side][0].replace(",", "") for side in (1, 2))
        live = [row for row in rows if row[0]]
        for side, best in ((1, max), (2, min)):
            marked = [row[side][0] for row in rows if row[side][1]]
            assert [Decimal(one) for one in marked] == [best(Decimal(row[side][0]) for row in live)], rows


def test_the_best_live_quotes_are_marked(venues: Callable[..., Page]) -> None:
    """Of each pair the highest live bid and the lowest live ask are marked, once each, while they move."""
    page = venues()

    for _ in range(5):
        cards = page.evaluate(_CARDS)
        _assert_best(cards)
        until(lambda: page.evaluate(_CARDS) != cards, "other quotes")  # noqa: B023
    assert len(cards) == 3


def test_what_is_not_live_is_not_the_best(venues: Callable[..., Page], system: System) -> None:
    """A silent venue's rows are stale, and both marks stand at the other one."""
    page = venues()
    system.fault("binance", "freeze")

    stale = page.locator(".pair tr[data-stale]")
    expect(stale).to_have_count(3, timeout=15_000 * SCALE)
    expect(page.locator(".pair tr:not([data-stale]) .best:visible")).to_have_count(6)
    expect(stale.locator(".best:visible")).to_have_count(0)
    expect(page.locator(".pair tr:has(.serving:visible) th")).to_contain_text(["okx"] * 3)


def test_each_row_has_age_and_state(venues: Callable[..., Page]) -> None:
    """Each source's own state and age stand in its row; the serving one is named."""
    page = venues()
    rows = page.locator(".pair").first.locator("tbody tr")

    expect(rows.locator(".state span")).to_have_text(["live", "live"])
    assert all(re.fullmatch(r"\d+(\.\d)? s", text) for text in rows.locator(".age").all_inner_texts())
    expect(rows.locator(".serving:visible")).to_have_count(1)
    expect(page.locator(".pair .between").first).to_have_text(
        re.compile(r"\d+\.\d+ (lies between them|above the ask)\.$")
    )


def test_a_pinned_source_says_why(venues: Callable[..., Page], system: System) -> None:
    """While the pair is served by nobody its card says stale, and the reason."""
    page = venues()
    system.pin("synthetic")

    expect(page.locator(".pair .why").first).to_have_text("STALE: not carried by the pinned source")
    expect(page.locator(".pair[data-stale]")).to_have_count(3)
    colour = "one => getComputedStyle(one).color"
    soft = page.locator("#found").evaluate(colour)
    page.evaluate("document.querySelector('.pair .change').dataset.way = 'up'")
    assert page.locator(".pair .change").first.evaluate(colour) == soft


def test_a_live_source_that_gives_not_all_says_what_is_missing(
    venues: Callable[..., Page], system: System
) -> None:
    """Under the rows of its pair alone; what is missing makes its bid and ask no worse."""
    page = venues()
    system.fault("binance", "silent:trade", "ethusdt")

    expect(
        page.locator(".pair .words").filter(has_text="binance: no trades although it is traded.")
    ).to_have_count(1, timeout=40_000 * SCALE)
    system.fault("binance", "none")
    expect(page.locator(".pair .words").filter(has_text="no trades")).to_have_count(0, timeout=40_000 * SCALE)


def test_from_one_view_to_the_other(visit: Visit) -> None:
    """Two links above the board lead from one view to the other and say which one is shown."""
    page = visit("/").page
    expect(page.locator(".pair").first).to_be_hidden()
    page.get_by_role("link", name="By venue").click()
    expect(page.locator("table.board")).to_be_hidden()
    expect(page.get_by_role("link", name="By venue")).to_have_attribute("aria-current", "page")
    page.get_by_label("Filter instruments").fill("eth/usdt")
    expect(page.locator(".pair:visible")).to_have_count(1)
    page.get_by_role("link", name="Board", exact=True).click()

    expect(page.locator("table.board")).to_be_visible()
    expect(page.get_by_role("link", name="Board", exact=True)).to_have_attribute("aria-current", "page")


@pytest.mark.parametrize("width", [360, 390, 720, 768, 780, 900, 1024, 1184, 1250, 1440, 3840])
def test_it_fits(venues: Callable[..., Page], width: int) -> None:
    """No width from a phone's to 4K needs scrolling sideways, and nothing is cut off."""
    page = venues(viewport={"width": width, "height": 800})
    cut = page.evaluate(
        """() => {
            for (const mark of document.querySelectorAll('.pair .best, .pair .serving')) mark.hidden = false;
            for (const value of document.querySelectorAll('.pair .best + *'))
                value.textContent = '0.00012345';
            return [...document.querySelectorAll('.pair :is(th, td)')]
                .filter((cell) => cell.scrollWidth > cell.clientWidth + 1)
                .map((cell) => `${cell.className || cell.tagName} ${cell.textContent}`);
        }"""
    )

    assert cut == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(venues: Callable[..., Page], scheme: str) -> None:
    """Every text has the contrast of WCAG AA."""
    page = venues(color_scheme=scheme)

    assert {text: found for text, found in contrasts(page).items() if found < 4.5} == {}


def test_a_table_without_rows_says_why(visit: Visit) -> None:
    """As when the engine has no room for this topic; nothing remains of the rows that came with the page."""
    said = visit("/docs").page.evaluate(
        """async (reasons) => {
            const { VenueTable } = await import('/static/js/live/venues.js');
            const body = document.createElement('tbody');
            const table = new VenueTable(body, document.createElement('p'), {});
            return reasons.map((reason) => {
                body.append('a row');
                table.update({ symbol: 'btcusdt', stale: true, reason, sources: [] });
                table.paint(true);
                return body.textContent;
            });
        }""",
        ["too much is watched", None],
    )

    assert said == ["Too much is watched.", "No source carries this instrument."]
