"""The engine's main program and composition root, and the recording of frames."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from crypto_stream import descriptors
from crypto_stream.bus.backends import engine_port
from crypto_stream.engine.backfill import backfill
from crypto_stream.engine.composition import Composition
from crypto_stream.engine.engine import Engine
from crypto_stream.engine.history import open_history, previous_anchor, stores_of
from crypto_stream.engine.orders import make_orders, run_orders
from crypto_stream.engine.persisted_state import PersistedState, locked
from crypto_stream.engine.timekeeping import MachineClocks, check_clocks, live_venues
from crypto_stream.errors import RecordingError
from crypto_stream.feed.connect_to_handler import connect_to_handler
from crypto_stream.feed.failover import Change
from crypto_stream.feed.loading import load_sources
from crypto_stream.feed.record import FileRecorder
from crypto_stream.feed.sources import Venue
from crypto_stream.market.clock import EngineClock
from crypto_stream.settings import Settings
from crypto_stream.storage.interface import FencedError, Stores

log = logging.getLogger(__name__)

_PROGRESS_S = 2.0
FENCED = 3  # exit status: another engine has taken over; started again, this one waits for its turn


async def serve(settings: Settings, bus_path: Path, beat: Callable[[], None], stores: Stores) -> None:
    """Run the engine until SIGTERM or SIGINT; raise FencedError in a group if another one takes over."""
    sources = load_sources(settings)
    clock = EngineClock(MachineClocks(), live_venues(sources), previous_anchor(stores))
    state = PersistedState(stores.state(), clock.now_ms())
    feed = Composition(
        settings, sources, pin=state.pin, bans=state.bans, remember_ban=state.set_ban, clock=clock
    )
    history = open_history(settings, feed.series, clock, stores)
    feed.restore_bars(history.last_bars)
    engine = Engine(feed, state, history, partial(make_orders, settings, stores))
    async with engine_port(settings.bus.get_secret_value(), bus_path, engine) as port:
        engine.port = port
        log.info(
            "engine started",
            extra={
                "epoch": engine.publisher.epoch,
                "run": engine.run,
                "seq": engine.publisher.seq,
                "sources": ",".join(feed.loop.sources),
            },
        )
        await _until_signal(
            connect_to_handler(feed.loop, engine),
            check_clocks(clock),
            port.run(),
            engine.beat(beat),
            engine.activity.run(),
            engine.topics.run(),
            engine.index_bars.run(),
            history.run(),
            run_orders(engine.trading),
            backfill(history, feed.sources, feed.carried, feed.names),
            state.run(),
            stores.run(),
        )
    log.info("engine stopped")


def main(settings: Settings, bus_path: Path, beat: Callable[[], None]) -> int:
    """Run the engine until a signal and return 0, or FENCED once another engine has taken over.

    Waits for its turn first. Raises UsageError if the user must change something.
    """
    descriptors.raise_limit()
    os.umask(0o077)  # files that the engine creates are private
    with locked(settings.data_dir), closing(stores_of(settings)) as stores:
        stores.acquire(beat)
        try:
            _run(serve(settings, bus_path, beat, stores))
        except BaseExceptionGroup as group:
            fenced, others = group.split(FencedError)
            if fenced is None or others is not None:
                raise
            log.error("another engine has taken over", extra={"reason": _first(fenced)})
            return FENCED
    return 0


def _first(group: BaseExceptionGroup[FencedError]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)


def record(settings: Settings, file: Path) -> int:
    """Record the raw frames of the one configured venue to `file` until SIGTERM or SIGINT."""
    venues = [source for source in load_sources(settings) if isinstance(source, Venue)]
    if len(venues) != 1:
        names = ", ".join(source.name for source in venues) or "none"
        raise RecordingError(f"record: one venue at a time, not {names}; name it: --sources NAME")
    with FileRecorder(file) as recorder:
        feed = Composition(settings, venues, pin=None, bans={}, remember_ban=_ignore_ban, recorder=recorder)
        try:
            _run(_until_signal(connect_to_handler(feed.loop, _NullListener()), _log_progress(recorder)))
        except* RecordingError as group:
            raise group.exceptions[0] from None
        recorder.flush()
        log.info("recorded", extra={"file": str(file), "frames": recorder.frames})
    return 0


class _NullListener:
    """Ignores the feed's decisions while only frames are recorded."""

    def switched(self, changes: list[Change]) -> None:
        """Ignore changes."""

    def sources_changed(self) -> None:
        """Ignore states, which the connections log themselves."""


def _ignore_ban(source: str, until_ms: int) -> None:
    """Store no ban: a recording contains frames only."""


async def _log_progress(recorder: FileRecorder) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_S)
        recorder.flush()
        log.info("recording", extra={"frames": recorder.frames})


async def _until_signal(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run coroutines concurrently until SIGTERM or SIGINT, then cancel them."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each) for each in coroutines]
        await stop.wait()
        for task in running:
            task.cancel()


def _run(main_coroutine: Coroutine[Any, Any, None]) -> None:
    if sys.platform == "win32":
        asyncio.run(main_coroutine)
        return
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main_coroutine)
