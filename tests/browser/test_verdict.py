"""While no real pair has a live price every page says so, however well the synthetic prices are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, expect

from tests.browser.system import System
from tests.waiting import SCALE

pytestmark = pytest.mark.browser

WITHIN = 20_000 * SCALE


@pytest.fixture
def silent(live: Callable[..., Page], system: System) -> Callable[[], None]:
    """Return a function that makes both venues fall silent."""

    def silence() -> None:
        for venue in system.ports:
            system.fault(venue, "freeze")

    return silence


@pytest.mark.parametrize(
    "path", ["/", "/?view=venues", "/btcusdt", "/orders?instrument=btcusdt", "/instruments", "/status"]
)
def test_badge_banner_title_and_announcement(
    live: Callable[..., Page], silent: Callable[[], None], system: System, path: str
) -> None:
    """None of them says live once every venue is silent; all of them do again by themselves."""
    page = live("/")
    page.goto(path)
    expect(page.locator("#link-word")).to_have_text("Live")
    silent()

    expect(page.locator("#link-word")).to_have_text("No live pairs", timeout=WITHIN)
    expect(page.locator("#banner")).to_be_visible()
    expect(page).to_have_title(re.compile("^STALE "))
    expect(page.locator("#announce")).to_have_text(re.compile("No real pair has a live price|stale"))
    for venue in system.ports:
        system.fault(venue, "none")

    expect(page.locator("#link-word")).to_have_text("Live", timeout=WITHIN)
    expect(page.locator("#banner")).to_be_hidden()
    expect(page).not_to_have_title(re.compile("STALE"))


def test_a_pinned_source_without_the_pairs_is_named(live: Callable[..., Page], system: System) -> None:
    """The pinned source may be live, as the page says elsewhere: only it delivers no real pairs."""
    page = live("/")
    system.pin("synthetic")

    expect(page.locator("#banner")).to_contain_text(
        "No real pair has a live price: synthetic is pinned and delivers none.", timeout=WITHIN
    )
    expect(page.locator("#pinned")).to_have_text("Pinned: synthetic")


def test_synthetic_prices_go_on(
    live: Callable[..., Page], silent: Callable[[], None], system: System
) -> None:
    """Their rows and their pages are not called stale; readiness and /courses speak of the real pairs."""
    board, ticker = live("/"), live("/ticker_00")
    silent()

    expect(board.locator("#link-word")).to_have_text("No live pairs", timeout=WITHIN)
    expect(board.locator("tr[data-symbol=ticker_00]:not([data-stale])")).to_be_visible()
    expect(ticker.locator("#stale-word")).to_be_hidden()
    expect(ticker.locator("#banner")).to_be_hidden()
    for path in ("/readyz", "/courses"):
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{system.url}{path}", timeout=5)
        assert refused.value.code == 503
        refused.value.close()
    with urlopen(f"{system.url}/sources", timeout=5) as answer:
        assert json.load(answer)["verdict"]["state"] == "stale"


def test_some_dark_pairs_are_counted(live: Callable[..., Page]) -> None:
    """Where some pairs have no live price the badge counts the live ones, and its title names the others."""
    page = live("/")
    verdict = {"state": "partly", "live": 2, "total": 3, "real": True, "dark": ["ethusdt"], "pinned": None}
    script = "async (verdict) => (await import('/static/js/text/format.js')).describeLink('live', verdict)"

    assert page.evaluate(script, verdict) == ["2 of 3 live", "No live price for ethusdt."]
