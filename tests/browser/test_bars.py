"""Merging history and live bars: `instrument/bars.js`, run in the browser."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.chromium import Visitor

pytestmark = pytest.mark.browser

Visit = Callable[..., Visitor]
Json = dict[str, Any]

_STEPS = """async (steps) => {
    const { Bars } = await import('/static/js/instrument/bars.js');
    const bars = new Bars();
    const told = steps.map(([name, given]) => {
        const fresh = bars[name](given);
        return fresh ? fresh.map((bar) => bar.time) : (fresh ?? null);
    });
    const { gaps, older } = bars;
    const closes = Object.fromEntries(bars.bars.map((bar) => [bar.time, bar.close]));
    const times = bars.bars.map((bar) => bar.time);
    return JSON.stringify({ told, times, closes, gaps, older, empty: bars.emptyPlaces() });
}"""
_FOLLOW = """async (steps) => {
    const { Bars } = await import('/static/js/instrument/bars.js');
    const bars = new Bars();
    bars.begin(steps[0].page);
    let pages = 0;
    const wrong = [];
    for (const [n, { live, page, truth }] of steps.entries()) {
        if (live === null) continue;
        if (bars.merge(live) === null) {
            bars.begin(page);
            pages += 1;
        }
        const held = JSON.stringify(bars.bars);
        const right = JSON.stringify(truth.filter((bar) => bar.time >= (bars.bars[0]?.time ?? Infinity)));
        if (held !== right) wrong.push([n, held, right]);
    }
    return JSON.stringify({ pages, wrong: wrong.slice(0, 3), held: bars.bars.length });
}"""


def _bar(time: int, close: str = "1.0", *, closed: bool = True) -> Json:
    prices = {"open": close, "high": close, "low": close, "close": close}
    return {"time": time, **prices, "volume": None, "trades": 1, "source": "synthetic", "closed": closed}


def _page(bars: list[Json], *, seq: int = 10, **more: Any) -> Json:
    page = {"symbol": "x", "interval": "1s", "interval_ms": 1000, "epoch": "a", "seq": seq}
    return {**page, "older": None, "newer": None, "bars": bars, "gaps": [], **more}


def _live(bars: list[Json], previous: int | None, *, seq: int = 11, **more: Any) -> Json:
    live = {"symbol": "x", "interval": "1s", "epoch": "a", "seq": seq, "previous": previous}
    return {**live, "bars": bars, "gap": None, **more}


def _play(visit: Visit, *steps: tuple[str, Json]) -> Any:
    return json.loads(visit("/docs").page.evaluate(_STEPS, [list(step) for step in steps]))


def test_open_bar_is_replaced(visit: Visit) -> None:
    """A newer version of an open bar replaces it; the next bar follows it."""
    page = _page([_bar(1000), _bar(2000, "1.5", closed=False)])
    live = _live([_bar(2000, "1.7"), _bar(3000, "1.8", closed=False)], 1000)

    found = _play(visit, ("begin", page), ("merge", live))

    assert found["told"][1] == [2000, 3000]
    assert found["closes"] == {"1000": "1.0", "2000": "1.7", "3000": "1.8"}


def test_a_bar_that_the_engine_has_lost_is_noticed(visit: Visit) -> None:
    """It closed just before the engine was killed: the new run goes on from the one before it."""
    page = _page([_bar(1000), _bar(2000), _bar(3000, "1.5", closed=False)])

    found = _play(visit, ("begin", page), ("merge", _live([_bar(3000, "1.6", closed=False)], 1000)))

    assert found["told"][1] is None


def test_live_bars_older_than_the_page_are_ignored(visit: Visit) -> None:
    """Live bars made before the page change nothing."""
    page = _page([_bar(1000), _bar(2000, "1.5", closed=False)], seq=10)

    found = _play(visit, ("begin", page), ("merge", _live([_bar(2000, "9.9", closed=False)], 1000, seq=9)))

    assert found["told"][1] == []
    assert found["closes"]["2000"] == "1.5"


def test_closed_bar_never_changes(visit: Visit) -> None:
    """A bar that is closed in the page is not replaced by an open live one."""
    page = _page([_bar(1000), _bar(2000, "1.5")], seq=10)

    found = _play(visit, ("begin", page), ("merge", _live([_bar(2000, "1.4", closed=False)], 1000, seq=10)))

    assert found["closes"]["2000"] == "1.5"


@pytest.mark.parametrize("previous", [None, 4000])
def test_hole_is_noticed(visit: Visit, previous: int | None) -> None:
    """If the bar before the new ones is missing, a new page is requested and nothing is merged."""
    found = _play(visit, ("begin", _page([_bar(2000)])), ("merge", _live([_bar(5000)], previous)))

    assert found["told"][1] is None
    assert found["times"] == [2000]


def test_unfinished_bar_is_a_hole(visit: Visit) -> None:
    """If the last bar held is open and the new ones start later, its final values are missing."""
    page = _page([_bar(2000, closed=False)])

    found = _play(visit, ("begin", page), ("merge", _live([_bar(3000, closed=False)], 2000)))

    assert found["told"][1] is None


def test_a_quiet_market_is_no_hole(visit: Visit) -> None:
    """Without trades there are no bars, so the next one may follow the last at any distance."""
    page = _page([_bar(2000)])

    found = _play(visit, ("begin", page), ("merge", _live([_bar(60_000, closed=False)], 2000)))

    assert found["times"] == [2000, 60_000]
    assert found["empty"] == []


def test_another_epoch_is_noticed(visit: Visit) -> None:
    """Another epoch requires a new page, even if the bars seem to follow."""
    live = _live([_bar(3000, closed=False)], 2000, epoch="b", seq=1)

    found = _play(visit, ("begin", _page([_bar(2000)])), ("merge", live))

    assert found["told"][1] is None


def test_a_clock_set_back_is_noticed(visit: Visit) -> None:
    """The newest live bar is more than a minute older than what is held: the server's clock was set back."""
    page = _page([_bar(7_200_000), _bar(7_201_000, closed=False)])

    found = _play(visit, ("begin", page), ("merge", _live([_bar(10_000, closed=False)], None)))

    assert found["told"][1] is None


def test_bars_of_another_interval_are_ignored(visit: Visit) -> None:
    """Live bars of the previously shown interval change nothing."""
    live = _live([_bar(60_000)], 0, interval="1m")

    found = _play(visit, ("begin", _page([_bar(2000)])), ("merge", live))

    assert found["told"][1] == []
    assert found["times"] == [2000]


def test_older_page_goes_before(visit: Visit) -> None:
    """An older page is prepended without duplicates, with its gaps and the start of the next older page."""
    newest = _page([_bar(3000), _bar(4000)], older=3000, gaps=[{"from": 2500, "to": 3000, "reason": "lost"}])
    older = _page(
        [_bar(1000), _bar(2000), _bar(3000, "9.9")],
        older=1000,
        gaps=[{"from": 1500, "to": 1600, "reason": "x"}, {"from": 2500, "to": 3000, "reason": "lost"}],
    )

    found = _play(visit, ("begin", newest), ("prepend", older))

    assert found["times"] == [1000, 2000, 3000, 4000]
    assert found["closes"]["3000"] == "1.0"
    assert [gap["from"] for gap in found["gaps"]] == [1500, 2500]
    assert found["older"] == 1000


def test_new_page_keeps_what_was_scrolled_back_to(visit: Visit) -> None:
    """A new page that follows the bars held keeps them; one that does not replaces them."""
    first = _page([_bar(1000), _bar(2000), _bar(3000)], older=1000)
    follows = _page([_bar(3000, "3"), _bar(4000)], epoch="b", older=3000)
    apart = _page([_bar(9000)], epoch="c", older=9000)

    kept = _play(visit, ("begin", first), ("begin", follows))
    replaced = _play(visit, ("begin", first), ("begin", follows), ("begin", apart))

    assert kept["times"] == [1000, 2000, 3000, 4000]
    assert kept["closes"]["3000"] == "3"
    assert kept["older"] == 1000
    assert (replaced["times"], replaced["older"]) == ([9000], 9000)


def test_gap_has_its_width(visit: Visit) -> None:
    """A gap is as wide as it was long, but at most 20 bars."""
    gaps = [{"from": 2100, "to": 5100, "reason": "short"}, {"from": 7000, "to": 900_000, "reason": "night"}]

    found = _play(visit, ("begin", _page([_bar(2000), _bar(5000), _bar(6000), _bar(900_000)], gaps=gaps)))

    assert found["empty"][:2] == [3000, 4000]
    assert 10 <= len(found["empty"][2:]) <= 20
    assert not set(found["empty"]) & set(found["times"])


def test_open_gap_is_added(visit: Visit) -> None:
    """An open gap arrives with the live bars and has no width until bars follow it."""
    gap = {"from": 3100, "to": None, "reason": "connection lost"}

    found = _play(visit, ("begin", _page([_bar(2000), _bar(3000)])), ("merge", _live([], 3000, gap=gap)))

    assert found["told"][1] == []
    assert found["gaps"] == [gap]
    assert found["empty"] == []


def test_end_of_a_gap_is_requested(visit: Visit) -> None:
    """Only the history has the exact end of a gap; until it is fetched, the next bar ends it."""
    page = _page([_bar(3000)], gaps=[{"from": 3100, "to": None, "reason": "lost"}])

    found = _play(visit, ("begin", page), ("merge", _live([_bar(6000, closed=False)], 3000)))

    assert found["told"][1] is None
    assert found["gaps"] == [{"from": 3100, "to": 6000, "reason": "lost"}]
    assert found["empty"] == [4000, 5000]


def test_live_bars_held_are_bounded(visit: Visit) -> None:
    """A bounded number of live bars is held; older ones can be fetched again."""
    script = """async ([page, live]) => {
        const { Bars } = await import('/static/js/instrument/bars.js');
        const bars = new Bars();
        bars.begin(page);
        let most = 0;
        for (let n = 1; n < 50_000; n += 1) {
            const bar = { ...page.bars[0], time: page.bars[0].time + n * 1000 };
            bars.merge({ ...live, previous: bar.time - 1000, bars: [bar] });
            most = Math.max(most, bars.bars.length);
        }
        return [most, bars.older === bars.bars[0].time];
    }"""

    most, continues = visit("/docs").page.evaluate(script, [_page([_bar(1000)]), _live([], None)])

    assert most <= 20_000
    assert continues


def _market(chance: random.Random, steps: int) -> list[Json]:
    """Simulate an engine and a viewer that loses one message in five."""
    bars: list[Json] = []
    closed: list[Json] = []
    told: list[Json] = []
    for seq in range(1, steps + 1):
        if not bars or chance.random() < 0.4:
            if bars and not bars[-1]["closed"]:
                bars[-1] = {**bars[-1], "closed": True}
                closed.append(bars[-1])
            begin = bars[-1]["time"] if bars else 0
            bars.append(_bar(begin + 1000 * chance.randint(1, 3), str(seq), closed=False))
        else:
            bars[-1] = {**bars[-1], "close": str(seq)}
        if chance.random() < 0.5:
            continue
        sent = [*closed, bars[-1]]
        earlier = [bar["time"] for bar in bars if bar["time"] < sent[0]["time"]]
        live = _live(sent, earlier[-1] if earlier else None, seq=seq)
        closed = []
        lost = chance.random() < 0.2
        told.append({"live": None if lost else live, "page": _page(bars[-5:], seq=seq), "truth": list(bars)})
    return told


@pytest.mark.parametrize("seed", range(3))
def test_no_hole_and_no_duplicate_whatever_is_lost(visit: Visit, seed: int) -> None:
    """After each message that arrives, what is held is what the engine has, bar by bar."""
    steps = _market(random.Random(seed), 300)

    found = json.loads(visit("/docs").page.evaluate(_FOLLOW, steps))

    assert found["wrong"] == []
    assert 1 < found["pages"] < len(steps) / 2
    assert found["held"] > 5
