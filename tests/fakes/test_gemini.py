"""The rules of Gemini, as its fake enforces them."""

from __future__ import annotations

import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.fakes import FakeGemini
from tests.fakes.peers import receive


async def ask(client: ClientConnection, **message: Any) -> Any:
    """Send one request, and receive the next frame."""
    await client.send(json.dumps(message))
    return await receive(client)


async def test_one_bad_stream_refuses_the_whole_request() -> None:
    """It is named; nothing is subscribed."""
    async with FakeGemini(["BTC-USD"], rate=0) as fake:
        client = await connect(fake.url)
        streams = ["btcusd@bookTicker", "foousd@trade"]
        refused = await ask(client, id=4, method="subscribe", params=streams)
        listed = await ask(client, id=5, method="list_subscriptions")
        acked = await ask(client, id="6", method="SUBSCRIBE", params=streams[:1])
        after = await ask(client, id=7, method="list_subscriptions")
        await client.close()

    assert refused == {
        "id": 4, "status": 400, "error": {"code": -1013, "msg": "Invalid stream name: foousd@trade"},
    }  # fmt: skip
    assert listed["result"] == []
    assert acked == {"id": "6", "status": 200}
    assert after["result"] == ["btcusd@bookTicker"]


async def test_what_it_does_not_know_is_refused() -> None:
    """Also what is no request at all."""
    async with FakeGemini(["BTC-USD"], rate=0) as fake:
        client = await connect(fake.url)
        pong = await ask(client, id=1, method="ping")
        unknown = await ask(client, id=2, method="novelty")
        nothing = await ask(client)
        await client.close()

    assert pong == {"id": 1, "status": 200}
    assert (unknown["id"], unknown["error"]["code"]) == (2, -1020)
    assert (nothing["id"], nothing["error"]["code"]) == (None, -1020)
