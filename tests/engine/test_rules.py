"""The rules of orders on their way: from each venue's REST interface over the bus into the mirror."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from crypto_stream.bus.messages import RulesChanged
from crypto_stream.bus.orders import Attach, Failed, OrderCommands, OrderMessages, Place, Reported
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.market.orders import Kind, Rules, Side, Ticket
from tests.engine.process import Engine, running
from tests.fakes import FakeBinance, FakeOKX
from tests.waiting import SCALE, until

BINANCE = Rules("0.01", "0.0001", "0.001", "5")
OKX = Rules("0.1", "0.00000001", "0.00001")
# amount and price; None: a market order
ORDERED = [
    ("0.1", "100.12"),
    ("0.1", "100.123"),
    ("0.1", None),
    ("0.12345", None),
    ("0.0009", "60000"),
    ("0.01", "100"),
]


class SlowBinance(FakeBinance):
    """Refuses its list until told otherwise; its WebSocket serves."""

    refusing = True

    def rest(self, path: str, query: dict[str, str]) -> object:
        return HTTPStatus.TOO_MANY_REQUESTS if self.refusing else super().rest(path, query)


class Client:
    """One session of an owner on the bus of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ref = 0
        engine.port.send(OrderCommands([Attach(1, "owner", False)]))

    async def place(self, amount: str, price: str | None) -> Reported | Failed:
        """Place an order to buy btcusdt; return what it is answered."""
        self._ref += 1
        kind = Kind.MARKET if price is None else Kind.LIMIT
        ticket = Ticket("btcusdt", Side.BUY, amount, price, kind)
        self._engine.port.send(OrderCommands([Place(1, self._ref, ticket)]))
        await until(self._answers)
        (answer,) = self._answers()
        return answer

    def _answers(self) -> list[Reported | Failed]:
        told = [told for batch in self._engine.all(OrderMessages) for told in batch.messages]
        return [one for one in told if one.ref == self._ref]


def mirrored(engine: Engine) -> Mirror:
    """Return what a gateway knows by now."""
    mirror = Mirror()
    for message in list(engine.received):
        mirror.receive(message, 0.0)
    return mirror


def said(answer: Reported | Failed) -> str:
    """Say what became of an order: its status, or why it was refused for its numbers."""
    if isinstance(answer, Reported):
        return answer.report.order.status.name.lower()
    assert answer.code == "rules"
    return answer.reason


async def test_rules_are_those_of_the_source_of_the_quote(tmp_path: Path) -> None:
    """Orders keep to the rules of the venue that serves, other ones after a failover; gateways know them."""
    async with FakeBinance(["btcusdt"]) as binance, FakeOKX(["btcusdt"]) as okx:
        binance.rules["btcusdt"], okx.rules["btcusdt"] = BINANCE, OKX
        options = {fake.name: {"url": fake.url, "rest_url": fake.rest_url} for fake in (binance, okx)}
        async with running(tmp_path, options, pairs="btcusdt", stale_after=1.0 * SCALE) as engine:
            await until(lambda: mirrored(engine).rules("btcusdt") == BINANCE)
            client = Client(engine)
            first = [await client.place(*ordered) for ordered in ORDERED]
            synthetic = mirrored(engine).rules("eurrub")
            unknown = mirrored(engine).rules("nothing")
            await binance.fault("refuse")
            await until(lambda: mirrored(engine).rules("btcusdt") == OKX)
            second = [await client.place(*ordered) for ordered in ORDERED]

    assert [said(answer) for answer in first] == [
        "active",
        "price: 100.123 is not a multiple of the tick 0.01",
        "active",
        "amount: 0.12345 is not a multiple of the lot 0.0001",
        "amount: 0.0009 is below the minimum, 0.001",
        "amount: times price, 1 is below the minimum, 5",
    ]
    assert [said(answer) for answer in second] == [
        "price: 100.12 is not a multiple of the tick 0.1",
        "price: 100.123 is not a multiple of the tick 0.1",
        *["active"] * 4,
    ]
    assert synthetic == Rules(tick="0.01")
    assert unknown == Rules()


async def test_a_venue_that_refuses_its_rules_serves_without(tmp_path: Path) -> None:
    """Prices wait for no rules: the venue serves, its instrument has none, the synthetic ones have theirs."""
    async with SlowBinance(["btcusdt"]) as binance:
        options = {"binance": {"url": binance.url, "rest_url": binance.rest_url}}
        async with running(tmp_path, options, pairs="btcusdt", sources="binance,synthetic") as engine:
            await until(lambda: engine.serving("binance"))
            begun = len(engine.beats)
            await until(lambda: len(engine.beats) > begun + 1)
            told = engine.all(RulesChanged)
            placed = await Client(engine).place("0.0000001", "0.0000001")
            none, synthetic = mirrored(engine).rules("btcusdt"), mirrored(engine).rules("ticker_07")

    assert isinstance(placed, Reported)
    assert none == Rules()
    assert synthetic == Rules(tick="0.5")
    assert told == []


async def test_a_late_answer_is_told(tmp_path: Path) -> None:
    """What a venue says after a gateway has joined reaches it by itself, nothing has waited for it."""

    class LateOKX(FakeOKX):
        let = asyncio.Event()

        async def _upgrade(self, connection: ServerConnection, request: Request) -> Response | None:
            if "Upgrade" not in request.headers:
                await self.let.wait()
            return await super()._upgrade(connection, request)

    async with LateOKX(["btcusdt"]) as okx:
        okx.rules["btcusdt"] = OKX
        options = {"okx": {"url": okx.url, "rest_url": okx.rest_url}}
        async with running(tmp_path, options, pairs="btcusdt", sources="okx") as engine:
            await until(lambda: engine.serving("okx"))
            before = mirrored(engine).rules("btcusdt")
            okx.let.set()
            await until(lambda: engine.all(RulesChanged))
            (told,) = engine.all(RulesChanged)
            after = mirrored(engine).rules("btcusdt")

    assert (before, after) == (Rules(), OKX)
    assert told == RulesChanged("okx", {"btcusdt": OKX})
