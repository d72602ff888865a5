"""One life of an engine: it follows until it is its turn, then it leads until it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from crypto_stream.bus.backends import engine_port
from crypto_stream.engine.backfill import backfill
from crypto_stream.engine.composition import Composition
from crypto_stream.engine.engine import Engine
from crypto_stream.engine.follower import Follower, follow
from crypto_stream.engine.history import open_history, previous_anchor
from crypto_stream.engine.orders import make_orders, run_orders
from crypto_stream.engine.persisted_state import PersistedState
from crypto_stream.engine.selection import Selection
from crypto_stream.engine.timekeeping import MachineClocks, check_clocks, live_venues
from crypto_stream.feed.connect_to_handler import connect_to_handler
from crypto_stream.feed.loading import load_sources
from crypto_stream.market.clock import EngineClock
from crypto_stream.settings import Settings
from crypto_stream.storage.interface import Stores

log = logging.getLogger(__name__)

_KEEPS_UP_EVERY_S = 5.0


class Life:
    """The parts of an engine. Its feed runs from the beginning; all others are made when it leads."""

    def __init__(self, settings: Settings, stores: Stores, *, leads: bool) -> None:
        """Load what earlier lives have left; raise UsageError if the user must change something."""
        self._settings = settings
        self._stores = stores
        self._leads = leads
        sources = load_sources(settings)
        self._clock = EngineClock(MachineClocks(), live_venues(sources), previous_anchor(stores))
        self._state = state = PersistedState(stores.state(), self._clock.now_ms())
        self._selection = Selection(settings, sources, state.pairs, state.set_pairs)
        self._adopted = state.pairs
        self._feed = Composition(
            settings,
            sources,
            pin=state.pin,
            bans=state.bans,
            remember_ban=state.set_ban,
            clock=self._clock,
            pairs=self._selection.initial(),
        )
        self._history = open_history(settings, self._feed.series, self._clock, stores)
        self._feed.restore_bars(self._history.last_bars)
        self._follower = Follower(self._feed, follows=not leads)

    async def run(self, bus_path: Path, beat: Callable[[], None], waits: Callable[[], None]) -> None:
        """Follow, calling `waits`, then lead, calling `beat`, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(connect_to_handler(self._feed.loop, self._follower))
            tasks.create_task(check_clocks(self._clock))
            if not self._leads:
                keeping_up = tasks.create_task(self._keep_up())
                await follow(self._stores, waits)
                keeping_up.cancel()
                await self._take_over()
            await self._lead(bus_path, beat)

    def _known_pin(self) -> str | None:
        pin = self._state.pin
        return pin if pin in self._feed.loop.sources else None

    async def _keep_up(self) -> None:
        """Carry the same pairs as the engine that leads, so that their sources are connected, too."""
        while True:
            await asyncio.sleep(_KEEPS_UP_EVERY_S)
            with suppress(OSError):  # it is read again
                self._adopt(await asyncio.to_thread(self._state.peek_pairs))

    async def _take_over(self) -> None:
        """Load what the engine has left that led meanwhile."""
        await asyncio.to_thread(self._state.reload)
        self._adopt(self._state.pairs)
        series, covered = self._feed.series, self._follower.covered()
        self._history = await asyncio.to_thread(
            open_history, self._settings, series, self._clock, self._stores, covered
        )
        self._feed.loop.pin_to(self._known_pin())

    def _adopt(self, pairs: str | None) -> None:
        """Carry the pairs that another engine has stored, unless these are known already."""
        if pairs != self._adopted:
            self._adopted = pairs
            self._selection.restore(pairs)
            self._feed.replace_pairs(self._selection.initial())
            extra = {"instruments": len(self._feed.instruments)}
            log.info("carries the pairs of the engine that leads", extra=extra)

    async def _lead(self, bus_path: Path, beat: Callable[[], None]) -> None:
        """Publish and write until cancelled."""
        settings, feed, history, state, stores = (
            *(self._settings, self._feed, self._history),
            *(self._state, self._stores),
        )
        engine = Engine(feed, state, history, partial(make_orders, settings, stores))
        engine.change_instruments = self._selection.change
        engine.count_followers = lambda: stores.followers
        self._follower.lead(engine, history)
        async with engine_port(settings.bus.get_secret_value(), bus_path, engine) as port:
            engine.port = port
            _log_start(engine, feed)
            async with asyncio.TaskGroup() as tasks:
                for each in (
                    port.run(),
                    engine.beat(beat),
                    engine.activity.run(),
                    engine.topics.run(),
                    engine.books.run(),
                    engine.index_bars.run(),
                    history.run(),
                    run_orders(engine.trading),
                    backfill(history, feed.sources, feed.carried, feed.names, engine.roster.grown),
                    self._selection.run(feed, engine.roster),
                    state.run(),
                    stores.run(),
                ):
                    tasks.create_task(each)


def _log_start(engine: Engine, feed: Composition) -> None:
    extra = {
        "epoch": engine.publisher.epoch,
        "run": engine.run,
        "seq": engine.publisher.seq,
        "sources": ",".join(feed.loop.sources),
    }
    log.info("engine started", extra=extra)
