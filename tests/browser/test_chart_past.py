"""The way back in a chart with a long past: older pages come as they are needed, and nothing jumps."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from crypto_stream.market.bars import Bar
from crypto_stream.storage.interface import Batch, StoredBar
from crypto_stream.storage.sqlite_history import SqliteHistoryWriter
from tests.browser.charts import clock, drawn, legend
from tests.browser.chromium import Visitor
from tests.browser.system import System, until
from tests.waiting import SCALE

pytestmark = pytest.mark.browser

MINUTE = 60_000
BARS = 1_300
PATH = "/ticker_01?interval=1m&type=line"
_COUNT = re.compile(r"(\d+) bars of 1m since (.*) UTC")


def _past(folder: Path) -> int:
    """Write the bars of a day as an engine before would have; return the time of the first one."""
    newest = int(time.time()) * 1000 // MINUTE * MINUTE - 2 * MINUTE
    first = newest - (BARS - 1) * MINUTE
    prices = [str(abs(n % 200 - 100)) for n in range(BARS)]
    bars = [
        StoredBar("ticker_01", "1m", Bar(first + n * MINUTE, one, one, one, one, None, 60, "synthetic"))
        for n, one in enumerate(prices)
    ]
    (folder / "data").mkdir()
    writer = SqliteHistoryWriter(folder / "data" / "history.db")
    writer.prepare()
    writer.write(Batch(bars, [], newest + MINUTE))
    writer.close()
    return first


@pytest.fixture(scope="module")
def first_and_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, System]]:
    """Run the system on a history of its own; its first bar's time and itself."""
    folder = tmp_path_factory.mktemp("past")
    first = _past(folder)
    with System(folder) as running:
        yield first, running


@pytest.fixture
def page(browser: Browser, first_and_system: tuple[int, System]) -> Iterator[Page]:
    """Open the chart."""
    visitor = Visitor(browser, first_and_system[1].url)
    visitor.page.goto(PATH)
    drawn(visitor.page)
    yield visitor.page
    visitor.close()


def _count(page: Page) -> int:
    found = _COUNT.search(page.locator("#chart-words").text_content() or "")
    return int(found[1]) if found else 0


def _drag(page: Page, times: int, *, until_true: Callable[[], bool]) -> None:
    box = page.locator("#plot").bounding_box()
    assert box
    x, y = box["x"] + 40, box["y"] + box["height"] / 2
    for _ in range(times):
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 900, y, steps=4)
        page.mouse.up()
        page.wait_for_timeout(300)
        if until_true():
            return


def test_scrolling_back_loads_older_pages(page: Page, first_and_system: tuple[int, System]) -> None:
    """Whoever drags the chart goes back to the first bar of all, with no page asked for twice."""
    asked: list[str] = []

    def note(request: Request) -> None:
        if "&to=" in request.url:
            asked.append(request.url)

    page.on("request", note)
    at_begin = _count(page)

    _drag(page, 60, until_true=lambda: _count(page) >= BARS)
    words = page.locator("#chart-words").text_content() or ""

    assert at_begin == 500
    assert f"since {clock(first_and_system[0])}" in words
    assert len(asked) == len(set(asked)) == 2


def test_first_bar_by_keyboard(page: Page, first_and_system: tuple[int, System]) -> None:
    """The Home key goes back page by page and stands on the first bar."""
    page.locator("#plot").focus()

    def first() -> bool:
        page.keyboard.press("Home")
        return legend(page)["time"] == clock(first_and_system[0])

    until(first, "the first bar")

    assert _count(page) >= BARS
    assert "synthetic" in legend(page)["source"]


def test_older_bars_do_not_move_what_is_seen(page: Page) -> None:
    """When an older page comes the bar under the mouse stays there."""
    held: list[Route] = []
    page.route(re.compile("&to="), lambda route: held.append(route))  # noqa: PLW0108 (it must be a function)
    _drag(page, 20, until_true=lambda: bool(held))
    box = page.locator("#plot").bounding_box()
    assert box
    page.wait_for_timeout(700)  # a thrown chart rolls on for half a second
    page.mouse.move(box["x"] + 700, box["y"] + 101)
    page.mouse.move(box["x"] + 700, box["y"] + 100)
    before = legend(page)["time"]

    for route in held:
        route.continue_()
    page.unroute(re.compile("&to="))
    expect(page.locator("#chart-words")).to_contain_text(re.compile(r"1\d\d\d bars"))
    page.mouse.move(box["x"] + 700, box["y"] + 101)

    assert _count(page) >= 1000
    assert legend(page)["time"] == before


def test_way_back_is_kept_over_a_restart(page: Page, first_and_system: tuple[int, System]) -> None:
    """A new run of the engine goes on with the newest bars; what was scrolled back to stays."""
    system = first_and_system[1]
    _drag(page, 60, until_true=lambda: _count(page) >= BARS)
    price = page.locator("#price")

    system.restart_engine()
    expect(price).not_to_have_text(price.inner_text(), timeout=30_000 * SCALE)
    expect(page.locator("#chart-note")).not_to_contain_text("Not live", timeout=30_000 * SCALE)
    page.wait_for_timeout(1_500)

    assert _count(page) >= BARS
