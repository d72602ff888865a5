"""The failover loop: sources are not blamed for pauses of this process, and it idles if nothing happens."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from crypto_stream.engine.composition import Composition
from crypto_stream.feed.connect_to_handler import connect_to_handler
from crypto_stream.feed.loading import load_sources
from tests.fakes import FakeBinance
from tests.feed.rig import STALE_S, SYMBOLS, Feed, settings, two_venues
from tests.waiting import until

S = 1_000_000_000


class Counting(Feed):
    """A feed that counts how often its sources changed."""

    told = 0

    def sources_changed(self) -> None:
        """Count."""
        self.told += 1


def offline(**given: Any) -> Counting:
    """Create a feed that does not run."""
    chosen = settings(sources="binance,okx").model_copy(update=given)
    bans: dict[str, int] = {}
    composition = Composition(chosen, load_sources(chosen), pin=None, bans={}, remember_ban=bans.__setitem__)
    return Counting(composition)


def test_after_a_late_round_nothing_is_judged_for_a_second() -> None:
    """After a late round nothing is judged for one second, then everything is as usual."""
    feed = offline()
    loop = feed.composition.loop
    judged: list[float] = []
    for at in (0.0, 0.1, 1.0, 3.0, 3.5, 3.9, 4.0, 4.1, 4.2):
        for line in loop.sources.values():
            line.want(False)
        loop.run_once(round((100 + at) * S), feed)
        if any(line.state != "off" for line in loop.sources.values()):
            judged.append(at)

    assert judged == [0.0, 0.1, 1.0, 4.0, 4.1, 4.2]


async def test_an_instrument_is_added_and_removed_while_the_loop_runs() -> None:
    """Added, it is served by its sources; removed, its sources continue with the others."""
    async with two_venues() as (_binance, _okx, feed):
        loop = feed.composition.loop
        chain = loop.failover.chains["xrpusdt"]
        loop.remove("xrpusdt")
        gone = dict(loop.failover.serving)
        loop.add("xrpusdt", chain)
        await until(lambda: feed.serving("xrpusdt") == "binance")

        assert "xrpusdt" not in gone
        assert [(change.symbol, change.after) for change in feed.changes] == [("xrpusdt", "binance")]


async def test_blocked_loop_costs_no_source() -> None:
    """A pause of this process, longer than any limit, makes no source stale and moves nothing."""
    async with two_venues() as (_binance, _okx, feed):
        time.sleep(1.2 + 2 * STALE_S)  # noqa: ASYNC251 - blocking the loop is what is rehearsed
        states = set[str]()
        begun = time.monotonic_ns()

        def fresh() -> bool:
            states.update(line.state for line in feed.composition.loop.sources.values())
            return feed.received("binance") > begun + 1.2 * S

        await until(fresh)

        assert feed.changes == []
        assert states == {"live"}


async def test_two_lost_venues_one_at_a_time_cost_no_busy_loop() -> None:
    """With standby 0 and both venues unreachable, they alternate at the pace of the rounds."""
    async with FakeBinance(SYMBOLS) as venue:
        gone = {"url": venue.url, "rest_url": venue.rest_url}
    feed = offline(standby=0, handler_options={"binance": gone, "okx": gone})
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(connect_to_handler(feed.composition.loop, feed))
        await until(lambda: all(line.reconnects for line in feed.composition.loop.sources.values()))
        told = feed.told
        await asyncio.sleep(1.0)
        loop.cancel()

    assert feed.told - told <= 30
