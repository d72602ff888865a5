"""Which bus carries the messages: the one place that knows the ways there are."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from crypto_stream.bus.interface import Backend, EnginePort, GatewayPort


def engine_port(path: Path, backend: Backend) -> AbstractAsyncContextManager[EnginePort]:
    """Return the engine's end, to be used as `async with`."""
    from crypto_stream.bus.local_engine import LocalEnginePort  # asyncio: no gateway imports it

    return LocalEnginePort(path, backend)


def gateway_port(path: Path) -> GatewayPort:
    """Return a gateway's end."""
    from crypto_stream.bus.local_gateway import LocalGatewayPort

    return LocalGatewayPort(path)
