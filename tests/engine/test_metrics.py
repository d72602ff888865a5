"""What gateways count, kept by the engine for each other."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import msgspec
import pytest

from crypto_stream.bus.interface import MOST_METRICS
from crypto_stream.bus.local_gateway import LocalGatewayPort
from crypto_stream.bus.messages import GetMetrics, Metrics
from crypto_stream.errors import RefusedError
from tests.engine.process import Engine, running
from tests.waiting import DEADLINE_S, until


async def _kept(engine: Engine) -> dict[str, bytes]:
    kept = msgspec.msgpack.decode(await engine.ask(GetMetrics()), type=list[Metrics])
    return {each.gateway: each.families for each in kept}


async def test_the_newest_of_each_connected_gateway_is_kept(tmp_path: Path) -> None:
    """What was taken later wins however it comes; what a gateway counted goes when the gateway goes."""
    async with running(tmp_path, {}, sources="synthetic") as engine:
        connected = threading.Event()
        other = LocalGatewayPort(tmp_path / "bus")
        thread = threading.Thread(target=other.run, args=(lambda _: connected.set(), lambda: None))
        thread.start()
        try:
            await until(connected.is_set)
            await asyncio.to_thread(other.ask, Metrics("gateway-2", 1, b"two"), DEADLINE_S)
            for taken_ns, families in ((5, b"five"), (7, b"seven"), (6, b"six")):
                await engine.ask(Metrics("gateway-1", taken_ns, families))
            both = await _kept(engine)
        finally:
            other.close()
            await asyncio.to_thread(thread.join, DEADLINE_S)
        left = both
        async with asyncio.timeout(DEADLINE_S):
            while left == both:
                left = await _kept(engine)

        assert both == {"gateway-1": b"seven", "gateway-2": b"two"}
        assert left == {"gateway-1": b"seven"}


async def test_too_much_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    """The engine keeps at most so many bytes of a gateway; the older figures stay."""
    async with running(tmp_path, {}, sources="synthetic") as engine:
        await engine.ask(Metrics("gateway-1", 1, bytes(MOST_METRICS)))
        with pytest.raises(RefusedError, match="at most"):
            await engine.ask(Metrics("gateway-1", 2, bytes(MOST_METRICS + 1)))

        assert await _kept(engine) == {"gateway-1": bytes(MOST_METRICS)}
