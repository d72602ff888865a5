"""Each venue's fake with its faults, beside another venue that is sane: the switch that is expected, or none.

What else a venue does to us is in `test_conformance` (refusals, limits, lists, a cut) and in the venue's own
file (heartbeats, the order of its lists, gaps in its books).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes import FAKES, FakeBinance, FakeOKX, FakeVenue
from tests.feed.assembled import assembled, source_of
from tests.feed.rig import Feed
from tests.handlers.test_conformance import FAKED, PAIRS, _whole, listed_ids
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(180 * SCALE)

faked_names = pytest.mark.parametrize("name", FAKED)


_LOST = "a lost frame"
# Nothing that a venue may do every day is a reason to switch.
HARMLESS = ["duplicates", "out-of-order", "garbage", "extra-fields", _LOST]
# The venue is dead: without its heartbeats, with them but without data, too busy, gone.
FATAL = ["half-open", "freeze", "http:429,1", "refuse"]


@asynccontextmanager
async def beside_another(
    name: str, fault: str = "none", symbol: str = ""
) -> AsyncIterator[tuple[Feed, FakeVenue, str]]:
    """Run the feed on a venue, preferred, and another one; yield it, the venue's fake, the other's name."""
    another = FakeBinance if name == FakeOKX.name else FakeOKX
    async with FAKES[name](PAIRS) as fake, another(PAIRS) as other:
        await fake.fault(fault, symbol)
        without_list: dict[str, Any] = {} if listed_ids(name, "ethusdt") or not symbol else {"rest": None}
        sources = source_of(fake, **without_list), source_of(other)
        given: dict[str, Any] = {
            "sources": f"{name},{other.name}",
            "pairs": ",".join(PAIRS),
            "ack_timeout": 1.0 * SCALE,
        }
        async with assembled(*sources, **given) as feed:
            await until(lambda: _whole(feed, other.name))
            yield feed, fake, other.name


@faked_names
async def test_what_is_harmless_switches_nothing(name: str) -> None:
    """Frames twice, in the wrong order, lost, unreadable ones between: the venue serves on."""
    async with beside_another(name) as (feed, fake, _):
        await until(lambda: feed.served() == {name})
        feed.changes.clear()
        for fault in HARMLESS:
            await fake.fault("none" if fault == _LOST else fault)
            if fault == _LOST:  # one: a venue that numbers its frames has counted it
                fake.lose_frame()
            at = len(feed.events)
            await until(lambda at=at: sum(source == name for source, _ in feed.events[at:]) > 100)  # type: ignore[misc]

        assert feed.changes == []
        assert feed.served() == {name}
        assert fake.violations == []


@faked_names
async def test_a_dead_venue_is_replaced_and_comes_back(name: str) -> None:
    """Whatever way it is dead; each time all its instruments move, and return to it later."""
    async with beside_another(name) as (feed, fake, other):
        for fault in FATAL:
            await until(lambda: feed.served() == {name}, 30 * SCALE)
            await fake.fault(fault)
            await until(lambda: feed.served() == {other}, 20 * SCALE)
            await fake.fault("none")
        await until(lambda: feed.served() == {name}, 30 * SCALE)

        assert fake.violations == []


@faked_names
async def test_what_it_refuses_another_serves(name: str) -> None:
    """One instrument moves, the others stay."""
    async with beside_another(name, "error-ack", "ethusdt") as (feed, _, other):
        expected = {"btcusdt": name, "ethusdt": other, "xrpusdt": name}
        await until(lambda: dict(feed.composition.failover.serving) == expected)
