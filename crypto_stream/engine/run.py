"""The engine's main program, and the recording of frames."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

from crypto_stream import descriptors
from crypto_stream.engine.composition import Composition
from crypto_stream.engine.history import stores_of
from crypto_stream.engine.life import Life
from crypto_stream.engine.persisted_state import locked
from crypto_stream.errors import RecordingError, UsageError
from crypto_stream.feed.connect_to_handler import connect_to_handler
from crypto_stream.feed.failover import Change
from crypto_stream.feed.loading import load_sources
from crypto_stream.feed.record import FileRecorder
from crypto_stream.feed.sources import Venue
from crypto_stream.settings import Settings
from crypto_stream.storage.interface import FencedError, Stores

log = logging.getLogger(__name__)

_PROGRESS_S = 2.0
FENCED = 3  # exit status: another engine has taken over; started again, this one follows


def main(
    settings: Settings, bus_path: Path, beat: Callable[[], None], waits: Callable[[], None] | None = None
) -> int:
    """Run the engine until a signal and return 0, or FENCED once another engine has taken over.

    `beat` is called each second while it leads, `waits` twice a second while it follows. Raises UsageError if
    the user must change something.
    """
    descriptors.raise_limit()
    os.umask(0o077)  # files that the engine creates are private
    with locked(settings.data_dir), closing(stores_of(settings)) as stores:
        try:
            _run(_serve(settings, bus_path, beat, waits or beat, stores))
        except BaseExceptionGroup as group:
            if usage := _first(group, UsageError):
                raise usage from None
            if (fenced := _first(group, FencedError)) is None:
                raise
            log.error("another engine has taken over", extra={"reason": str(fenced)})
            return FENCED
    return 0


async def _serve(
    settings: Settings, bus_path: Path, beat: Callable[[], None], waits: Callable[[], None], stores: Stores
) -> None:
    life = Life(settings, stores, leads=stores.acquire())
    await _until_signal(life.run(bus_path, beat, waits))
    log.info("engine stopped")


def _first(group: BaseExceptionGroup[BaseException], kind: type[Exception]) -> BaseException | None:
    """Return the first error in a group if all are of this kind."""
    found, others = group.split(kind)
    if found is None or others is not None:
        return None
    error: BaseException = found
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def record(settings: Settings, file: Path) -> int:
    """Record the raw frames of the one configured venue to `file` until SIGTERM or SIGINT."""
    venues = [source for source in load_sources(settings) if isinstance(source, Venue)]
    if len(venues) != 1:
        names = ", ".join(source.name for source in venues) or "none"
        raise RecordingError(f"record: one venue at a time, not {names}; name it: --sources NAME")
    with FileRecorder(file) as recorder:
        feed = Composition(settings, venues, pin=None, bans={}, remember_ban=_ignore_ban, recorder=recorder)
        if not feed.instruments:
            raise RecordingError("record: name the pairs to record: --pairs btcusdt,ethusdt")
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
