"""What can fail, and what may be seen of it: the rows of docs/scale.md, kills, cuts between two machines."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

from tests.rehearsal.world import DATABASES, ENGINES, GATEWAYS, RELAYS, World

# Longer than a gateway waits for the engine at one relay, and than a lease; and than prices stay live.
SHORT_S, LONG_S = 3.0, 7.0
# Longer than HAProxy takes to notice that a gateway's machine is gone, and to disconnect its viewers.
GONE_S = 12.0

KILLED = (*ENGINES, *GATEWAYS, *RELAYS, *DATABASES)
# Whoever speaks to whom.
PAIRS = [
    *itertools.product(ENGINES, (*RELAYS, *DATABASES)),
    *itertools.product(GATEWAYS, RELAYS),
    DATABASES,
]


class Fault(NamedTuple):
    """Something that fails and is mended again; `stale` if prices may be stale for a while."""

    name: str
    happen: Callable[[World], Awaitable[None]]
    stale: bool = False


def rows() -> list[Fault]:
    """Return the rows of the table; the last one is a failover of PostgreSQL, which leaves no standby."""
    return [
        Fault("a gateway is killed", partial(_killed, "gateway-1")),
        Fault("a gateway's machine vanishes", partial(_vanished, lambda world: "gateway-2", GONE_S)),
        Fault("the leader is killed", lambda world: _killed(world.leader(), world)),
        Fault("the leader's machine vanishes", partial(_vanished, World.leader, LONG_S)),
        Fault("the leader is paused", lambda world: _paused(world.leader(), world)),
        Fault("the leader is cut off from PostgreSQL", _leader_without_database),
        Fault("the leader is stopped cleanly", _stopped),
        Fault("the follower is killed", lambda world: _killed(world.follower(), world)),
        Fault("both engines vanish", _both_engines, stale=True),
        Fault("one relay is killed", partial(_killed, "redis-1")),
        Fault("both relays are killed", _both_relays, stale=True),
        Fault("one relay hangs", _relay_hangs),
        Fault(
            "one relay is cut off from the leader",
            lambda world: _apart(world.leader(), "redis-1", LONG_S, world),
        ),
        Fault("PostgreSQL crashes", _database_crashes),
        Fault("PostgreSQL hangs", _database_hangs),
        Fault("a gateway is cut off from both relays", _gateway_alone, stale=True),
        Fault("two engines, each with a relay of its own", _split),
        Fault("PostgreSQL fails over", _database_fails_over),
    ]


def kills(times: int, chance: random.Random) -> list[Fault]:
    """Return so many kills of each process, in random order."""
    names = [name for name in KILLED for _ in range(times)]
    chance.shuffle(names)
    return [Fault(f"kill {name}", partial(_killed, name)) for name in names]


def cuts() -> list[Fault]:
    """Return a short and a long cut between each pair of machines that speak to each other."""
    return [
        Fault(f"{one} and {other} apart for {seconds:g} s", partial(_apart, one, other, seconds))
        for (one, other), seconds in itertools.product(PAIRS, (SHORT_S, LONG_S))
    ]


async def _killed(name: str, world: World) -> None:
    if name in world.machines:
        starts = world.starts(name)
        world.kill(name)
        await world.started_after(name, starts)  # by its supervisor
    else:
        world.kill(name)
        await asyncio.sleep(0.5)
        await world.back(name)


async def _vanished(choose: Callable[[World], str], seconds: float, world: World) -> None:
    name = choose(world)
    world.vanish(name)
    await asyncio.sleep(seconds)
    await world.back(name)


async def _paused(name: str, world: World) -> None:
    starts = world.starts(name)
    world.signal(name, signal.SIGSTOP)
    await asyncio.sleep(LONG_S)
    world.signal(name, signal.SIGCONT)
    await world.started_after(name, starts)


async def _apart(one: str, other: str, seconds: float, world: World) -> None:
    world.cut(one, other)
    await asyncio.sleep(seconds)
    world.mend(one, other)


async def _leader_without_database(world: World) -> None:
    leader = world.leader()
    starts = world.starts(leader)
    await _cut_all([(leader, name) for name in DATABASES], LONG_S, world)
    await world.started_after(leader, starts)


async def _stopped(world: World) -> None:
    leader = world.leader()
    await asyncio.to_thread(world.stop, leader)
    await world.back(leader)


async def _both_engines(world: World) -> None:
    for name in ENGINES:
        world.vanish(name)
    await asyncio.sleep(LONG_S)
    for name in ENGINES:
        await world.back(name)


async def _both_relays(world: World) -> None:
    for name in RELAYS:
        world.kill(name)
    await asyncio.sleep(LONG_S)
    for name in RELAYS:
        await world.back(name)


async def _relay_hangs(world: World) -> None:
    world.relays["redis-2"].pause()
    await asyncio.sleep(LONG_S)
    world.relays["redis-2"].resume()


async def _database_crashes(world: World) -> None:
    await asyncio.to_thread(world.databases[world.primary].crash)
    await asyncio.sleep(SHORT_S)
    await world.back(world.primary)


async def _database_hangs(world: World) -> None:
    with world.databases[world.primary].hanging():
        await asyncio.sleep(LONG_S)


async def _gateway_alone(world: World) -> None:
    await _cut_all([("gateway-3", name) for name in RELAYS], LONG_S, world)


async def _split(world: World) -> None:
    leader, follower = world.leader(), world.follower()
    starts = world.starts(leader)
    apart = [(leader, RELAYS[1]), (follower, RELAYS[0]), *((leader, name) for name in DATABASES)]
    await _cut_all(apart, LONG_S, world)
    await world.started_after(leader, starts)


async def _database_fails_over(world: World) -> None:
    world.databases[world.primary].kill()
    world.primary = next(name for name in DATABASES if name != world.primary)
    await asyncio.to_thread(world.databases[world.primary].promote)


async def _cut_all(pairs: Sequence[tuple[str, str]], seconds: float, world: World) -> None:
    for one, other in pairs:
        world.cut(one, other)
    await asyncio.sleep(seconds)
    for one, other in pairs:
        world.mend(one, other)
