"""What the chart shows when something breaks: gaps as gaps, nothing old as live, all mended by itself."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.charts import VALUES, by_clock, drawn, history, legend, pixels, until_relayed, walk
from tests.browser.chromium import Visitor
from tests.browser.system import System, until
from tests.waiting import SCALE

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
BACK_WITHIN = 30_000 * SCALE


def _assert_whole(page: Page, system: System, symbol: str, steps: int) -> None:
    """Fail unless the newest bars of the chart are those of the history, each of them, exactly."""
    found = [one for one in walk(page, steps)[:-1] if one["close"] != "—"]
    known = by_clock(history(system, symbol, interval="1s"))
    times = [one["time"] for one in found]
    assert times == [time for time in known if times[0] <= time <= times[-1]]
    assert [{name: one[name] for name in VALUES} for one in found] == [known[time] for time in times]


def test_gap_of_a_killed_engine(live: Open, system: System) -> None:
    """While the engine was dead there is a shaded gap with its reason, and around it no bar is missing."""
    page = drawn(live("/ticker_03?interval=1s&type=line"))
    system.kill("engine")
    expect(page.locator("#chart-note")).to_have_text(re.compile(r"^A gap|^\d+ gaps"), timeout=BACK_WITHIN)
    expect(page.locator("#chart-note")).to_contain_text("not running")
    until(lambda: pixels(page, "--warn") > 100, "the shaded gap")
    gap = history(system, "ticker_03", interval="1s")["gaps"][-1]
    newest = history(system, "ticker_03", interval="1s")["bars"][-1]["time"]
    until(lambda: history(system, "ticker_03", interval="1s")["bars"][-1]["time"] > newest + 3000, "new bars")

    places = walk(page, 30)

    empty = [one for one in places if one["close"] == "—"]
    assert empty
    assert all(gap["reason"] in one["gap"] for one in empty)
    _assert_whole(page, system, "ticker_03", 12)


def test_gap_of_a_pin(live: Open, system: System) -> None:
    """A pair that no live source serves has an open gap; its end comes from the history."""
    page = drawn(live("/btcusdt?interval=1s&type=line"))

    system.pin("synthetic")
    expect(page.locator("#chart-note")).to_have_text("Not live: not carried by the pinned source.")
    until(lambda: pixels(page, "--warn") > 100, "the shaded gap")
    page.wait_for_timeout(2_500)
    system.pin("auto")

    expect(page.locator("#chart-note")).to_contain_text(
        "not carried by the pinned source", timeout=BACK_WITHIN
    )
    expect(page.locator("#chart-note")).to_have_text(re.compile(r" from .* to .* UTC: "), timeout=BACK_WITHIN)
    # Each second a bar comes: more places than seconds, so the gap is among them however long it takes.
    until(lambda: any(one["close"] == "—" and one["gap"] for one in walk(page, 60)), "an empty place", 40)


def test_old_chart_does_not_look_live(live: Open, system: System) -> None:
    """While the price is stale the picture is pale and says why; then it is as before."""
    page = drawn(live("/btcusdt?interval=1s"))
    shown = "getComputedStyle(document.querySelector('#plot > *')).opacity"
    assert page.evaluate(shown) == "1"

    system.pin("synthetic")
    expect(page.locator("#chart-note")).to_contain_text("Not live: ")
    pale = page.evaluate(shown)
    system.pin("auto")
    expect(page.locator("#chart-note")).not_to_contain_text("Not live: ", timeout=BACK_WITHIN)

    assert float(pale) < 0.7
    assert page.evaluate(shown) == "1"


def test_chart_is_mended_after_a_reconnect(live: Open, system: System) -> None:
    """After the connection was lost for a while no bar is missing."""
    page = drawn(live("/ticker_21?interval=1s&type=line"))
    page.context.set_offline(True)
    system.kill("gateway")
    expect(page.locator("#chart-note")).to_contain_text("Not live: ", timeout=10_000 * SCALE)
    before = legend(page)["time"]
    page.wait_for_timeout(3_000)

    page.context.set_offline(False)
    expect(page.locator("#link-word")).to_have_text("Live", timeout=BACK_WITHIN)
    until(lambda: legend(page)["time"] > before, "a new bar", 30)

    _assert_whole(page, system, "ticker_21", 12)


def test_chart_is_mended_after_sleep(live: Open, system: System) -> None:
    """After an hour in which nothing ran the chart goes on, whole."""
    page = drawn(live("/ticker_22?interval=1s&type=line"))

    page.evaluate("() => { const now = Date.now; Date.now = () => now.call(Date) + 3_600_000; }")
    expect(page.locator("#link-word")).to_have_text("Live", timeout=BACK_WITHIN)
    before = legend(page)["time"]
    until(lambda: legend(page)["time"] > before, "a new bar", 30)

    _assert_whole(page, system, "ticker_22", 8)


def test_missed_bars_are_asked_for(visit: Callable[..., Visitor], system: System) -> None:
    """When messages with bars are lost on the way, the chart notices and has them from the history."""
    losing = [False]
    lost: list[str] = []

    def relay(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            if losing[0] and isinstance(message, str) and message.startswith('42["candles"'):
                lost.append(message)
            else:
                socket.send(message)

        server.on_message(pass_on)

    page = visit("/docs").page
    page.route_web_socket(re.compile("/socket.io/"), relay)
    page.goto("/ticker_23?interval=1s&type=line")
    drawn(page)

    losing[0] = True
    until_relayed(page, lambda: len(lost) >= 4, "lost messages")
    losing[0] = False
    before = legend(page)["time"]
    until(lambda: legend(page)["time"] > before, "a new bar")

    _assert_whole(page, system, "ticker_23", 8)


def test_history_that_cannot_be_read(visit: Callable[..., Visitor]) -> None:
    """While the history fails the page says so, its price is live, and the chart comes as soon as it can."""
    visitor = visit("/docs")
    visitor.expect(503)
    page = visitor.page
    page.route("**/history/**", lambda route: route.fulfill(status=503))

    page.goto("/ticker_24")
    expect(page.locator("#chart-note")).to_have_text("History is unavailable. Trying again …")
    expect(page.locator("main:not([data-stale]) #price")).to_have_text(re.compile(r"\d"))
    page.unroute("**/history/**")

    drawn(page)
    expect(page.locator("#chart-note")).not_to_contain_text("unavailable")
