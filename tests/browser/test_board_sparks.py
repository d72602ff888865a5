"""Sparklines of the last hour: gaps are visible, live prices extend them, only visible ones are drawn."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Visitor
from tests.browser.system import System, until

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
MINUTE = 60_000
NOW = 1_700_000_040_000 + 30_000  # in the middle of a minute
LAST = 1_700_000_040_000  # its begin


def _run(visit: Callable[..., Visitor], body: str, *given: Any) -> Any:
    """Run code with the module `sparks` in a page."""
    script = f"""async (given) => {{
        const sparks = await import('/static/js/board/sparks.js');
        return JSON.stringify((() => {{ {body} }})());
    }}"""
    return json.loads(visit("/docs").page.evaluate(script, list(given)))


def _drawn(visit: Callable[..., Visitor], points: list[Any]) -> str:
    return str(_run(visit, "return sparks.path(given[0], given[1]);", points, NOW))


def test_a_line_is_broken_where_minutes_are_missing(visit: Callable[..., Visitor]) -> None:
    """Up to two quiet minutes are bridged; after more a new line begins."""
    calm = [[LAST - 5 * MINUTE, "1"], [LAST - 2 * MINUTE, "2"], [LAST, "3"]]
    hole = [[LAST - 6 * MINUTE, "1"], [LAST - 2 * MINUTE, "2"], [LAST, "3"]]

    assert _drawn(visit, calm).count("M") == 1
    assert _drawn(visit, hole).count("M") == 2


def test_a_line_shows_highest_lowest_and_when(visit: Callable[..., Visitor]) -> None:
    """The newest minute is at the right edge, an hour ago at the left, the extremes at top and bottom."""
    found = re.findall(
        r"([ML])([\d.]+) ([\d.]+)",
        _drawn(visit, [[LAST - 59 * MINUTE, "9.5"], [LAST - MINUTE, "8"], [LAST, "10"]]),
    )

    assert [(float(x), float(y)) for _, x, y in found] == [(2.0, 8.0), (116.0, 26.0), (118.0, 2.0)]


@pytest.mark.parametrize("points", [[], [[LAST, "5"]], [[LAST - MINUTE, "5"], [LAST, "5"]]])
def test_a_line_needs_no_movement(visit: Callable[..., Visitor], points: list[Any]) -> None:
    """No point, one point and a flat hour are all drawn correctly."""
    drawn = _drawn(visit, points)

    assert drawn.count("M") == min(1, len(points))
    assert "NaN" not in drawn


def test_the_hour_goes_on_and_forgets(visit: Callable[..., Visitor]) -> None:
    """A live price is the last of its minute; the next has its own; what is over an hour old is left out."""
    body = """
        const [last, now] = given;
        const known = new sparks.Sparks();
        const all = Array.from({ length: 60 }, (_, at) => [last - (59 - at) * 60000, String(at)]);
        known.replace({ a: all }, 0);
        const said = ['70', '70', '71'].map((price, at) => known.note('a', price, now, at + 1));
        const same = known.hour('a', now).slice(-2);
        known.note('a', '72', now + 60000, 4);
        known.note('a', '1', now - 600000, 5);
        const later = [60000, 3600000].map((passed) => known.hour('a', now + passed));
        return [said, same, ...later, known.hour('b', 0)];
    """
    said, same, after, later, unknown = _run(visit, body, LAST, NOW)

    assert said == [True, False, True]
    assert same == [[LAST - MINUTE, "58"], [LAST, "71", 3]]
    assert [len(after), after[0], after[-1]] == [60, [LAST - 58 * MINUTE, "1"], [LAST + MINUTE, "72", 4]]
    assert later == [[LAST + MINUTE, "72", 4]]
    assert unknown == []


def test_an_answer_some_seconds_old_puts_no_older_price_over_a_newer_one(
    visit: Callable[..., Visitor],
) -> None:
    """What was seen live after its `seq` stays, of the minute before, too; what was seen earlier goes."""
    body = """
        const [last, now] = given;
        const known = new sparks.Sparks();
        known.note('a', '1', last - 120000, 10);
        known.note('a', '2', last - 60000, 20);
        known.note('a', '3', now, 30);
        known.note('b', '4', last - 60000, 11);
        known.note('b', '5', now, 12);
        known.note('b', '5', now, 16);
        const answered = () => [[last - 120000, '7'], [last - 60000, '8']];
        known.replace({ a: answered(), b: [...answered(), [last, '9']], c: answered() }, 15);
        const shown = ([time, price]) => [(time - last) / 60000, price];
        return ['a', 'b', 'c'].map((symbol) => known.hour(symbol, now).map(shown));
    """
    of_a, of_b, of_c = _run(visit, body, LAST, NOW)

    assert of_a == [[-2, "7"], [-1, "2"], [0, "3"]]
    assert of_b == [[-2, "7"], [-1, "8"], [0, "5"]]
    assert of_c == [[-2, "7"], [-1, "8"]]


@pytest.mark.parametrize(
    ("first", "last", "walks", "said"),
    [
        ("100", "101.5", False, "+1.50"),
        ("0.00000454", "0.00000450", False, "-0.88"),
        ("5", "5.0", False, "0.00"),
        ("0", "5", False, None),
        ("-3", "4", True, "+7"),
        ("0", "-2.5", True, "-2.5"),
    ],
)
def test_change_over_the_hour(
    visit: Callable[..., Visitor], first: str, last: str, walks: bool, said: str | None
) -> None:
    """Exact, in percent for prices and absolute for random walks."""
    body = "return sparks.hourChange([[0, given[0]], [1, given[1]]], given[2]);"

    assert _run(visit, body, first, last, walks) == said


def _line(page: Page, symbol: str) -> str:
    return page.locator(f"tr[data-symbol={symbol}] .hour path").get_attribute("d") or ""


def test_lines_are_drawn_where_they_are_seen(live: Open) -> None:
    """A row outside the view has no line until it is scrolled to."""
    page = live("/", viewport={"width": 1440, "height": 700})
    until(lambda: _line(page, "btcusdt") != "", "a line in sight")
    hidden = _line(page, "ticker_99")

    page.locator("tr[data-symbol=ticker_99]").scroll_into_view_if_needed()

    until(lambda: _line(page, "ticker_99") != "", "a line that came into sight")
    assert hidden == ""


@pytest.mark.timeout(120)
def test_a_line_grows_with_each_minute(live: Open) -> None:
    """From one minute to the next every live line gets a point, without asking the server again."""
    asked: list[str] = []
    page = live("/", viewport={"width": 1440, "height": 900})
    until(lambda: _line(page, "ticker_00") != "", "a line")
    page.on("request", lambda request: asked.append(request.url))
    before = {symbol: len(re.findall("[ML]", _line(page, symbol))) for symbol in ("btcusdt", "ticker_00")}

    for symbol, number in before.items():
        until(lambda: len(re.findall("[ML]", _line(page, symbol))) > number, f"a new point of {symbol}", 75)  # noqa: B023

    assert asked == []


@pytest.mark.timeout(120)
def test_a_stale_line_is_not_extended(live: Open, system: System) -> None:
    """A stale row's line is frozen and dashed; a live one beside it is not."""
    page = live("/", viewport={"width": 1440, "height": 900})
    until(lambda: _line(page, "btcusdt") != "", "a line")
    system.pin("synthetic")
    expect(page.locator("tr[data-symbol=btcusdt][data-stale]")).to_be_visible()
    old, moving = _line(page, "btcusdt"), _line(page, "ticker_00")

    # A line of one or two points, as of a system just started, looks alike until the next minute.
    until(lambda: _line(page, "ticker_00") != moving, "a moving line beside it", 75)

    dashes = "(path) => getComputedStyle(path).strokeDasharray"
    assert _line(page, "btcusdt") == old
    assert page.locator("tr[data-symbol=btcusdt] path").evaluate(dashes) != "none"
    assert page.locator("tr[data-symbol=ticker_00] path").evaluate(dashes) == "none"
