"""The rehearsal itself: one fault after the other, with viewers who watch and traders who trade."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg.rows import dict_row

from tests.process.order_crash import Floor, each
from tests.process.order_judgement import Report as Ledger
from tests.process.order_judgement import Row, judged
from tests.process.traders import LATER, Trader
from tests.rehearsal.faults import Fault
from tests.rehearsal.network import network
from tests.rehearsal.viewers import Viewer, watching
from tests.rehearsal.world import World
from tests.waiting import SCALE, until

VIEWERS = 6
# What must not be, and the words by which a sentence about it is known.
_KINDS = {
    "acknowledged and not kept": ("told and not stored", "acknowledged and not listed"),
    "kept twice": ("asked for, ", "given twice"),
    "reports never seen": ("never told",),
    "seq back": ("seq went back",),
    "stale flashes below 5 s": ("s after a live price",),
}
_LONGEST_PAUSE_S = 0.3
_SETTLES_S = 60 * SCALE
# By which something shows that it is not as it should be: it takes too long, has ended, or does not answer.
_TROUBLE = (OSError, AssertionError, subprocess.SubprocessError, psycopg.Error)


class Report(NamedTuple):
    """What was found; `faults` must be empty. `seen` has a line for each fault that was rehearsed.

    `pause_s` is the longest time without a quote that any viewer met where prices may not turn stale.
    """

    ledger: Ledger
    seen: list[str]
    faults: list[str]
    pause_s: float

    def __str__(self) -> str:
        found = ", ".join(
            f"{name} {sum(any(word in fault for word in words) for fault in self.faults)}"
            for name, words in _KINDS.items()
        )
        seen = f"{len(self.seen)} faults rehearsed, the longest pause {self.pause_s:.1f} s"
        return f"{seen}; {self.ledger}; {found}"


async def rehearse(
    faults: Sequence[Fault],
    chance: random.Random,
    folder: Path,
    find: Callable[[str], str],
    say: Callable[[str], None],
) -> Report:
    """Let everything in `faults` happen, and judge what viewers and traders saw, and what is stored."""
    async with network() as net, World(net, folder, find) as world, AsyncExitStack() as stack:
        say(f"machines: {net}")
        viewers = [await stack.enter_async_context(watching(world.url)) for _ in range(VIEWERS)]
        async with asyncio.TaskGroup() as group:
            floor = Floor(lambda each: _trader(world, each), chance, group)
            show = _Show(world, viewers, floor)
            await show.settled(time.monotonic())
            for number, fault in enumerate(faults, 1):
                say(f"[{number}/{len(faults)}] {await show.rehearse(fault)}")
            await each(floor.all, Trader.settle)
            await each(floor.all, Trader.check_orders)
            floor.close()
        ledger = judged(lambda query: _rows(world, query), floor.all, len(faults))
    wrong = [fault for viewer in viewers for fault in viewer.faults]
    return Report(ledger, show.seen, [*show.faults, *wrong, *ledger.faults], show.pause_s)


class _Show:
    """What happens before the eyes of all."""

    def __init__(self, world: World, viewers: Sequence[Viewer], floor: Floor) -> None:
        self.seen: list[str] = []
        self.faults: list[str] = []
        self.pause_s = 0.0
        self._world = world
        self._viewers = viewers
        self._floor = floor

    async def rehearse(self, fault: Fault) -> str:
        """Let it happen, wait until everything goes on, and return what was seen."""
        self._floor.refill()
        for viewer in self._viewers:
            viewer.begin()
        try:
            await fault.happen(self._world)
            await self.settled(time.monotonic())
            await each(self._floor.some(), Trader.check_orders)
        except* _TROUBLE as group:
            errors = "; ".join(sorted({f"{type(one).__name__} {one}".strip() for one in _each_of(group)}))
            self.faults.append(f"{fault.name}: it has not recovered: {errors}")
        return self._judge(fault)

    async def settled(self, since_s: float) -> None:
        """Wait until all viewers have had live prices, and the traders new reports, since then.

        One engine must lead then, and the other one be ready to.
        """
        self._floor.refill()
        placing = [one for one in self._floor.all if one.placing]
        told = {one.owner: len(one.reports) for one in placing}
        await until(lambda: all(viewer.live_since(since_s) for viewer in self._viewers), _SETTLES_S)
        await until(
            lambda: all(not one.placing or len(one.reports) > told[one.owner] for one in placing), _SETTLES_S
        )
        await until(self._world.is_ready, _SETTLES_S)

    def _judge(self, fault: Fault) -> str:
        stale = sum(viewer.stale for viewer in self._viewers)
        pause_s = max(viewer.pause_s for viewer in self._viewers)
        connects = sum(viewer.connects for viewer in self._viewers)
        unexplained = sum(viewer.unexplained() for viewer in self._viewers)
        if not fault.stale:
            self.pause_s = max(self.pause_s, pause_s)
        if stale and not fault.stale:
            self.faults.append(f"{fault.name}: {stale} quotes were stale")
        if unexplained and not fault.stale:
            self.faults.append(f"{fault.name}: {unexplained} events that nobody should get")
        line = f"{fault.name}: a pause of {pause_s:.1f} s, {stale} stale, {connects} reconnected"
        self.seen.append(line)
        return line


def _trader(world: World, chance: random.Random) -> Trader:
    later = LATER | {"store_unavailable"}
    return Trader(lambda: world.url.replace("http", "ws"), chance, later, _LONGEST_PAUSE_S)


def _rows(world: World, query: str) -> list[Row]:
    with psycopg.connect(world.address, row_factory=dict_row) as session:
        return session.execute(query.encode()).fetchall()


def _each_of(group: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    """Return the errors in a group, and in the groups in it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _each_of(error)
        else:
            yield error
