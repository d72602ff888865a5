"""Looks that can be measured: width, contrast, theme, weight."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import CHATTER, Visitor
from tests.browser.contrast import contrasts
from tests.browser.system import System

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
PHONES = [{"width": 360, "height": 700}, {"width": 390, "height": 844}]
LIVE_PAGES = ["/", "/btcusdt", "/ticker_00", "/orders"]


def _overflow(page: Page) -> int:
    width: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return width


@pytest.mark.parametrize("path", LIVE_PAGES)
@pytest.mark.parametrize("size", PHONES, ids=["360", "390"])
def test_phone_needs_no_sideways_scrolling(live: Open, path: str, size: dict[str, int]) -> None:
    """Every live page fits a phone's width."""
    page = live(path, viewport=size)

    assert _overflow(page) <= 0


def test_stale_page_fits_a_phone(live: Open, system: System) -> None:
    """The banner and its reason do not make a page wider."""
    page = live("/btcusdt", viewport=PHONES[0])
    system.pin("synthetic")
    expect(page.locator("#banner")).to_be_visible()

    assert _overflow(page) <= 0


@pytest.mark.parametrize("path", ["/docs", "/nosuchthing"])
def test_other_pages_fit_a_phone(visit: Callable[..., Visitor], path: str) -> None:
    """So do the API's page and the one about an unknown symbol."""
    page = visit(path, status=200 if path == "/docs" else 404, viewport=PHONES[0]).page
    expect(page.locator("#paths[aria-busy]")).to_have_count(0)

    assert _overflow(page) <= 0


@pytest.mark.parametrize("path", LIVE_PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(live: Open, path: str, scheme: str) -> None:
    """Every text has the contrast of WCAG AA, 4.5, with whatever is behind it."""
    page = live(path, color_scheme=scheme)

    weak = {text: round(found, 2) for text, found in contrasts(page).items() if found < 4.5}

    assert weak == {}


@pytest.mark.parametrize("path", ["/", "/btcusdt"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_while_stale(live: Open, system: System, path: str, scheme: str) -> None:
    """What is stale is pale but still readable."""
    page = live(path, color_scheme=scheme)
    system.pin("synthetic")
    expect(page.locator("[data-stale]").first).to_be_visible()

    weak = {text: round(found, 2) for text, found in contrasts(page).items() if found < 4.5}

    assert weak == {}


@pytest.mark.parametrize("path", ["/docs", "/nosuchthing"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_of_other_pages(visit: Callable[..., Visitor], path: str, scheme: str) -> None:
    """The pages without live values are as readable."""
    page = visit(path, status=200 if path == "/docs" else 404, color_scheme=scheme).page
    expect(page.locator("#paths[aria-busy]")).to_have_count(0)

    weak = {text: round(found, 2) for text, found in contrasts(page).items() if found < 4.5}

    assert weak == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_theme_by_system_and_by_switch(live: Open, scheme: str) -> None:
    """The system's theme is followed until the switch says otherwise; the choice outlives a reload."""
    page = live("/", color_scheme=scheme)
    ground = "getComputedStyle(document.body).backgroundColor"
    by_system = page.evaluate(ground)

    page.get_by_role("button", name="Dark theme").click()
    by_switch = page.evaluate(ground)
    page.reload()
    after_reload = page.evaluate(ground)
    page.get_by_role("button", name="Dark theme").click()

    assert by_switch != by_system
    assert after_reload == by_switch
    assert page.evaluate(ground) == by_system
    assert page.evaluate("localStorage.getItem('theme')") is None


def test_reduced_motion_is_honoured(live: Open) -> None:
    """Who asked for less motion sees arrows, and nothing that flashes."""
    page = live("/", reduced_motion="reduce")
    expect(page.locator("tr[data-symbol=ticker_00] .arrow")).to_have_text(re.compile("[▲▼]"))

    assert page.evaluate("document.getAnimations().length") == 0


def test_headings_and_landmarks(live: Open) -> None:
    """Each live page has one main, one first heading, no level left out, a name on every control."""
    for path in LIVE_PAGES:
        page = live(path)
        levels = page.evaluate(
            "[...document.querySelectorAll('h1,h2,h3')].map((one) => Number(one.tagName[1]))"
        )
        unnamed = page.evaluate(
            """[...document.querySelectorAll('button, input')].filter((one) =>
                !one.labels?.length && !one.ariaLabel && !one.textContent.trim()).length"""
        )

        assert page.locator("main").count() == page.locator("h1").count() == 1
        assert all(after - before <= 1 for before, after in pairwise(sorted(levels[:1]) + levels[1:]))
        assert unnamed == 0


def test_live_regions_do_not_chatter(live: Open) -> None:
    """Moving prices are not read out: while nothing is wrong, no live region changes."""
    page = live("/btcusdt")
    expect(page.locator("#announce")).to_have_text("BTC/USDT: the price is live.")

    assert page.evaluate(CHATTER) == 0
