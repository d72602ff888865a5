"""The price axis of a chart: its labels say exactly where they stand."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.chromium import Visitor

pytestmark = pytest.mark.browser

# A chart of its own with known bars; what is written on its axis is read where it is drawn.
_CHART = """async (step) => {
    const { Chart } = await import('/static/js/instrument/chart.js');
    window.texts = new Map();
    const fill = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
        const frame = document.timeline.currentTime; // the labels of the last drawing count
        if (frame !== window.frame) window.texts.clear();
        window.frame = frame;
        const number = Number(text.replace('\u2212', '-').replaceAll(',', ''));
        if (Number.isFinite(number)) window.texts.set(text + this.fillStyle, [text, y, this.fillStyle]);
        return fill.apply(this, [text, x, y]);
    };
    const bars = Array.from({ length: 300 }, (_, n) => {
        const close = ((Math.abs((n % 40) - 20) - 10) * step).toFixed(step < 1 ? 2 : 0);
        return { time: n * 1000, open: close, high: close, low: close, close, volume: null };
    });
    window.box = document.createElement('div');
    box.style.cssText = 'width: 700px; height: 300px; position: fixed; inset: 0 auto auto 0; z-index: 99';
    document.body.append(box);
    const held = { bars, gaps: [], shape: 0, length: 1000, emptyPlaces: () => [] };
    window.chart = new Chart(box, held, { pointed() {}, moved() {} });
    chart.draw();
}"""
_SIZED = """async (height) => {
    const wait = (ms) => new Promise((done) => setTimeout(done, ms));
    box.style.height = `${height}px`;
    do await wait(100); while (box.firstElementChild.offsetHeight !== height);
    do {
        window.texts.clear();
        chart.paintTheme();
        await wait(100);
    } while (window.texts.size < 3);
    return [...window.texts.values()];
}"""


@pytest.fixture
def page(visit: Callable[..., Visitor]) -> Page:
    """Open a page that has no chart."""
    return visit("/docs").page


@pytest.mark.parametrize("step", [1, 0.01, 5000])
def test_labels_are_true(page: Page, step: float) -> None:
    """However the grid is spaced, at halves too, a label is the price at its place; zero has no sign.

    Thousands stand apart, as everywhere.
    """
    page.evaluate(_CHART, step)
    for height in range(240, 520, 40):
        labels: list[Any] = page.evaluate(_SIZED, height)
        at = sorted((float(text.replace("\N{MINUS SIGN}", "-").replace(",", "")), y) for text, y, _ in labels)
        (low, bottom), (high, top) = at[0], at[-1]

        assert len(at) > 2
        for price, y in at:
            assert abs(bottom + (top - bottom) * (price - low) / (high - low) - y) < 2, (height, at)
        assert all(re.fullmatch(r".?\d{1,3}(,\d{3})*(\.\d+)?", text) for text, *_ in labels)
        assert not {"-0", "-0.00"} & {text.replace("\N{MINUS SIGN}", "-") for text, *_ in labels}


def test_no_label_marks_an_older_price(page: Page) -> None:
    """While the newest bar is out of sight, no other bar's price is marked as if it were the newest."""
    page.evaluate(_CHART, 1)
    colours = "(labels) => new Set(labels.map(([, , colour]) => colour)).size"
    following = page.evaluate(colours, page.evaluate(_SIZED, 300))
    page.evaluate("() => { chart.step(-200); chart.leave(); }")
    away = page.evaluate(colours, page.evaluate(_SIZED, 320))
    page.evaluate("chart.follow()")
    again = page.evaluate(colours, page.evaluate(_SIZED, 340))

    assert (following, away, again) == (2, 1, 2)
