"""Snapshots: one encoded for many viewers, and what each gets is always the mirror's newest state."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.bus.messages import InstrumentsChanged, Quotes, Snapshot
from crypto_stream.gateway.delivery.frames import Frame
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.snapshots import Snapshots
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.subscriptions import EVERYTHING, Symbols
from crypto_stream.market.instruments import Instrument
from tests.gateway.engine import quote
from tests.gateway.test_mirror import SOURCE

BOARD = [Instrument(f"c{number}usdt", f"C{number}", "USDT") for number in range(40)]
SETS = [
    EVERYTHING,
    Symbols(True, frozenset({"c0usdt"})),
    Symbols(False, frozenset({"c1usdt"})),
    Symbols(False, frozenset(one.symbol for one in BOARD[:20])),
]


class Market:
    """A mirror of forty instruments, the snapshots of it, and a clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.seq = 1
        self.mirror = Mirror()
        self.restart("e1")
        self.counters = DeliveryMetrics()
        self.snapshots = Snapshots(self.mirror, self.counters, lambda: self.now_s)

    def restart(self, epoch: str) -> None:
        """Begin an epoch with all instruments."""
        quotes = [quote(one, self.seq) for one in BOARD]
        self.mirror.receive(Snapshot(epoch, self.seq, BOARD, quotes, [SOURCE], None, {}), self.now_s)

    def change(self, at: int, *, stale: bool = False) -> None:
        """Publish another price of one instrument, if it is there."""
        self.seq += 1
        one = BOARD[at]
        if one.symbol in self.mirror.catalogue.positions:
            news = [quote(one, self.seq, str(self.seq), stale=stale)]
            self.mirror.receive(Quotes(self.seq, news), self.now_s)

    def toggle(self, at: int) -> None:
        """Remove an instrument, or add it without a quote."""
        one = BOARD[at]
        present = one.symbol in self.mirror.catalogue.positions
        added, removed = ([], [one.symbol]) if present else ([one], [])
        self.mirror.receive(InstrumentsChanged(added, removed), self.now_s)

    def join(self, symbols: Symbols = EVERYTHING) -> list[tuple[str, list[dict[str, Any]]]]:
        """Return the events that a new viewer gets."""
        return [tuple(json.loads(frame.data[1:])) for _, frame in self.snapshots.of(symbols)]

    def newest(self, symbols: Symbols) -> dict[str, Any]:
        """Return the quotes of the mirror as a viewer holds them."""
        listed = [one for one in self.mirror.listed() if symbols.has(one.symbol)]
        return {one.symbol: msgspec.to_builtins(one) for one in listed}


@pytest.fixture
def market() -> Market:
    return Market()


def frame_of(market: Market, symbols: Symbols = EVERYTHING) -> Frame:
    """Return the frame of a new viewer's `snapshot`."""
    [(name, frame), *_] = market.snapshots.of(symbols)
    assert name == "snapshot"
    return frame


def held(events: list[tuple[str, list[dict[str, Any]]]]) -> dict[str, Any]:
    """Return what a viewer holds after these events, by symbol."""
    return {one["symbol"]: one for _, quotes in events for one in quotes}


HAPPENINGS = st.one_of(
    st.tuples(st.just("change"), st.integers(0, 39), st.booleans()),
    st.tuples(st.just("toggle"), st.integers(0, 39)),
    st.tuples(st.just("pass"), st.floats(0.0, 1.5)),
    st.sampled_from([("lost",), ("restart", "e1"), ("restart", "e2")]),
)


def let_happen(market: Market, what: str, *details: Any) -> None:
    """Do one of `HAPPENINGS`."""
    if what == "change":
        market.change(details[0], stale=details[1])
    elif what == "toggle":
        market.toggle(*details)
    elif what == "pass":
        market.now_s += details[0]
    elif what == "lost":
        market.mirror.engine_lost()
    else:
        market.restart(*details)


@given(st.lists(st.tuples(HAPPENINGS, st.booleans()), max_size=30))
def test_whatever_happened_a_viewer_that_joins_holds_exactly_the_newest_quotes(steps: list[Any]) -> None:
    """No old price, none that looks live but is stale, no removed instrument; the seq of none goes back."""
    market = Market()
    for happening, somebody_joins in steps:
        let_happen(market, *happening)
        for symbols in SETS if somebody_joins else []:
            (first, quotes), *later = market.join(symbols)
            before = held([(first, quotes)])
            assert (first, [name for name, _ in later]) in (("snapshot", []), ("snapshot", ["quotes"]))
            assert held([(first, quotes), *later]) == market.newest(symbols)
            newer = [one for _, part in later for one in part]
            assert all(one["seq"] >= before.get(one["symbol"], one)["seq"] for one in newer)


def test_a_snapshot_of_many_quotes_is_sent_again_with_what_changed_since(market: Market) -> None:
    """The same frame serves viewers that join between changes; so do the `quotes`, until the next change."""
    first = frame_of(market)
    market.change(3)
    market.change(5, stale=True)

    second, third = list(market.snapshots.of(EVERYTHING)), list(market.snapshots.of(EVERYTHING))

    assert second == third
    assert second[0][1] is first
    [_, (name, quotes)] = market.join()
    assert name == "quotes"
    assert [(one["symbol"], one["price"], one["stale"]) for one in quotes] == [
        ("c3usdt", "2", False),
        ("c5usdt", "3", True),
    ]
    assert len(quotes[0]) == len(market.newest(EVERYTHING)["c3usdt"])
    assert market.counters.encoded == 2


def test_of_few_quotes_or_after_many_changes_it_is_encoded_again(market: Market) -> None:
    """Then there is no second event."""
    one, board = SETS[2], EVERYTHING
    frames = [frame_of(market, one), frame_of(market, board)]
    for at in range(5):
        market.change(at)

    joined = [market.join(one), market.join(board)]

    assert [[name for name, _ in events] for events in joined] == [["snapshot"], ["snapshot"]]
    assert frame_of(market, one) is not frames[0]
    assert frame_of(market, board) is not frames[1]


def test_changes_of_other_instruments_leave_a_snapshot_as_it_is(market: Market) -> None:
    """A viewer of one instrument gets the same frame as the one before, and nothing after it."""
    first = frame_of(market, SETS[2])
    market.change(7)

    assert market.snapshots.of(SETS[2]) == [("snapshot", first)]


def test_a_snapshot_is_sent_again_for_at_most_a_second(market: Market) -> None:
    """A connection that breaks right after it leaves nobody with older prices."""
    first = frame_of(market)
    market.change(3)
    market.now_s = 1.0
    last = frame_of(market)
    market.now_s = 1.1

    assert last is first
    assert [name for name, _ in market.join()] == ["snapshot"]
