"""The choice of the bus's implementation; nothing else imports one.

Which one is chosen by the beginning of the setting `bus`. Implementations are imported only when they are
used: an engine's end imports asyncio, which gateways must not, and the other way round.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NamedTuple

from crypto_stream.bus.interface import Backend, EnginePort, GatewayPort
from crypto_stream.errors import SettingError

LOCAL = "local"


class _Bus(NamedTuple):
    """An implementation: its two ends, and what checks the setting and returns it without secrets.

    Each takes the setting `bus`, and the ends the path of a socket on this machine, too.
    """

    engine: Callable[[str, Path, Backend], AbstractAsyncContextManager[EnginePort]]
    gateway: Callable[[str, Path], GatewayPort]
    describe: Callable[[str], str]


def engine_port(bus: str, path: Path, backend: Backend) -> AbstractAsyncContextManager[EnginePort]:
    """Return the engine's end, to be entered by `async with`; raise SettingError for a wrong `bus`."""
    return _chosen(bus).engine(bus, path, backend)


def gateway_port(bus: str, path: Path) -> GatewayPort:
    """Return a gateway's end; raise SettingError for a wrong `bus`."""
    return _chosen(bus).gateway(bus, path)


def describe_bus(bus: str) -> str:
    """Return the setting without secrets, for display; raise SettingError if it is wrong."""
    return _chosen(bus).describe(bus)


def is_local(bus: str) -> bool:
    """Return whether this bus connects the processes of one machine only."""
    return bus == LOCAL


def _chosen(bus: str) -> _Bus:
    scheme = bus.partition("://")[0]
    if scheme not in _BUSES or (scheme == LOCAL) != (bus == LOCAL):
        raise SettingError(f"bus: it must be {LOCAL}, or begin with one of {_BEGINNINGS}")
    return _BUSES[scheme]


def _local_engine(_bus: str, path: Path, backend: Backend) -> AbstractAsyncContextManager[EnginePort]:
    from crypto_stream.bus.local_engine import LocalEnginePort

    return LocalEnginePort(path, backend)


def _local_gateway(_bus: str, path: Path) -> GatewayPort:
    from crypto_stream.bus.local_gateway import LocalGatewayPort

    return LocalGatewayPort(path)


def _redis_engine(bus: str, _path: Path, backend: Backend) -> AbstractAsyncContextManager[EnginePort]:
    from crypto_stream.bus.redis.engine import RedisEnginePort
    from crypto_stream.bus.redis.relays import parse_relays

    return RedisEnginePort(parse_relays(bus), backend)


def _redis_gateway(bus: str, _path: Path) -> GatewayPort:
    from crypto_stream.bus.redis.gateway import RedisGatewayPort
    from crypto_stream.bus.redis.relays import parse_relays

    return RedisGatewayPort(parse_relays(bus))


def _describe_redis(bus: str) -> str:
    from crypto_stream.bus.redis.relays import parse_relays
    from crypto_stream.bus.redis.tls import make_context

    found = parse_relays(bus)
    for relay in found.relays:
        make_context(relay)
    return f"{found.name} on {', '.join(relay.address for relay in found.relays)}"


_REDIS = _Bus(_redis_engine, _redis_gateway, _describe_redis)
_BUSES = {
    LOCAL: _Bus(_local_engine, _local_gateway, lambda _: LOCAL),
    "redis": _REDIS,
    "rediss": _REDIS,
    "valkey": _REDIS,
    "valkeys": _REDIS,
}
_BEGINNINGS = ", ".join(f"{scheme}://" for scheme in _BUSES if scheme != LOCAL)
