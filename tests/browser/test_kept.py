"""What pages keep: the chart's settings across the board, the theme across tabs, bars in view."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.charts import drawn
from tests.browser.chromium import Visitor

pytestmark = pytest.mark.browser


def test_a_choice_of_interval_outlives_a_look_at_the_board(live: Callable[..., Page]) -> None:
    """Returning via the board shows the chosen interval."""
    page = live("/btcusdt")
    page.get_by_role("button", name="15s", exact=True).click()
    page.get_by_role("link", name="Board").first.click()
    page.locator("tr[data-symbol=ethusdt] a").click()

    expect(page.get_by_role("button", name="15s", exact=True)).to_have_attribute("aria-pressed", "true")


def test_the_theme_reaches_other_tabs(visit: Callable[..., Visitor]) -> None:
    """An open tab immediately follows a change in another one."""
    first = visit("/docs", color_scheme="light")
    other = first.context.new_page()
    other.goto("/docs")
    first.page.locator("#theme").click()
    expect(other.locator("html")).to_have_attribute("data-theme", "dark")
    expect(other.locator("#theme")).to_have_attribute("aria-pressed", "true")
    first.page.locator("#theme").click()

    expect(other.locator("#theme")).to_have_attribute("aria-pressed", "false")


def test_switches_of_the_source_are_found(visit: Callable[..., Visitor]) -> None:
    """Each switch is found once, at the bar in which the new source began to serve."""
    sources = ["binance", "binance", "binance+okx", "okx", "okx", "binance", "binance+okx", "binance"]
    script = """async (sources) => (await import('/static/js/instrument/bars.js')).switches(
        sources.map((source, time) => ({ time, source })))"""
    found = visit("/docs").page.evaluate(script, sources)

    assert [(one["time"], one["to"]) for one in found] == [(2, "okx"), (5, "binance"), (6, "okx")]


def test_a_chart_cannot_be_dragged_until_it_is_empty(live: Callable[..., Page]) -> None:
    """However far to either side it is dragged, bars stay in sight."""
    page = drawn(live("/ticker_00?interval=1s&type=line"))
    box = page.locator("#plot").bounding_box()
    assert box
    y = box["y"] + box["height"] / 3
    line = """() => {
        const canvas = document.querySelector('#plot table canvas');
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
        copy.drawImage(canvas, 0, 0);
        const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
        const probe = document.createElement('i');
        probe.style.color = 'var(--accent)';
        document.body.append(probe);
        const wanted = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
        probe.remove();
        let found = 0;
        for (let at = 0; at < data.length; at += 4)
            if (wanted.every((part, n) => Math.abs(data[at + n] - part) < 8)) found += 1;
        return found;
    }"""
    for way in (-1, 1):
        for _ in range(6):
            page.mouse.move(box["x"] + box["width"] / 2, y)
            page.mouse.down()
            page.mouse.move(box["x"] + box["width"] / 2 * (1 + 0.8 * way), y, steps=4)
            page.mouse.up()
        page.mouse.move(5, 5)
        page.wait_for_timeout(300)  # for the frame that shows it

        assert page.evaluate(line) > 10
