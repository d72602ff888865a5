"""The engine: composition root of the asyncio half."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from crypto_stream import descriptors
from crypto_stream.bus.backends import engine_port
from crypto_stream.engine.assembly import Assembly
from crypto_stream.engine.backfill import seed
from crypto_stream.engine.engine import Engine
from crypto_stream.engine.history import left_anchor, open_history
from crypto_stream.engine.orders import make_orders, run_orders
from crypto_stream.engine.persisted_state import PersistedState, locked
from crypto_stream.engine.timekeeping import MachineClocks, keep_time, live_venues
from crypto_stream.errors import RecordingError
from crypto_stream.feed.connect_to_handler import connect_to_handler
from crypto_stream.feed.failover import Change
from crypto_stream.feed.loading import load_sources
from crypto_stream.feed.record import FileRecorder
from crypto_stream.feed.sources import Venue
from crypto_stream.market.clock import EngineClock
from crypto_stream.settings import Settings
from crypto_stream.storage.backends import state_store

log = logging.getLogger(__name__)

_PROGRESS_S = 2.0


async def serve(settings: Settings, bus_path: Path, beat: Callable[[], None]) -> None:
    """Run the engine until SIGTERM or SIGINT."""
    sources = load_sources(settings)
    clock = EngineClock(MachineClocks(), live_venues(sources), left_anchor(settings))
    memory = PersistedState(state_store(settings.data_dir), clock.now_ms())
    assembly = Assembly(
        settings, sources, pin=memory.pin, bans=memory.bans, remember_ban=memory.set_ban, clock=clock
    )
    history = open_history(settings, assembly.instruments, clock)
    assembly.recall(history.last_bars)
    engine = Engine(assembly, memory, history, partial(make_orders, settings))
    async with engine_port(bus_path, engine) as port:
        engine.port = port
        log.info(
            "engine started",
            extra={
                "epoch": engine.publisher.epoch,
                "run": engine.run,
                "seq": engine.publisher.seq,
                "sources": ",".join(assembly.board.lines),
            },
        )
        await _until_signal(
            connect_to_handler(assembly.board, engine),
            keep_time(clock),
            port.keep(),
            engine.beat(beat),
            engine.topics.run(),
            history.run(),
            run_orders(engine.trading),
            seed(history, assembly.sources, assembly.carried, assembly.names),
            memory.run(),
        )
    log.info("engine stopped")


def main(settings: Settings, bus_path: Path, beat: Callable[[], None]) -> int:
    """Run the engine; UsageError for what a person must change, 0 after a wanted end."""
    descriptors.raise_limit()
    os.umask(0o077)  # what the engine writes is nobody else's business
    with locked(settings.data_dir):
        _run(serve(settings, bus_path, beat))
    return 0


def record(settings: Settings, file: Path) -> int:
    """Record the raw frames of the one configured venue to `file` until SIGTERM or SIGINT."""
    venues = [source for source in load_sources(settings) if isinstance(source, Venue)]
    if len(venues) != 1:
        names = ", ".join(source.name for source in venues) or "none"
        raise RecordingError(f"record: one venue at a time, not {names}; name it: --sources NAME")
    with FileRecorder(file) as recorder:
        assembly = Assembly(settings, venues, pin=None, bans={}, remember_ban=_forget, recorder=recorder)
        try:
            _run(_until_signal(connect_to_handler(assembly.board, _Nobody()), _show_progress(recorder)))
        except* RecordingError as group:
            raise group.exceptions[0] from None
        recorder.flush()
        log.info("recorded", extra={"file": str(file), "frames": recorder.frames})
    return 0


class _Nobody:
    """Listens to the feed where only its frames are wanted."""

    def switched(self, changes: list[Change]) -> None:
        """Let changes pass."""

    def sources_changed(self) -> None:
        """Let states pass: the lines log them."""


def _forget(source: str, until_ms: int) -> None:
    """Remember no ban: a recording keeps nothing but frames."""


async def _show_progress(recorder: FileRecorder) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_S)
        recorder.flush()
        log.info("recording", extra={"frames": recorder.frames})


async def _until_signal(*works: Coroutine[Any, Any, None]) -> None:
    """Run `works` beside each other until SIGTERM or SIGINT, then end them all."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(work) for work in works]
        await stop.wait()
        for task in running:
            task.cancel()


def _run(work: Coroutine[Any, Any, None]) -> None:
    if sys.platform == "win32":
        asyncio.run(work)
        return
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)
