"""GET /history on a whole running program: what is wrong is refused by name, pages are everything once."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio

from crypto_stream.market.bars import INTERVALS, Bar, folded
from crypto_stream.storage.interface import Batch, StoredBar
from crypto_stream.storage.sqlite_history import SqliteHistoryWriter
from tests.process.charts import page, run, whole
from tests.process.programs import address, program
from tests.waiting import SCALE

pytestmark = [pytest.mark.timeout(120 * SCALE), pytest.mark.asyncio(loop_scope="module")]

SYMBOL = "ticker_07"
HOUR = 3_600_000


class System(NamedTuple):
    """A running program, the bars its past has by second and by minute, and the end of that past."""

    http: httpx.AsyncClient
    seconds: list[Bar]
    minutes: list[Bar]
    died_ms: int


def past(died_ms: int) -> tuple[list[Bar], list[Bar], list[Bar]]:
    """Make what 30 hours leave: seconds (each third one is missing) of the last 2, minutes, whole hours."""
    seconds = [_bar(at) for at in range(died_ms - 2 * HOUR, died_ms, 1000) if at // 1000 % 3]
    minutes = [_bar(at) for at in range(died_ms - 30 * HOUR, died_ms - 2 * HOUR, 60_000)]
    minutes += folded(seconds, 60_000)
    return seconds, minutes, [bar for bar in folded(minutes, HOUR) if bar.time + HOUR <= died_ms]


def _bar(at: int) -> Bar:
    price = at // 1000 % 1009 - 500
    return Bar(at, str(price), str(price + 2), str(price - 1), str(price + 1), None, 3, "synthetic")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """A program that has run before, once its engine goes on."""
    folder: Path = tmp_path_factory.mktemp("history")
    (folder / "data").mkdir()
    died_ms = (time.time_ns() // 1_000_000 - 30_000) // 60_000 * 60_000
    seconds, minutes, hours = past(died_ms)
    series = (("1s", seconds), ("1m", minutes), ("1h", hours))
    stored = [StoredBar(SYMBOL, interval, bar) for interval, bars in series for bar in bars]
    writer = SqliteHistoryWriter(folder / "data" / "history.db")
    writer.write(Batch(stored, [], died_ms))
    writer.close()
    with program(run(folder), folder) as running:
        async with httpx.AsyncClient(base_url=await address(running), timeout=20 * SCALE) as http:
            async with asyncio.timeout(20 * SCALE):
                while True:
                    *_, last_closed, _open = (await page(http, SYMBOL, interval="1s"))["bars"]
                    if last_closed["time"] > died_ms:
                        break
                    await asyncio.sleep(0.05)
            yield System(http, seconds, minutes, died_ms)


WRONG = [
    *(("interval", text) for text in ("2m", "", "1M", "1s ", "60000", "week")),
    *((name, text) for name in ("from", "to") for text in ("-1", "1e3", "x", "", "1.5", "9" * 19, "9" * 400)),
    *(
        (name, text)
        for name in ("limit", "points")
        for text in ("0", "-1", "5001", "9" * 30, "all", "", "5 ")
    ),
    ("format", "xml"),
    ("format", ""),
    ("limits", "5"),
    ("from_ms", "5"),
]


@pytest.mark.parametrize(("name", "text"), WRONG)
async def test_a_wrong_parameter_is_refused_by_its_name(system: System, name: str, text: str) -> None:
    """400, a problem with the parameter's name and what is allowed; no trace."""
    answer = await system.http.get(f"/history/{SYMBOL}", params={name: text})
    problem = answer.json()

    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert (problem["code"], problem["parameter"]) == ("bad_parameter", name)
    assert name in problem["detail"]
    assert len(problem["detail"]) < 200


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"from": "200000", "to": "100000"}, "from"),
        ({"from": "100000", "to": "100000"}, "from"),
        ({"interval": "1m", "points": "10"}, "points"),
    ],
)
async def test_what_cannot_go_together_is_refused(system: System, asked: dict[str, str], name: str) -> None:
    """A reversed or empty range, and two ways to choose the interval."""
    answer = await system.http.get(f"/history/{SYMBOL}", params=asked)

    assert (answer.status_code, answer.json()["parameter"]) == (400, name)


async def test_an_unknown_symbol_is_not_found(system: System) -> None:
    """404, whatever is asked of it."""
    answer = await system.http.get("/history/nothing", params={"interval": "1s"})

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_symbol")


async def _backwards(system: System, interval: str, limit: int, to: int) -> list[Any]:
    bars: list[Any] = []
    older: int | None = to
    while older is not None:
        got = await page(system.http, SYMBOL, interval=interval, limit=limit, to=older)
        assert len(got["bars"]) <= limit
        bars, older = [*got["bars"], *bars], got["older"]
    return bars


async def _forwards(system: System, interval: str, limit: int, to: int) -> list[Any]:
    bars: list[Any] = []
    newer: int | None = 0
    while newer is not None:
        asked = {"interval": interval, "limit": limit, "from": newer, "to": to}
        got = await page(system.http, SYMBOL, **asked)
        assert len(got["bars"]) <= limit
        bars, newer = [*bars, *got["bars"]], got["newer"]
    return bars


def _plainly(bars: list[Bar], length: int, end_ms: int) -> list[dict[str, Any]]:
    """Put shorter bars together, those of whole intervals before `end_ms`."""
    buckets: dict[int, list[Bar]] = {}
    for bar in bars:
        buckets.setdefault(bar.time // length * length, []).append(bar)
    return [
        {
            "time": at,
            "open": parts[0].open,
            "high": max((part.high for part in parts), key=int),
            "low": min((part.low for part in parts), key=int),
            "close": parts[-1].close,
            "volume": None,
            "trades": sum(part.trades or 0 for part in parts),
            "source": "synthetic",
            "closed": True,
        }
        for at, parts in buckets.items()
        if at + length <= end_ms
    ]


@pytest.mark.parametrize(
    ("interval", "limit"),
    [
        *(("1s", 911), ("5s", 97), ("15s", 500), ("1m", 250), ("5m", 7)),
        *(("15m", 500), ("1h", 4), ("4h", 1), ("1d", 1)),
    ],
)
async def test_pages_in_both_directions_are_each_bar_once(system: System, interval: str, limit: int) -> None:
    """The same from either end, ascending, none double; those of the past are what was stored."""
    length = INTERVALS[interval]
    edge = time.time_ns() // 1_000_000 // length * length
    backwards = await _backwards(system, interval, limit, edge)
    forwards = await _forwards(system, interval, limit, edge)
    rows = system.seconds if length < 60_000 else system.minutes
    expected = _plainly(rows, length, system.died_ms)
    times = [bar["time"] for bar in backwards]

    assert backwards == forwards
    assert times == sorted(set(times))
    assert [bar for bar in backwards if bar["time"] + length <= system.died_ms] == expected


async def test_csv_equals_json(system: System) -> None:
    """The same bars, field by field; a missing number is empty, true and false are words."""
    asked: dict[str, str | int] = {"interval": "1s", "limit": 5000, "to": system.died_ms}
    bars = (await page(system.http, SYMBOL, **asked))["bars"]
    answer = await system.http.get(f"/history/{SYMBOL}", params=asked | {"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert len(bars) > 4000
    assert rows == [
        {name: {None: "", True: "true"}.get(bar[name], str(bar[name])) for name in bar} for bar in bars
    ]


@pytest.mark.parametrize(
    ("points", "back_ms", "interval"),
    [(5000, HOUR, "1s"), (720, HOUR, "5s"), (60, HOUR, "1m"), (5000, 20 * HOUR, "1m"), (30, 20 * HOUR, "1h")],
)
async def test_points_choose_the_finest_interval_that_fits(
    system: System, points: int, back_ms: int, interval: str
) -> None:
    """At most so many bars; seconds only where they reach as far back."""
    edge = system.died_ms
    got = await page(system.http, SYMBOL, points=points, to=edge, **{"from": edge - back_ms})

    assert (got["interval"], got["interval_ms"]) == (interval, INTERVALS[interval])
    assert 0 < len(got["bars"]) <= points
    assert edge - back_ms <= got["bars"][0]["time"] < edge - back_ms + 2 * INTERVALS[interval]
    assert got["newer"] is None


async def test_the_time_it_did_not_run_is_a_gap(system: System) -> None:
    """From the end of the last stored bar to the first of this life, with the reason."""
    bars, gaps = await whole(system.http, SYMBOL, "1s")
    first = next(bar["time"] for bar in bars if bar["time"] >= system.died_ms)
    (gap,) = gaps

    assert (gap["from"], gap["reason"]) == (system.died_ms, "the engine was not running")
    assert first - 2000 < gap["to"] <= first + 1000
    assert not [bar for bar in bars if gap["from"] <= bar["time"] < first]


async def test_the_walk_goes_on_from_its_last_stored_value(system: System) -> None:
    """The first step of this life is the close of the last bar of the one before."""
    bars, _ = await whole(system.http, SYMBOL, "1s")
    at = next(place for place, bar in enumerate(bars) if bar["time"] >= system.died_ms)

    assert bars[at]["open"] == system.seconds[-1].close == bars[at - 1]["close"]


async def test_sparks_are_the_last_hour_by_minutes(system: System) -> None:
    """The closing price of each of its minutes, those of another life too."""
    answer = (await system.http.get("/history")).json()
    sparks = answer["sparks"][SYMBOL]
    newest = sparks[-1][0]
    stored = {bar.time: bar.close for bar in system.minutes if newest - HOUR < bar.time}

    assert answer["interval_ms"] == 60_000
    assert len(answer["sparks"]) == 103
    assert len(stored) > 50
    assert {at: price for at, price in sparks if at in stored} == stored
