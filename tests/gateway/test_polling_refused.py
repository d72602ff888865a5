"""Socket.IO on a gateway that shares its port: WebSockets work, polling is refused with a helpful message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import socketio

from tests.gateway.engine import Engine
from tests.gateway.process import Gateway, running, viewing

SENTENCE = "clients must use transports: ['websocket']"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["eventlet", "gevent"])
async def gateway(bus: Path, engine: Engine, request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    """Run one gateway as if there were another one."""
    async with running(bus, server=request.param, workers=2) as gateway:
        await gateway.ready()
        yield gateway


@pytest.mark.parametrize("query", ["?EIO=4&transport=polling", "?EIO=4", "?EIO=4&transport=polling&sid=x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_polling_gets_400_with_the_sentence(gateway: Gateway, method: str, query: str) -> None:
    """Each polling request, the first and any later one, says how to connect; the connection stays usable."""
    refused = await gateway.http.request(method, f"/socket.io/{query}", content="2probe")
    after = await gateway.http.get("/healthz")

    assert (refused.status_code, refused.json()["code"]) == (400, "websocket_only")
    assert SENTENCE in refused.json()["detail"]
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
    assert after.status_code == 200


async def test_websockets_are_served(gateway: Gateway) -> None:
    """A client that begins with a WebSocket gets `hello` and its snapshot."""
    async with viewing(gateway.url) as viewer:
        granted = await viewer.subscribe(symbols=["btcusdt"])
        await viewer.until("snapshot")

    assert granted["ok"] is True
    assert viewer.names()[:2] == ["hello", "snapshot"]


async def test_a_client_that_polls_first_can_read_why_it_is_refused(gateway: Gateway) -> None:
    """A default `io()` fails at once with a reason that contains the sentence."""
    reasons: list[object] = []
    client = socketio.AsyncClient(reconnection=False)
    client.on("connect_error", reasons.append)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(gateway.url)

    assert SENTENCE in str(reasons)
