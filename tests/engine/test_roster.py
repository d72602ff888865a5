"""Very many instruments that come or leave at once, at an engine that connects to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from crypto_stream.bus.messages import ChangeInstruments, InstrumentsChanged, ToGateway
from crypto_stream.engine.composition import Composition
from crypto_stream.engine.engine import Engine
from crypto_stream.engine.history import open_history, stores_of
from crypto_stream.engine.index import Indexes
from crypto_stream.engine.orders import make_orders
from crypto_stream.engine.persisted_state import PersistedState
from crypto_stream.engine.roster import Parts, Roster
from crypto_stream.engine.selection import Selection
from crypto_stream.errors import RefusedError
from crypto_stream.feed.handler import Listed
from crypto_stream.feed.loading import load_sources
from crypto_stream.settings import load

MANY = 160
NAMES = [f"C{number}-USDT" for number in range(MANY)]


class Desk:
    """The parts of an engine, and what its roster tells the gateways."""

    def __init__(self, folder: Path) -> None:
        chosen = load({"data_dir": str(folder), "sources": "binance,okx,kraken", "pairs": ",".join(NAMES)})
        self.stores = stores_of(chosen)
        state = PersistedState(self.stores.state(), 0)
        self.feed = Composition(chosen, load_sources(chosen), pin=None, bans={}, remember_ban=state.set_ban)
        self.history = open_history(chosen, self.feed.series, self.feed.clock, self.stores)
        self.engine = Engine(self.feed, state, self.history, partial(make_orders, chosen, self.stores))
        engine, sources = self.engine, self.feed.loop.sources
        indexes = Indexes(engine.activity.prices, self.feed.index_rule, sources, self.feed.clock)
        parts = Parts(
            history=self.history,
            publisher=engine.publisher,
            activity=engine.activity,
            indexes=indexes,
            index_bars=engine.index_bars,
            books=engine.books,
            topics=engine.topics,
            trading=engine.trading,
        )
        self.selection = Selection(chosen, self.feed.sources, None, state.set_pairs)
        self.told: list[ToGateway] = []
        self.roster = Roster(self.feed, parts, self.told.append)

    def agree(self) -> bool:
        """Return whether all parts know the same instruments, and all sources carry what they should."""
        known, chains = set(self.feed.instruments), self.feed.failover.chains
        return known == set(chains) == set(self.engine.publisher.quotes) and set(self.history.series) == set(
            self.feed.series
        )


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Return an engine's parts with many instruments."""
    one = Desk(tmp_path)
    with closing(one.stores):
        yield one


async def test_the_engine_runs_while_very_many_leave(desk: Desk) -> None:
    """They leave in groups, each all parts at once; gateways are told of all together."""
    left: list[int] = []
    agreed: list[bool] = []

    async def look() -> None:
        while True:
            left.append(len(desk.feed.instruments))
            agreed.append(desk.agree())
            await asyncio.sleep(0)

    gone = list(desk.feed.instruments)[:-10]
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look())
        await desk.roster.remove(gone)
        looking.cancel()
    steps = sorted({*left, MANY}, reverse=True)

    assert len(desk.feed.instruments) == 10
    assert max(before - after for before, after in pairwise(steps)) <= 50
    assert all(agreed)
    assert desk.told == [InstrumentsChanged([], gone)]


async def test_a_removal_that_is_cancelled_is_done_nevertheless(desk: Desk) -> None:
    """The gateway that asked for it is gone, or waits no longer: the others are told, and it is kept."""
    gone, begun = list(desk.feed.instruments)[:-10], asyncio.Event()
    desk.feed.instruments.listeners.append(lambda _added, _removed: begun.set())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(desk.selection.run(desk.feed, desk.roster))
        await asyncio.sleep(0)
        asking = tasks.create_task(desk.selection.change(ChangeInstruments([], gone)))
        await begun.wait()
        left = len(desk.feed.instruments)
        asking.cancel()
        running.cancel()

    assert 10 < left < MANY
    assert len(desk.feed.instruments) == 10
    assert desk.agree()
    assert desk.told == [InstrumentsChanged([], gone)]
    assert len(desk.selection.initial()) == 10


async def test_nothing_to_remove_is_told_to_nobody(desk: Desk) -> None:
    """Not even that nothing has changed."""
    await desk.roster.remove([])

    assert desk.told == []


async def test_the_engine_runs_while_very_many_words_are_resolved(desk: Desk) -> None:
    """Each is compared with what the venues list; nothing has changed when the last one is refused."""
    turns = 0

    async def look() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    names = [f"D{number}" for number in range(100)]
    for source in desk.feed.loop.sources.values():
        source.listing.learn([Listed(name, name, "USDT") for name in names])
    words = [f"{name}-USDT" for name in names]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each) for each in (desk.selection.run(desk.feed, desk.roster), look())]
        await asyncio.sleep(0)
        begun = turns
        with pytest.raises(RefusedError, match="no venue lists E-USDT"):
            await desk.selection.change(ChangeInstruments([*words, "E-USDT"], []))
        turns -= begun
        for each in running:
            each.cancel()

    assert turns >= len(words)
    assert len(desk.feed.instruments) == MANY
