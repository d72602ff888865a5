"""Kill the servers while orders are placed: `python -m tests.process.order_crash --rounds 200`.

The whole program runs as processes with the synthetic source; traders place and cancel over /ws, come back
after each kill, and write down all they are told. What was acknowledged must be stored, every report told, in
order and once, and nothing filled twice.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.process.charts import run
from tests.process.order_judgement import Report, judged
from tests.process.programs import Running, address, program
from tests.process.rounds import command
from tests.process.traders import Trader
from tests.waiting import SCALE, until

TRADERS = 4
_LONGEST_LIFE_S = 1.5
_AFTER_QUOTES_S = 0.2  # quotes change on the whole second: orders fill then
# Of ten kills so many are of the engine, of the gateway, and of everything at once.
_KILLS = ["engine"] * 7 + ["gateway-1"] * 2 + ["all"]
_SETTINGS = {
    "CRYPTO_STREAM_ORDER_LATENCY": "30",
    "CRYPTO_STREAM_SYNTHETIC_EURRUB_SIZE": "150",  # soon used up: orders fill in parts
}


class World:
    """The program under test, started anew in the same folder where all of it was killed."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """Keep its files in `folder`; `stack` ends what was started."""
        self._folder = folder
        self._stack = stack
        self._running: Running
        self.url = ""

    async def start(self) -> None:
        """Start all of it and wait until it serves."""
        self._running = self._stack.enter_context(program(run(self._folder), self._folder, **_SETTINGS))
        self.url = (await address(self._running)).replace("http", "ws")

    async def kill(self, what: str) -> None:
        """End a part of it, or all, by SIGKILL; return when it runs again."""
        if what == "all":
            whole = psutil.Process(self._running.process.pid)
            for each in [whole, *whole.children(recursive=True)]:
                each.kill()
            self._running.process.wait()
            await self.start()
        else:
            starts = len(self._running.pids(what))
            os.kill(self._running.pids(what)[-1], signal.SIGKILL)
            await until(lambda: len(self._running.pids(what)) > starts, 30 * SCALE)

    def stop(self) -> str:
        """End it as a person would; return its log."""
        self._running.process.send_signal(signal.SIGTERM)
        self._running.wait()
        return self._running.log


class Floor:
    """The traders: at any time so many of them place orders; those who have placed enough only listen."""

    def __init__(
        self, make: Callable[[random.Random], Trader], chance: random.Random, group: asyncio.TaskGroup
    ) -> None:
        """Let those that `make` returns trade, each as a task of `group`."""
        self.all: list[Trader] = []
        self._make = make
        self._chance = chance
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []

    def refill(self) -> None:
        """Bring in new ones for those who have placed enough."""
        for _ in range(TRADERS - sum(one.placing for one in self.all)):
            self.all.append(self._make(random.Random(self._chance.random())))
            self._tasks.append(self._group.create_task(self.all[-1].trade()))

    def some(self) -> list[Trader]:
        """Return those who place orders, and one who has placed enough."""
        others = [one for one in self.all if not one.placing]
        return [one for one in self.all if one.placing] + others[: self._chance.randint(0, 1)]

    def close(self) -> None:
        """Send them home."""
        for task in self._tasks:
            task.cancel()


async def crash(rounds: int, chance: random.Random, folder: Path, say: Callable[[str], None]) -> Report:
    """Kill `rounds` times at random moments and judge what was told and what is left."""
    path = folder / "data" / "orders.db"
    with ExitStack() as stack:
        world = World(folder, stack)
        await world.start()
        async with asyncio.TaskGroup() as group:
            floor = Floor(lambda each: Trader(lambda: world.url, each), chance, group)
            for number in range(rounds):
                floor.refill()
                await each(floor.some(), Trader.check_orders)
                if number % len(_KILLS) == 0:
                    kills = chance.sample(_KILLS, len(_KILLS))
                await asyncio.sleep(_until_kill(chance))
                what = kills[number % len(_KILLS)]
                say(
                    f"[{number + 1}/{rounds}] kill {what}; {sum(len(one.orders) for one in floor.all)} orders"
                )
                await world.kill(what)
            await each(floor.all, Trader.settle)
            await each(floor.all, Trader.check_orders)
            untold = await _told_all(path, floor.all)
            floor.close()
        log = world.stop()
    report = _judged(path, floor.all, rounds)
    loud = [line for line in log.splitlines() if "Traceback" in line or " ERROR " in line]
    return report._replace(faults=[*untold, *report.faults, *loud])


def _judged(path: Path, traders: Sequence[Trader], rounds: int) -> Report:
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        report = judged(lambda query: list(map(dict, database.execute(query))), traders, rounds)
        ((integrity,),) = database.execute("PRAGMA integrity_check")
    broken = [] if integrity == "ok" else [f"integrity_check: {integrity}"]
    return report._replace(faults=[*broken, *report.faults])


async def each(traders: Sequence[Trader], do: Callable[[Trader], Coroutine[Any, Any, None]]) -> None:
    """Let all of them do something at once."""
    async with asyncio.TaskGroup() as group:
        for trader in traders:
            group.create_task(do(trader))


def _until_kill(chance: random.Random) -> float:
    """Choose any moment, each second time one in which orders are being filled."""
    if chance.random() < 0.5:
        return chance.uniform(0, _LONGEST_LIFE_S)
    return 1 - time.time() % 1 + chance.uniform(0, _AFTER_QUOTES_S)


async def _told_all(path: Path, traders: Sequence[Trader]) -> list[str]:
    """Wait until everybody was told what is stored, and the store knows; say where it does not."""
    notes = {one.owner: one.reports for one in traders}

    def untold() -> list[str]:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            found = list(database.execute("SELECT name, last_seq, told FROM owners"))
        return [
            f"{owner}: has {last} reports, was told {len(notes[owner])}, acknowledged {told}"
            for owner, last, told in found
            if last > min(told, len(notes[owner]))
        ]

    with suppress(TimeoutError):
        await until(lambda: not untold(), 20 * SCALE)
    return untold()


if __name__ == "__main__":
    command(crash, 200, __doc__)()
