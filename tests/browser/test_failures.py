"""What a viewer sees when something breaks: correct states immediately, and automatic recovery."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Visitor
from tests.browser.system import System
from tests.waiting import SCALE

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
# Deadlines in ms. A gateway gives an engine up 5 s after its last word, a page its gateway after 6 s; the
# rest is for loaded machines, and yet less than the 15 s after which the supervisor kills what hangs.
STALE_WITHIN = 12_000
BACK_WITHIN = 30_000 * SCALE
FRESH = re.compile(r"^[0-4]\.\d s ago$")


def test_engine_killed(live: Open, system: System) -> None:
    """A killed engine is only a pause: prices resume by themselves, and nothing becomes stale within 5 s."""
    page = live("/btcusdt")
    page.evaluate("""() => {
        const banner = document.getElementById('banner');
        window.said = [];
        const watch = new MutationObserver(() => banner.hidden || window.said.push(banner.textContent));
        watch.observe(banner, { attributes: true, childList: true });
    }""")

    killed_s = time.monotonic()
    system.restart_engine()
    price = page.locator("#price").inner_text()
    expect(page.locator("#price")).not_to_have_text(price, timeout=BACK_WITHIN)
    paused_s = time.monotonic() - killed_s
    expect(page.locator("#banner")).to_be_hidden(timeout=BACK_WITHIN)
    expect(page.locator("#venues .state").first).to_have_text("live", timeout=BACK_WITHIN)

    assert paused_s > 5 or page.evaluate("window.said") == []


def test_engine_frozen(live: Open, system: System) -> None:
    """While the engine hangs every row is stale and a page says why; both recover with it."""
    page, one = live("/"), live("/btcusdt")
    expect(one.locator("#venues tr")).to_have_count(2)
    pid = system.freeze("engine")
    try:
        stale = page.locator("tr[data-symbol][data-stale]")
        expect(stale).to_have_count(106, timeout=STALE_WITHIN)
        expect(page.locator("tr[data-symbol=ticker_00] .word")).to_have_text("STALE")
        expect(one.locator("#banner")).to_have_text("STALE: engine unreachable.", timeout=1_000 * SCALE)
    finally:
        system.thaw(pid)

    expect(page.locator("tr[data-symbol=ticker_00]:not([data-stale])")).to_be_visible(timeout=BACK_WITHIN)
    expect(page.locator("tr[data-symbol=btcusdt]:not([data-stale])")).to_be_visible(timeout=BACK_WITHIN)
    expect(one.locator("#banner")).to_be_hidden(timeout=BACK_WITHIN)


def test_gateway_killed(live: Open, system: System) -> None:
    """With the gateway dead the page says that it reconnects, and is live again by itself."""
    page = live("/ticker_00")

    system.kill("gateway")
    expect(page.locator("#link-word")).to_have_text("Reconnecting", timeout=STALE_WITHIN)
    expect(page.locator("#banner")).to_contain_text("STALE: The connection to the server was lost")

    expect(page.locator("#link-word")).to_have_text("Live", timeout=BACK_WITHIN)
    expect(page.locator("#banner")).to_be_hidden(timeout=BACK_WITHIN)


def test_gateway_frozen(live: Open, system: System) -> None:
    """When nothing arrives although the connection is open, the page says so."""
    page = live("/ticker_00")
    expect(page.locator("#venues .state")).to_have_text("live")
    pid = system.freeze("gateway")
    try:
        expect(page.locator("#link-word")).to_have_text("No data", timeout=STALE_WITHIN)
        expect(page.locator("#stale-word")).to_be_visible()
        expect(page.locator("#venues .state")).to_have_text("unknown")
    finally:
        system.thaw(pid)

    expect(page.locator("#link-word")).to_have_text("Live", timeout=BACK_WITHIN)
    expect(page.locator("#banner")).to_be_hidden(timeout=BACK_WITHIN)


def test_failover_is_seen_with_its_reason(live: Open, system: System) -> None:
    """When the first venue falls silent the second serves, the page says why, and later goes back."""
    page = live("/btcusdt")
    expect(page.locator("#venues tr")).to_have_count(2)

    system.fault("binance", "freeze")
    expect(page.locator("#source")).to_have_text("okx", timeout=15_000 * SCALE)
    switched = page.locator("#changes .switched", has_text="binance → okx")
    expect(switched).to_be_visible()
    reason = switched.inner_text().partition("(")[2].strip(" )")
    system.fault("binance", "none")

    expect(page.locator("#source")).to_have_text("binance", timeout=BACK_WITHIN)
    assert len(reason) > 5


def test_browser_offline(live: Open, system: System) -> None:
    """A device without network says so, and the page recovers with the network."""
    page = live("/ticker_00")

    page.context.set_offline(True)
    system.kill("gateway")
    expect(page.locator("#link-word")).to_have_text("Offline", timeout=STALE_WITHIN)
    expect(page.locator("#banner")).to_contain_text("STALE: This device is offline")
    page.context.set_offline(False)

    expect(page.locator("#link-word")).to_have_text("Live", timeout=BACK_WITHIN)


def test_wake_from_sleep(live: Open) -> None:
    """After an hour in which nothing ran the page comes back by itself, with true ages."""
    page = live("/ticker_00")

    # A machine that wakes shows the page again; the event comes before any message of the old connection.
    page.evaluate(
        """() => {
            const now = Date.now;
            Date.now = () => now.call(Date) + 3_600_000;
            dispatchEvent(new Event('visibilitychange'));
        }"""
    )

    expect(page.locator("#age")).to_have_text(FRESH)
    expect(page.locator("#link-word")).to_have_text("Live", timeout=BACK_WITHIN)


@pytest.mark.parametrize("hours", [-3, 5])
def test_wrong_clock_of_the_viewer(visit: Callable[..., Visitor], hours: int) -> None:
    """Ages are those of the server's clock, however wrong the viewer's is."""
    script = f"{{ const now = Date.now; Date.now = () => now.call(Date) + {hours} * 3_600_000; }}"

    page = visit("/ticker_00", script=script).page

    expect(page.locator("#age")).to_have_text(FRESH)
