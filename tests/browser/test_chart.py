"""The chart of an instrument's page: what it draws, what it says, and how a person moves in it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, expect

from tests.browser.charts import (
    VALUES,
    by_clock,
    clock,
    drawn,
    has_bars,
    history,
    legend,
    pixels,
    shows,
    walk,
)
from tests.browser.chromium import Visitor
from tests.browser.system import ROOT, System, until

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
PHONE = {"width": 390, "height": 844}
_VENDOR = ROOT / "static" / "vendor" / "lightweight-charts.standalone.production.mjs"


def _among_bars(page: Page) -> tuple[float, float]:
    """Return a point of the chart where there are bars although they are few."""
    box = page.locator("#plot").bounding_box()
    assert box
    return box["x"] + box["width"] - 300, box["y"] + box["height"] / 2


@pytest.mark.parametrize("kind", ["candles", "line"])
def test_first_moment_is_in_the_chart(live: Open, system: System, kind: str) -> None:
    """The way back ends at the very first bar of the instrument."""
    page = drawn(live(f"/ticker_05?interval=1s&type={kind}"))
    first = history(system, "ticker_05", interval="1s", begin=0, limit=1)["bars"][0]
    page.locator("#plot").focus()

    def at_first() -> bool:
        page.keyboard.press("Home")
        return legend(page)["time"] == clock(first["time"])

    until(at_first, "the first bar")

    assert {name: legend(page)[name] for name in VALUES} == {name: first[name] or "—" for name in VALUES}


def test_live_bar_moves(live: Open) -> None:
    """The newest bar changes while it is open, and new ones follow by themselves."""
    page = drawn(live("/btcusdt?interval=5s&type=candles"))
    seen: dict[str, set[str]] = {}

    def look() -> bool:
        now = legend(page)
        seen.setdefault(now["time"], set()).add(now["close"])
        return len(seen) >= 3

    until(look, "three bars")

    assert max(len(closes) for closes in seen.values()) > 1


@pytest.mark.parametrize("path", ["/btcusdt?interval=1s&type=candles", "/ticker_07?interval=1s&type=line"])
def test_bars_are_the_history_exactly(live: Open, system: System, path: str) -> None:
    """Bar after bar, what the cursor says is the text of /history, without a hole."""
    symbol = path[1:].partition("?")[0]
    page = drawn(live(path))
    until(has_bars(system, symbol, 20), "20 bars")

    found = walk(page, 15)
    known = by_clock(history(system, symbol, interval="1s"))
    until(
        lambda: found[-1]["time"] in by_clock(history(system, symbol, interval="1s")), "the last one closed"
    )
    known = by_clock(history(system, symbol, interval="1s"))

    times = [one["time"] for one in found]
    assert times == [time for time in known if times[0] <= time <= times[-1]]
    assert len(set(times)) == 15
    closed = found[:-1]  # the newest may have been open when it was read
    assert [{name: one[name] for name in VALUES} for one in closed] == [known[one["time"]] for one in closed]


def test_crosshair_of_the_mouse(live: Open, system: System) -> None:
    """Under the mouse stands the exact text of a bar; beside the chart the newest is back."""
    page = drawn(live("/ticker_09?interval=1s&type=line"))
    until(has_bars(system, "ticker_09", 12), "12 bars")
    page.reload()
    drawn(page)
    box = page.locator("#plot").bounding_box()
    assert box

    # Half of the empty places, the axis and some bars left of the edge.
    page.mouse.move(box["x"] + box["width"] - 150, box["y"] + box["height"] / 2)
    until(
        lambda: legend(page)["time"] in by_clock(history(system, "ticker_09", interval="1s")), "a closed bar"
    )
    found = legend(page)
    known = by_clock(history(system, "ticker_09", interval="1s"))
    page.mouse.move(box["x"] + 5, box["y"] - 40)

    assert {name: found[name] for name in VALUES} == known[found["time"]]
    until(lambda: legend(page)["time"] > found["time"], "the newest bar")


def test_values_are_read_out_to_who_moves_by_keyboard(live: Open) -> None:
    """Each step of the cursor is said in full; Escape leaves the bar, plus and minus zoom."""
    page = drawn(live("/btcusdt?interval=1s"))
    page.locator("#plot").focus()

    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    held = legend(page)
    said = page.locator("#chart-said").text_content() or ""
    read = [page.locator(f"#bar-{name}").inner_text() for name in ("time", *VALUES, "source")]
    page.keyboard.press("+")
    page.keyboard.press("-")
    after_zoom = legend(page)
    page.keyboard.press("Escape")

    assert all(text in said for text in read)
    assert after_zoom["time"] == held["time"]
    until(partial(shows, page, held["time"] + "+"), "the newest bar")


def test_zoom_and_pan_are_kept_while_live(live: Open, system: System) -> None:
    """New bars neither move nor stretch what a person looks at; one button goes back to the newest."""
    page = drawn(live("/ticker_11?interval=1s&type=line"))
    until(has_bars(system, "ticker_11", 30), "30 bars")
    page.reload()
    drawn(page)
    x, y = _among_bars(page)
    page.mouse.move(x, y)
    for _ in range(4):
        page.mouse.wheel(0, -200)
    page.mouse.down()
    page.mouse.move(x + 120, y, steps=5)
    page.mouse.up()
    expect(page.locator("#latest")).to_be_visible()

    def under(right: float) -> str:
        page.mouse.move(x + right, y + 1)
        page.mouse.move(x + right, y)
        return legend(page)["time"]

    before = [under(0), under(-150)]
    newest = history(system, "ticker_11", interval="1s")["bars"][-1]["time"]
    until(
        lambda: history(system, "ticker_11", interval="1s")["bars"][-1]["time"] >= newest + 4000, "new bars"
    )
    after = [under(0), under(-150)]
    away = clock(newest)
    page.locator("#latest").click()

    assert after == before
    assert before[1] < before[0] < away
    expect(page.locator("#latest")).to_be_hidden()
    page.mouse.move(5, 5)
    until(lambda: legend(page)["time"] >= clock(newest + 4000), "the newest bar")


def test_dark_theme_repaints_the_chart(live: Open) -> None:
    """The switch of the theme reaches the canvas."""
    page = drawn(live("/btcusdt?interval=1s", color_scheme="light"))
    until(lambda: pixels(page, "--line") > 500, "the grid in light")
    light = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('color-scheme')")

    page.get_by_role("button", name="Dark theme").click()

    until(lambda: pixels(page, "--line") > 500, "the grid in dark")
    assert (
        page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('color-scheme')") != light
    )


def test_page_is_of_use_before_its_chart(visit: Callable[..., Visitor]) -> None:
    """The price is live although the chart's script never comes, and the page says that it did not."""
    visitor = visit("/docs")
    page = visitor.page
    page.route("**/lightweight-charts*", lambda route: route.abort("connectionfailed"))

    page.goto("/btcusdt")

    expect(page.locator("#chart-note")).to_have_text("The chart could not be loaded. Reload the page.")
    expect(page.locator("#link")).to_have_attribute("data-link", "live")
    expect(page.locator("main:not([data-stale]) #price")).to_have_text(re.compile(r"\d"))


def test_first_paint_does_not_wait_for_the_chart(visit: Callable[..., Visitor]) -> None:
    """The chart's script is asked for after the first paint, and its coming moves nothing on the page."""
    room = """() => {
        const where = (id) => document.getElementById(id).getBoundingClientRect();
        const [plot, chart] = [where('plot'), where('chart')];
        return [plot.top - chart.top, plot.height, plot.width];
    }"""
    script = f"addEventListener('DOMContentLoaded', () => {{ window.room = ({room})(); }});"
    page = drawn(visit("/btcusdt", script=script).page)
    painted, asked = page.evaluate("""() => {
        const [paint] = performance.getEntriesByName('first-contentful-paint');
        const loaded = performance.getEntriesByType('resource');
        return [paint.startTime, loaded.find((one) => one.name.includes('lightweight')).startTime];
    }""")

    assert painted < asked
    assert page.evaluate("window.room") == page.evaluate(room)
    assert min(page.evaluate(room)) > 50


def test_chart_fits_a_phone(live: Open) -> None:
    """On a phone the chart has the page's width, and a finger can scroll past it."""
    page = drawn(live("/btcusdt?interval=1s", viewport=PHONE, has_touch=True))
    box = page.locator("#plot canvas").first.bounding_box()
    chart = page.locator("#plot").bounding_box()
    assert box
    assert chart

    assert 0 <= chart["x"] < chart["x"] + chart["width"] <= PHONE["width"]
    assert chart["height"] < PHONE["height"] / 2
    assert box["width"] > 240
    assert "none" not in page.locator("#plot canvas").first.evaluate(
        "one => getComputedStyle(one).touchAction"
    )


def test_table_of_the_chart(live: Open) -> None:
    """What is drawn can be had as a table."""
    page = drawn(live("/ticker_03?interval=5s"))
    page.get_by_role("button", name="15s", exact=True).click()

    address = page.get_by_role("link", name="CSV").evaluate("one => one.href")
    with urlopen(address, timeout=10) as answer:
        lines = answer.read().decode().splitlines()

    times = [int(line.partition(",")[0]) for line in lines[1:]]
    assert lines[0].startswith("time,open,high,low,close")
    assert all(b - a >= 15_000 for a, b in pairwise(times))


def test_policy_allows_the_style_of_the_chart_and_no_other(system: System) -> None:
    """The hash in the Content-Security-Policy is that of the style element in the vendor's file."""
    source = _VENDOR.read_text()
    style = re.search(r'createElement\("style"\),this\.\w+\.innerText="([^"]*)"', source)
    assert style
    expected = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()

    with urlopen(f"{system.url}/btcusdt", timeout=10) as answer:
        policy = answer.headers["Content-Security-Policy"]

    assert source.count('createElement("style")') == 1
    assert f"style-src 'self' 'sha256-{expected}';" in policy
    assert "unsafe" not in policy


def test_chart_names_its_maker(live: Open) -> None:
    """The licence's attribution is seen, and its style is not refused."""
    page = drawn(live("/btcusdt"))
    logo = page.locator("#tv-attr-logo")

    expect(logo).to_be_visible()
    assert logo.evaluate("one => getComputedStyle(one).position") == "absolute"
