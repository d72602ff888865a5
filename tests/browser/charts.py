"""Reading a chart as a person would."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from playwright.sync_api import Page, expect

from tests.browser.system import System
from tests.waiting import SCALE

Json = dict[str, Any]
VALUES = ("open", "high", "low", "close", "volume")
_LEGEND = """(names) => Object.fromEntries(
    names.map((name) => {
        const place = document.getElementById(`bar-${name}`);
        // Its title is the exact number.
        place.dispatchEvent(new PointerEvent('pointerover', { bubbles: true }));
        return [name, place.title || place.textContent];
    }))"""
_PIXELS = """(name) => {
    const probe = document.createElement('i');
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const wanted = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
    probe.remove();
    let found = 0;
    for (const canvas of document.querySelectorAll('#plot canvas')) {
        if (!canvas.width || !canvas.height) continue;
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
        copy.drawImage(canvas, 0, 0);
        const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
        for (let at = 0; at < data.length; at += 4)
            if ([...wanted, 255].every((part, n) => data[at + n] === part)) found += 1;
    }
    return found;
}"""


def legend(page: Page) -> dict[str, str]:
    """Read time, values, source and gap of the bar under the cursor, or of the newest."""
    found: dict[str, str] = page.evaluate(_LEGEND, ["time", *VALUES, "source", "gap"])
    return found


def history(system: System, symbol: str, **query: object) -> Json:
    """Ask for a page of the history; `begin` and `end` are its `from` and `to`."""
    names = {"begin": "from", "end": "to"}
    text = urlencode({names.get(name, name): value for name, value in query.items()})
    with urlopen(f"{system.url}/history/{symbol}?{text}", timeout=10) as answer:
        page: Json = json.load(answer)
    return page


def clock(ms: int) -> str:
    """Write a time as the legend does."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def by_clock(page: Mapping[str, Any]) -> dict[str, Json]:
    """Map the legend's time of each closed bar to the expected legend."""
    return {
        clock(bar["time"]): {name: bar[name] or "—" for name in VALUES}
        for bar in page["bars"]
        if bar["closed"]
    }


def drawn(page: Page) -> Page:
    """Wait until the chart has bars."""
    expect(page.locator("#plot canvas").first).to_be_attached()
    expect(page.locator("#bar-close")).not_to_have_text("—")
    return page


def walk(page: Page, steps: int) -> list[dict[str, str]]:
    """Move back from the newest bar by keyboard; return the legend of each bar, oldest first."""
    page.locator("#plot").focus()
    page.keyboard.press("End")
    found = []
    for _ in range(steps):
        page.keyboard.press("ArrowLeft")
        found.append(legend(page))
    page.keyboard.press("Escape")
    return found[::-1]


def has_bars(system: System, symbol: str, bars: int) -> Callable[[], bool]:
    """Return a condition: the instrument has this many one-second bars."""
    return lambda: len(history(system, symbol, interval="1s")["bars"]) >= bars


def shows(page: Page, time: str) -> bool:
    """Return whether the legend stands at a bar's time or after it."""
    return legend(page)["time"] >= time


def until_relayed(page: Page, condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Like `until`, but keep Playwright's routes working, which a plain sleep would block."""
    deadline = time.monotonic() + seconds * SCALE
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        page.wait_for_timeout(50)


def pixels(page: Page, colour: str) -> int:
    """Count the pixels of the chart that have the colour of a custom property."""
    count: int = page.evaluate(_PIXELS, colour)
    return count
