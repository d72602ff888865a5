"""Invalid messages: the client gets a reason, nothing changes, and no other client is affected."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Opcode

from crypto_stream.bus.orders import ListOrders, Place
from tests.gateway.engine import Engine
from tests.gateway.order_sessions.bad import BAD, NO_JSON, ONLY_EXTENDED
from tests.gateway.order_sessions.trader import (
    EXCHANGED,
    PLACE,
    Trader,
    answering,
    asked,
    attached,
    next_asked,
    trading,
)
from tests.gateway.process import Gateway, running
from tests.gateway.raw import raw
from tests.waiting import DEADLINE_S, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
SERVERS = pytest.mark.parametrize("server", ["eventlet", "gevent"])


async def test_there_are_at_least_60_bad_messages() -> None:
    """No two of them are equal."""
    assert len({text for text, _, _ in BAD}) == len(BAD) >= 60


async def test_a_bad_message_is_refused_with_a_reason_and_changes_nothing(
    extended: Trader, engine: Engine
) -> None:
    """All of them on one connection: each gets one ErrorInfo with its code, and none reaches the engine."""
    told = [(await extended.answer(text))["message"] for text, _, _ in BAD]
    await extended.tell(5)
    await until(lambda: extended.asked(engine))

    for (text, code, word), answer in zip(BAD, told, strict=True):
        assert answer["code"] == code, text
        assert {*answer} - {"request_id", "requestId"} == {"reason", "code"}, text
        assert word in answer["reason"], text
        assert len(answer["reason"]) < 400, text
    assert extended.asked(engine) == [ListOrders]


async def test_extended_messages_are_refused_in_plain_mode(trader: Trader, engine: Engine) -> None:
    """The ErrorInfo has only a reason, as strict clients expect."""
    told = [await trader.answer(text) for text, _ in ONLY_EXTENDED]
    await trader.tell(5)
    await until(lambda: trader.asked(engine))

    for (text, word), answer in zip(ONLY_EXTENDED, told, strict=True):
        assert answer == {"messageType": 2, "message": {"reason": answer["message"]["reason"]}}, text
        assert word in answer["message"]["reason"], text
    assert trader.asked(engine) == [ListOrders]


async def test_a_binary_message_is_refused(extended: Trader, engine: Engine) -> None:
    """Even if it would be valid as text."""
    told = await extended.answer(PLACE.encode())

    assert (told["messageType"], told["message"]["code"]) == (2, "binary")
    assert (await extended.answer("{}"))["message"]["code"] == "bad_message"
    assert extended.asked(engine) == []


async def test_a_refusal_carries_the_request_id(extended: Trader) -> None:
    """If the request_id itself could be read."""
    told = await extended.answer('{"messageType":4,"message":{"orderId":"x","requestId":"mine"}}')

    assert told["message"].items() >= {"code": "bad_field", "requestId": "mine"}.items()


async def test_too_large_a_frame_ends_that_connection_with_1009(
    trader: Trader, gateway: Gateway, engine: Engine
) -> None:
    """64 kB are allowed; one byte more closes the connection, from the frame's header alone; others go on."""
    async with trading(gateway.url) as other:
        largest = await other.answer(" " * (64 * 1024))
        await other.send(" " * (64 * 1024 + 1))
        with pytest.raises(ConnectionClosed) as ended:
            await other.raw()
    async with raw(gateway.url) as bare:
        await bare.open(b"\x81\xff" + struct.pack("!Q", 1 << 40) + b"mask", path="/ws")
        frame = await bare.frame()
    await trader.send(PLACE)
    await next_asked(engine, Place)

    assert largest["messageType"] == 2
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1009
    assert (frame.opcode, Close.parse(bytes(frame.data)).code) == (Opcode.CLOSE, 1009)


@SERVERS
async def test_a_client_over_the_rate_limit_is_refused_and_then_disconnected(bus: Path, server: str) -> None:
    """The refusal names the limit, refused orders are not placed; a thousand refusals close with 1008."""
    async with (
        Engine(bus, instruments=EXCHANGED) as engine,
        running(bus, server=server, order_rate=200) as gateway,
        trading(gateway.url) as calm,
        trading(gateway.url, "mode=extended") as hasty,
        answering(engine),
    ):
        await gateway.ready()
        await attached(engine, 2)
        began = time.monotonic()
        for _ in range(400):
            await hasty.send(PLACE)
        first = [await hasty.got() for _ in range(400)]
        most_at_first = 200 * (1 + time.monotonic() - began)
        calm_answer = await calm.answer("{}")
        code = await _closed(hasty)
        placed, most = len(asked(engine, Place)), 200 * (1 + time.monotonic() - began)
        metrics = await gateway.http.get("/metrics")

    refused = [one["message"] for one in first if one["messageType"] == 2]
    assert {one["code"] for one in refused} == {"rate_limited"}
    assert "at most 200 messages a second" in refused[0]["reason"]
    assert 200 <= 400 - len(refused) <= most_at_first
    assert placed <= most
    assert calm_answer["messageType"] == 2
    assert code == 1008
    assert 'order_sessions_cut_total{reason="rate"} 1.0' in metrics.text


async def _closed(trader: Trader) -> int | None:
    """Send orders and read all answers until the gateway ends the connection; return its close code."""

    async def send() -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await trader.send(PLACE)
                await asyncio.sleep(0)  # sending alone would let nothing be read

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        with contextlib.suppress(ConnectionClosed):
            async for _ in trader.connection:
                pass
    return trader.connection.close_code


async def test_subscriptions_are_limited(bus: Path) -> None:
    """One too many is refused, naming the limit; unsubscribing makes room."""
    async with (
        Engine(bus, instruments=EXCHANGED),
        running(bus, max_subscriptions=2) as gateway,
        trading(gateway.url, "mode=extended") as trader,
    ):
        await gateway.ready()
        for instrument in (1, 2):
            await trader.tell(1, instrument=instrument)
            confirmed = await trader.until(1)
        await trader.tell(1, instrument=3)
        refused = await trader.until(2)
        await trader.tell(2, subscription_id=confirmed["subscription_id"])
        await trader.until(1)
        await trader.tell(1, instrument=3)
        again = await trader.until(1)

    assert refused["code"] == "too_many_subscriptions"
    assert "at most 2 subscriptions" in refused["reason"]
    assert again


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "instrument",
    "side",
    "amount",
    "price",
    "order_id",
    "subscriptionId",
    "type",
    "time_in_force",
    "extra",
]
NEARLY = st.builds(
    lambda envelope, number, message: json.dumps({envelope: number, "message": message}),
    st.sampled_from(["messageType", "message_type", "message type"]),
    st.integers(0, 8) | ANYTHING,
    st.dictionaries(st.sampled_from(FIELDS), ANYTHING | st.sampled_from([1, 2, "EUR/RUB", "10"]), max_size=5),
)
WRITTEN = NEARLY | st.text(max_size=60) | st.sampled_from([one[0] for one in NO_JSON if len(one[0]) < 100])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(WRITTEN, min_size=1, max_size=8))
async def test_no_message_ends_a_connection_or_disturbs_another(
    gateway: Gateway, engine: Engine, messages: list[str]
) -> None:
    """Each is refused or understood; a valid order after them succeeds, on another connection too."""
    engine.commands.clear()
    async with trading(gateway.url) as other, trading(gateway.url) as trader:
        for text in messages:
            await trader.send(text.encode("utf-8", "replace").decode())
        for number, one in enumerate((trader, other), 1):
            await one.send(MARKED)
            await until(lambda: len(_marked(engine)) == number)  # noqa: B023 - waited for at once
            await one.connection.ping()

    assert len(_marked(engine)) == 2


MARKED = PLACE.replace('"10"', '"10.987654321"')


def _marked(engine: Engine) -> list[Place]:
    return [place for _, place in asked(engine, Place) if place.ticket.amount == "10.987654321"]
