"""The choice of the bus's implementation; nothing else imports one."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from crypto_stream.bus.interface import Backend, EnginePort, GatewayPort


def engine_port(path: Path, backend: Backend) -> AbstractAsyncContextManager[EnginePort]:
    """Return the engine's end, to be entered by `async with`."""
    from crypto_stream.bus.local_engine import LocalEnginePort  # imports asyncio: not for gateways

    return LocalEnginePort(path, backend)


def gateway_port(path: Path) -> GatewayPort:
    """Return a gateway's end."""
    from crypto_stream.bus.local_gateway import LocalGatewayPort

    return LocalGatewayPort(path)
