"""What can fail: the rows of docs/scale.md, kills, cuts between two machines; each with what may be seen."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

from tests.rehearsal import effects
from tests.rehearsal.effects import Effect
from tests.rehearsal.world import DATABASES, ENGINES, GATEWAYS, PROXY, RELAYS, World

# Longer than a gateway waits for the engine at one relay, and than a lease; and than prices stay live.
SHORT_S, LONG_S = 3.0, 7.0
# Longer than HAProxy takes to notice that a gateway's machine is gone, and to disconnect its viewers.
GONE_S = 12.0
# Shorter than a gateway's patience with a relay.
_DOZES_S = 1.5
_CLOCK_S = 300

KILLED = (*ENGINES, *GATEWAYS, *RELAYS, *DATABASES, PROXY)
SUPERVISED = (*ENGINES, *GATEWAYS)
# Whoever speaks to whom.
PAIRS = [
    *itertools.product(ENGINES, (*RELAYS, *DATABASES)),
    *itertools.product(GATEWAYS, RELAYS),
    DATABASES,
]
_Happen = Callable[[World], Awaitable[Effect]]


class Fault(NamedTuple):
    """Something that fails and is mended again.

    `happen` lets it, and returns what may be seen of it; `prepare` makes sure that somebody meets it.
    `apart`: only machines with a network of their own can fail like that.
    """

    name: str
    happen: _Happen
    prepare: Callable[[World], Awaitable[None]] | None = None
    apart: bool = False


def rows() -> list[Fault]:
    """Return the rows of the table; the last one is a failover of PostgreSQL, which leaves no standby."""
    return [
        Fault("a gateway is killed", partial(_gateway_killed, "gateway-1")),
        Fault("a gateway's supervisor is killed", partial(_orphaned, lambda world: "gateway-2")),
        Fault("a gateway's machine vanishes", _gateway_vanishes, apart=True),
        Fault("a gateway is paused", partial(_gateway_paused, "gateway-1")),
        Fault("the proxy is killed", _proxy_killed),
        Fault("the leader is killed", lambda world: _engine_killed(world.leader(), world)),
        Fault("the leader's supervisor is killed", partial(_orphaned, World.leader)),
        Fault("the leader's machine vanishes", _leader_vanishes, apart=True),
        Fault("the leader is paused", _leader_paused),
        Fault("the leader is cut off from PostgreSQL", _leader_without_database),
        Fault("the leader is stopped cleanly", _leader_restarted),
        Fault("the follower is killed", lambda world: _engine_killed(world.follower(), world)),
        Fault("the follower's supervisor is killed", partial(_orphaned, World.follower)),
        Fault("both engines vanish", _both_engines, apart=True),
        Fault("one relay is killed, and missing for a while", _relay_missing),
        Fault("both relays are killed", _both_relays),
        Fault("one relay hangs", partial(_relay_hangs, effects.RELAY_HANGS, LONG_S)),
        Fault("one relay hangs for a moment", partial(_relay_hangs, effects.RELAY_DOZES, _DOZES_S)),
        Fault("one relay cuts its clients off", _relay_cuts_off),
        Fault("one relay is cut off from the leader", _relay_without_leader),
        Fault("PostgreSQL crashes", _database_crashes),
        Fault("PostgreSQL hangs", _database_hangs),
        Fault("a gateway is cut off from both relays", _gateway_alone),
        Fault("two engines, each with a relay of its own", _split),
        Fault("an engine whose clock is 5 minutes ahead leads", partial(_wrong_clock, _CLOCK_S)),
        Fault("an engine whose clock is 5 minutes behind leads", partial(_wrong_clock, -_CLOCK_S)),
        *upgrade(),
        Fault("PostgreSQL fails over", _database_fails_over),
    ]


def upgrade() -> list[Fault]:
    """Return the steps of an upgrade, in the order of docs/scale.md, with an engine that follows."""
    return [
        *(
            Fault(f"upgrade: {name}", partial(_relay_restarted, name), partial(_used, name))
            for name in RELAYS
        ),
        Fault("upgrade: the follower", _follower_restarted),
        Fault("upgrade: the leader", _leader_restarted),
        *(Fault(f"upgrade: {name}", partial(_gateway_reloaded, name)) for name in GATEWAYS),
    ]


def kills(times: int, chance: random.Random) -> list[Fault]:
    """Return so many kills of each process, in random order."""
    faults = [*map(_kill, KILLED), *map(_kill_supervisor, SUPERVISED)]
    every = [fault for fault in faults for _ in range(times)]
    chance.shuffle(every)
    return every


def cuts() -> list[Fault]:
    """Return a short and a long cut between each pair of machines that speak to each other."""
    return [
        _cut(one, other, seconds) for (one, other), seconds in itertools.product(PAIRS, (SHORT_S, LONG_S))
    ]


def _kill(name: str) -> Fault:
    named = f"kill {name}"
    if name in RELAYS:
        return Fault(named, partial(_relay_restarted, name), partial(_used, name))
    if name in DATABASES:
        return Fault(named, partial(_database_killed, name))
    if name == PROXY:
        return Fault(named, _proxy_killed)
    return Fault(named, partial(_engine_killed if name in ENGINES else _gateway_killed, name))


def _kill_supervisor(name: str) -> Fault:
    return Fault(f"kill the supervisor of {name}", partial(_orphaned, lambda world: name))


def _cut(one: str, other: str, seconds: float) -> Fault:
    prepare: Callable[[World], Awaitable[None]] | None = None
    if one in GATEWAYS:
        prepare = partial(World.listens, gateway=one, relay=other)
    elif other in RELAYS:
        prepare = partial(_used, other)
    name = f"{one} and {other} apart for {seconds:g} s"
    return Fault(name, partial(_apart, one, other, seconds), prepare, apart=(one, other) == DATABASES)


async def _used(relay: str, world: World) -> None:
    """Make sure that a gateway uses a relay."""
    if not await world.users_of(relay):
        await world.listens(GATEWAYS[0], relay)


async def _most_used(world: World) -> tuple[str, list[str]]:
    """Return the relay that most gateways use, and those."""
    users = {relay: await world.users_of(relay) for relay in RELAYS}
    relay = max(users, key=lambda name: len(users[name]))
    return relay, users[relay]


def _engine_effect(name: str, world: World, of_leader: Effect) -> Effect:
    return of_leader if name == world.leader() else effects.FOLLOWER_DIES


# Gateways and the proxy.


async def _gateway_killed(name: str, world: World) -> Effect:
    await _killed(name, world)
    return effects.GATEWAY_KILLED._replace(gateways={name})


async def _gateway_vanishes(world: World) -> Effect:
    await _vanished("gateway-2", GONE_S, world)
    return effects.GATEWAY_VANISHES._replace(gateways={"gateway-2"})


async def _gateway_paused(name: str, world: World) -> Effect:
    world.signal(name, signal.SIGSTOP)
    await asyncio.sleep(SHORT_S)
    world.signal(name, signal.SIGCONT)
    slow = effects.GATEWAY_SLOW
    return slow._replace(gateways={name}, pause_s=SHORT_S + slow.pause_s)


async def _gateway_reloaded(name: str, world: World) -> Effect:
    await world.reload(name)
    return effects.GATEWAY_RELOADED._replace(gateways={name})


async def _gateway_alone(world: World) -> Effect:
    await _cut_all([("gateway-3", name) for name in RELAYS], LONG_S, world)
    return effects.GATEWAY_ALONE._replace(gateways={"gateway-3"}, mended_s=time.monotonic())


async def _proxy_killed(world: World) -> Effect:
    await _killed(PROXY, world)
    return effects.PROXY_KILLED


async def _orphaned(choose: Callable[[World], str], world: World) -> Effect:
    name = choose(world)
    if name in GATEWAYS:
        effect = effects.GATEWAY_KILLED._replace(gateways={name})
    else:
        effect = _engine_effect(name, world, effects.LEADER_STOPPED)
    await world.orphan(name)
    await world.back(name)
    return effect


# Engines.


async def _engine_killed(name: str, world: World) -> Effect:
    effect = _engine_effect(name, world, effects.LEADER_KILLED)
    await _killed(name, world)
    return effect


async def _leader_vanishes(world: World) -> Effect:
    await _vanished(world.leader(), LONG_S, world)
    return effects.LEADER_VANISHES


async def _leader_paused(world: World) -> Effect:
    leader = world.leader()
    starts = world.starts(leader)
    world.signal(leader, signal.SIGSTOP)
    await asyncio.sleep(LONG_S)
    world.signal(leader, signal.SIGCONT)
    await world.started_after(leader, starts)
    return effects.LEADER_VANISHES


async def _leader_without_database(world: World) -> Effect:
    leader = world.leader()
    starts = world.starts(leader)
    await _cut_all([(leader, name) for name in DATABASES], LONG_S, world)
    await world.started_after(leader, starts)
    return effects.LEADER_CUT_OFF


async def _leader_restarted(world: World) -> Effect:
    await world.restart(world.leader())
    return effects.LEADER_STOPPED


async def _follower_restarted(world: World) -> Effect:
    await world.restart(world.follower())
    return effects.FOLLOWER_DIES


async def _wrong_clock(ahead_s: int, world: World) -> Effect:
    """Let an engine with a wrong clock lead for a while, then one with the right clock again."""
    leader, follower = world.leader(), world.follower()
    await world.restart(follower, ahead_s)
    await asyncio.sleep(SHORT_S)  # a follower is ready a moment after it is connected
    await world.restart(leader)
    await asyncio.sleep(SHORT_S)
    await world.restart(follower)
    return effects.WRONG_CLOCK


async def _both_engines(world: World) -> Effect:
    first, second = ENGINES
    for name in ENGINES:
        world.vanish(name)
    await asyncio.sleep(LONG_S)
    await world.back(first)
    effect = effects.ENGINES_DIE._replace(mended_s=time.monotonic())
    await world.back(second)
    return effect


async def _split(world: World) -> Effect:
    leader, follower = world.leader(), world.follower()
    starts = world.starts(leader)
    apart = [(leader, RELAYS[1]), (follower, RELAYS[0]), *((leader, name) for name in DATABASES)]
    await _cut_all(apart, LONG_S, world)
    await world.started_after(leader, starts)
    return effects.TWO_ENGINES


# Relays.


async def _relay_restarted(name: str, world: World) -> Effect:
    effect = effects.RELAY_RESTARTED._replace(gateways=await world.users_of(name))
    await _killed(name, world)
    return effect


async def _relay_missing(world: World) -> Effect:
    name, users = await _most_used(world)
    world.kill(name)
    await asyncio.sleep(LONG_S)
    await world.back(name)
    return effects.RELAY_DIES._replace(gateways=users)


async def _both_relays(world: World) -> Effect:
    first, second = RELAYS
    for name in RELAYS:
        world.kill(name)
    await asyncio.sleep(LONG_S)
    await world.back(first)
    effect = effects.ALL_RELAYS_DIE._replace(mended_s=time.monotonic())
    await world.back(second)
    return effect


async def _relay_hangs(effect: Effect, seconds: float, world: World) -> Effect:
    name, users = await _most_used(world)
    world.relays[name].pause()
    await asyncio.sleep(seconds)
    world.relays[name].resume()
    return effect._replace(gateways=users)


async def _relay_cuts_off(world: World) -> Effect:
    name, users = await _most_used(world)
    await asyncio.to_thread(world.relays[name].command, "CLIENT", "KILL", "TYPE", "pubsub")
    return effects.RELAY_CUTS_OFF._replace(gateways=users)


async def _relay_without_leader(world: World) -> Effect:
    name, users = await _most_used(world)
    await _cut_all([(world.leader(), name)], LONG_S, world)
    return effects.RELAY_LOSES_ENGINE._replace(gateways=users)


# PostgreSQL.


async def _database_killed(name: str, world: World) -> Effect:
    await _killed(name, world)
    return effects.DATABASE


async def _database_crashes(world: World) -> Effect:
    await asyncio.to_thread(world.databases[world.primary].crash)
    await asyncio.sleep(SHORT_S)
    await world.back(world.primary)
    return effects.DATABASE


async def _database_hangs(world: World) -> Effect:
    with world.databases[world.primary].hanging():
        await asyncio.sleep(LONG_S)
    return effects.DATABASE


async def _database_fails_over(world: World) -> Effect:
    world.databases[world.primary].kill()
    world.primary = next(name for name in DATABASES if name != world.primary)
    await asyncio.to_thread(world.databases[world.primary].promote)
    return effects.DATABASE


# What several of them do.


async def _killed(name: str, world: World) -> None:
    if name in world.machines:
        starts = world.starts(name)
        world.kill(name)
        await world.started_after(name, starts)  # by its supervisor
    else:
        world.kill(name)
        await asyncio.sleep(0.5)
        await world.back(name)


async def _vanished(name: str, seconds: float, world: World) -> None:
    world.vanish(name)
    await asyncio.sleep(seconds)
    await world.back(name)


async def _apart(one: str, other: str, seconds: float, world: World) -> Effect:
    effect = await _effect_of_cut(one, other, world)
    await _cut_all([(one, other)], seconds, world)
    return effect


async def _effect_of_cut(one: str, other: str, world: World) -> Effect:
    """Return what may be seen when two are cut off from each other now."""
    if one in GATEWAYS:
        return effects.RELAY_HANGS._replace(gateways={one})
    if (one, other) == DATABASES:
        return effects.DATABASE
    if one != world.leader():
        return effects.FOLLOWER_DIES
    if other in RELAYS:
        return effects.RELAY_LOSES_ENGINE._replace(gateways=await world.users_of(other))
    return effects.LEADER_CUT_OFF if other == world.primary else effects.NOTHING


async def _cut_all(pairs: Sequence[tuple[str, str]], seconds: float, world: World) -> None:
    for one, other in pairs:
        world.cut(one, other)
    await asyncio.sleep(seconds)
    for one, other in pairs:
        world.mend(one, other)
