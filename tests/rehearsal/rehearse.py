"""The rehearsal itself: one fault after the other, with viewers who watch and traders who trade."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg
from psycopg.rows import dict_row

from tests.process.order_crash import Floor, each
from tests.process.order_judgement import Report as Ledger
from tests.process.order_judgement import Row, judged
from tests.process.traders import LATER, Trader
from tests.rehearsal.effects import NOTHING, Effect
from tests.rehearsal.faults import Fault
from tests.rehearsal.network import Network
from tests.rehearsal.viewers import Viewer, watching
from tests.rehearsal.world import GATEWAYS, World
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
_LONGEST_PAUSE_S = 0.3  # between two requests of a trader
_SETTLES_S = 60 * SCALE
# By which something shows that it is not as it should be: it takes too long, has ended, or does not answer.
_TROUBLE = (OSError, AssertionError, subprocess.SubprocessError, psycopg.Error)


class Seen(NamedTuple):
    """What was seen of one fault: the longest times of any viewer who met it, the codes of refused orders.

    `met`: so many of the viewers did. `back_s`: until prices were live again, once it was mended. `busy`: the
    share of the processors that was used, by whatever runs there, in percent: beyond 90 times say little.
    """

    name: str
    effect: Effect
    met: int
    pause_s: float
    back_s: float | None
    stale: int
    connects: int
    refused: Counter[str]
    busy: float

    def __str__(self) -> str:
        parts = [f"{self.met} of {VIEWERS} viewers met it", *self._times()]
        parts += [f"{self.stale} prices stale"] * bool(self.stale)
        parts += [f"{self.connects} reconnected"] * bool(self.connects)
        parts += [f"orders refused: {code} {count}" for code, count in sorted(self.refused.items())]
        parts.append(f"processors {self.busy:.0f} % busy")
        return f"{self.name}: {', '.join(parts)}"

    def _times(self) -> Iterator[str]:
        if self.back_s is None:
            yield f"a pause of {self.pause_s:.2f} s (at most {self.effect.pause_s:g})"
        else:
            yield f"prices back after {self.back_s:.2f} s (at most {self.effect.back_s:g})"

    def late(self) -> Iterator[str]:
        """Say which of the times are longer than docs/scale.md has them."""
        if self.effect.back_s is not None and (self.back_s or 0) > self.effect.back_s:
            yield f"{self._busily}: prices were back after {self.back_s:.2f} s, not {self.effect.back_s:g}"
        if self.back_s is None and self.met and self.pause_s > self.effect.pause_s:
            yield f"{self._busily}: a pause of {self.pause_s:.2f} s, not {self.effect.pause_s:g}"

    @property
    def _busily(self) -> str:
        return f"{self.name} (processors {self.busy:.0f} % busy)"


class Report(NamedTuple):
    """What was found; `faults` must be empty. `seen` has one entry for each fault that was rehearsed."""

    ledger: Ledger
    seen: list[Seen]
    faults: list[str]

    def __str__(self) -> str:
        found = ", ".join(
            f"{name} {sum(any(word in fault for word in words) for fault in self.faults)}"
            for name, words in _KINDS.items()
        )
        pause_s = max((one.pause_s for one in self.seen if one.back_s is None), default=0.0)
        seen = f"{len(self.seen)} faults rehearsed, the longest pause {pause_s:.1f} s"
        return f"{seen}; {self.ledger}; {found}"

    def longest(self) -> Iterator[str]:
        """Return a line for each kind of fault: how often it happened, and its longest time."""
        kinds: dict[str, list[Seen]] = {}
        for one in self.seen:
            kinds.setdefault(one.name, []).append(one)
        for name, every in kinds.items():
            worst = max(every, key=lambda one: (one.back_s or 0, one.pause_s / one.effect.pause_s))
            yield f"{name}: {len(every)} times, {', '.join(worst._times())}"


async def rehearse(
    net: Network,
    faults: Sequence[Fault],
    chance: random.Random,
    folder: Path,
    find: Callable[[str], str],
    say: Callable[[str], None],
    *,
    timed: bool,
) -> Report:
    """Let everything in `faults` happen, and judge what viewers and traders saw, and what is stored.

    What cannot fail on this network is left out. If `timed`, how long it took is judged, too.
    """
    possible = [fault for fault in faults if net.separates or not fault.apart]
    async with World(net, folder, find) as world, AsyncExitStack() as stack:
        say(f"machines: {net}")
        say("times are judged" if timed else "times are not judged, only what happens and in which order")
        for fault in faults:
            if fault not in possible:
                say(f"left out, since it needs machines with a network of their own: {fault.name}")
        viewers = [await stack.enter_async_context(watching(world.url)) for _ in range(VIEWERS)]
        async with asyncio.TaskGroup() as group:
            floor = Floor(lambda each: _trader(world, each), chance, group)
            show = _Show(world, viewers, floor, timed=timed)
            await show.settled(time.monotonic())
            for number, fault in enumerate(possible, 1):
                say(f"[{number}/{len(possible)}] {await show.rehearse(fault)}")
            await each(floor.all, Trader.settle)
            await each(floor.all, Trader.check_orders)
            floor.close()
        ledger = judged(lambda query: _rows(world, query), floor.all, len(possible))
    wrong = [fault for viewer in viewers for fault in viewer.faults]
    return Report(ledger, show.seen, [*show.faults, *wrong, *ledger.faults])


class _Show:
    """What happens before the eyes of all."""

    def __init__(self, world: World, viewers: Sequence[Viewer], floor: Floor, *, timed: bool) -> None:
        self.seen: list[Seen] = []
        self.faults: list[str] = []
        self._world = world
        self._viewers = viewers
        self._floor = floor
        self._timed = timed

    async def rehearse(self, fault: Fault) -> str:
        """Let it happen, wait until everything goes on, and return what was seen."""
        try:
            await self._prepare(fault)
            before = [viewer.gateway for viewer in self._viewers]
            effect = await fault.happen(self._world)
            await self.settled(time.monotonic())
            await each(self._floor.some(), Trader.check_orders)
        except* _TROUBLE as group:
            errors = "; ".join(sorted({f"{type(one).__name__} {one}".strip() for one in _each_of(group)}))
            self.faults.append(f"{fault.name}: it has not recovered: {errors}")
            effect, before = None, []
        return f"{fault.name}: it has not recovered" if effect is None else self._judge(fault, effect, before)

    async def _prepare(self, fault: Fault) -> None:
        """Let somebody meet it: each gateway has a viewer, and uses the relay that is hit."""
        if fault.prepare:
            await fault.prepare(self._world)
        async with asyncio.timeout(_SETTLES_S):
            while len(served := Counter(viewer.gateway for viewer in self._viewers)) < len(GATEWAYS):
                ((most, _),) = served.most_common(1)
                await next(viewer for viewer in self._viewers if viewer.gateway == most).move(self._world.url)
        await self.settled(time.monotonic())
        psutil.cpu_percent()  # the next call tells of the time since this one
        for viewer in self._viewers:
            viewer.begin()
        for trader in self._floor.all:
            trader.refused.clear()

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

    def _judge(self, fault: Fault, effect: Effect, before: Sequence[str]) -> str:
        """Judge what each viewer has seen, by the gateway that it had `before` and those since then."""
        home = dict(zip(self._viewers, before, strict=True))
        met = [viewer for viewer in self._viewers if viewer.gateways & set(effect.gateways)]
        back_s = None
        if effect.back_s is not None:
            back_s = max(0.0, *(viewer.whole_s - effect.mended_s for viewer in met))
            for viewer in met:
                if home[viewer] in effect.gateways and not viewer.stale:
                    self.faults.append(f"{fault.name}: prices at {home[viewer]} did not turn stale")
        refused = sum((trader.refused for trader in self._floor.all), Counter[str]())
        seen = Seen(
            fault.name,
            effect,
            len(met),
            max((viewer.pause_s for viewer in met), default=0.0),
            back_s,
            sum(viewer.stale for viewer in self._viewers),
            sum(viewer.connects for viewer in self._viewers),
            refused,
            psutil.cpu_percent(),
        )
        self.seen.append(seen)
        if self._timed:
            self.faults += seen.late()
        for viewer in self._viewers:
            self.faults += self._seen_by(viewer, seen if viewer in met else seen._replace(effect=NOTHING))
        for code in refused.keys() - effect.codes:
            self.faults.append(f"{fault.name}: {refused[code]} orders were refused: {code}")
        return str(seen)

    def _seen_by(self, viewer: Viewer, seen: Seen) -> Iterator[str]:
        """Say what a viewer should not have seen."""
        effect, who = seen.effect, f"{seen.name}: a viewer of {viewer.gateway}"
        if viewer.stale and effect.back_s is None:
            yield f"{who} saw {viewer.stale} stale prices"
        if unexplained := viewer.unexplained():
            yield f"{who} got {unexplained} events that nobody should get"
        if viewer.connects and not effect.reconnects:
            yield f"{who} was disconnected {viewer.connects} times"
        if self._timed and effect is NOTHING and viewer.pause_s > effect.pause_s:
            busy = f"(processors {seen.busy:.0f} % busy)"
            yield f"{who}, who had nothing to do with it {busy}, met a pause of {viewer.pause_s:.2f} s"


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
