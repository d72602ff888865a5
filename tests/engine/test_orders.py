"""Orders in a real engine: on quotes of a venue, over the bus, through failover, kills and a corrupt file."""

from __future__ import annotations

from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path

from crypto_stream.bus.orders import (
    Attach,
    Command,
    Failed,
    OrderCommands,
    OrderMessages,
    Place,
    Reported,
    SessionMessage,
)
from crypto_stream.market.orders import (
    ExecType,
    Kind,
    Outcome,
    Report,
    Side,
    Status,
    Ticket,
    TimeInForce,
)
from tests.engine.process import Engine, running
from tests.fakes import FakeBinance, FakeOKX
from tests.waiting import SCALE, until

SYMBOL = "btcusdt"
BUY_AT_ANY_PRICE = Ticket(SYMBOL, Side.BUY, "0.001", "9999999")
REST = Ticket("eurrub", Side.BUY, "1", "87", outcome=Outcome.REST)


def ask(engine: Engine, *commands: Command) -> None:
    engine.port.send(OrderCommands(list(commands)))


def told(engine: Engine) -> list[SessionMessage]:
    return [one for message in engine.all(OrderMessages) for one in message.messages]


def reports(engine: Engine) -> list[Report]:
    return [one.report for one in told(engine) if isinstance(one, Reported)]


def counts(engine: Engine) -> tuple[int, int] | None:
    """Return how many orders are active, and how many were placed in this life of the engine."""
    known = engine.beats[-1].orders if engine.beats else None
    return None if known is None else (known.active, known.placed)


async def filled_by(engine: Engine, ref: int) -> Report:
    """Buy what is there, return the fill."""
    ask(engine, Place(1, ref, BUY_AT_ANY_PRICE))
    await until(lambda: any(one.ref == ref for one in told(engine)))
    (order_id,) = [
        one.report.order.order_id for one in told(engine) if isinstance(one, Reported) and one.ref == ref
    ]

    def fills() -> list[Report]:
        of_it = [one for one in reports(engine) if one.order.order_id == order_id]
        return [one for one in of_it if one.order.status is Status.FILLED]

    await until(fills)
    return fills()[0]


async def test_after_a_failover_the_new_source_fills(tmp_path: Path) -> None:
    """An order trades with whoever serves its instrument; the report names the source."""
    async with AsyncExitStack() as stack:
        binance = await stack.enter_async_context(FakeBinance((SYMBOL,)))
        okx = await stack.enter_async_context(FakeOKX((SYMBOL,)))
        options = {fake.name: {"url": fake.url, "rest_url": fake.rest_url} for fake in (binance, okx)}
        engine = await stack.enter_async_context(
            running(
                *(tmp_path, options),
                sources="binance,okx",
                pairs=SYMBOL,
                order_latency=1.0,
                stale_after=1.0 * SCALE,
                failback_after=60.0,
            )
        )
        await until(lambda: engine.serving("binance"))
        ask(engine, Attach(1, "me", anonymous=False))
        before = await filled_by(engine, 1)
        await binance.fault("refuse")
        await until(lambda: engine.serving("okx"))
        after = await filled_by(engine, 2)

    assert (before.source, after.source) == ("binance", "okx")


async def test_a_killed_engine_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    """The next one has every order, tells what was not received first, and counts on."""
    given = {"sources": "synthetic", "order_outcomes": True, "order_latency": 1.0}
    async with running(tmp_path, {}, **given) as first:
        ask(first, Attach(1, "me", anonymous=False), *[Place(1, ref, REST) for ref in range(1, 101)])
        await until(lambda: len(reports(first)) == 100)
        await until(lambda: counts(first) == (100, 100))
        first.process.kill()
        await first.process.wait()
    async with running(tmp_path, {}, **given) as second:
        ask(second, Attach(1, "me", anonymous=False))
        await until(lambda: len(reports(second)) == 100)
        ask(second, Place(1, 5, REST))
        await until(lambda: len(reports(second)) == 101)
        await until(lambda: counts(second) == (101, 1))

        assert reports(second)[:100] == reports(first)
        assert [one.seq for one in reports(second)] == list(range(1, 102))


async def test_a_corrupt_file_costs_orders_and_nothing_else(tmp_path: Path) -> None:
    """Prices go on; the beat and the log say why there are no orders; the file stays as it is."""
    file = tmp_path / "data" / "orders.db"
    file.parent.mkdir()
    file.write_bytes(b"once this was a database" * 1000)
    content = file.read_bytes()
    async with running(tmp_path, {}, sources="synthetic", pairs="") as engine:
        ask(engine, Attach(1, "me", anonymous=False), Place(1, 1, REST))
        await until(lambda: engine.serving("synthetic", "ticker_00"))
        await until(lambda: len(told(engine)) == 2)
        await until(lambda: engine.beats and engine.beats[-1].orders_trouble)
        seen = len(engine.quotes)
        await until(lambda: len(engine.quotes) > seen + 10)

        trouble = engine.beats[-1].orders_trouble
        assert trouble is not None
        assert "orders.db" in trouble
        assert {(one.code, one.reason) for one in told(engine) if isinstance(one, Failed)} == {
            ("store_unavailable", trouble)
        }
    assert file.read_bytes() == content


async def test_an_engine_that_is_stopped_writes_what_it_decided(tmp_path: Path) -> None:
    """SIGTERM amid placing: whatever was told is kept, and the next start is clean."""
    given = {"sources": "synthetic", "order_outcomes": True, "order_latency": 1.0}
    async with running(tmp_path, {}, **given) as first:
        ask(first, Attach(1, "me", anonymous=False), *[Place(1, ref, REST) for ref in range(1, 501)])
        await until(lambda: reports(first))
        assert await first.stop() == 0
    async with running(tmp_path, {}, **given) as second:
        ask(second, Attach(1, "me", anonymous=False))
        await until(lambda: len(reports(second)) >= len(reports(first)))

        acknowledged = {one.order.order_id for one in reports(first) if one.exec_type is ExecType.NEW}
        assert acknowledged <= {one.order.order_id for one in reports(second)}


async def test_an_order_of_the_extended_mode_walks_the_book(tmp_path: Path) -> None:
    """Level by level, though nobody looked at the book before; in the plain mode the top only."""
    async with FakeBinance((SYMBOL,), rate=5) as binance:
        options = {"binance": {"url": binance.url, "rest_url": binance.rest_url}}
        async with running(tmp_path, options, sources="binance", pairs=SYMBOL, order_latency=0.01) as engine:
            await until(lambda: engine.serving("binance"))
            ask(engine, Attach(1, "me", anonymous=False))
            much = Ticket(SYMBOL, Side.BUY, "40", None, Kind.MARKET, TimeInForce.IOC)
            ask(engine, Place(1, 1, much, walks=True))
            walked = await _ended(engine, 1)
            ask(engine, Place(1, 2, much))
            plain = await _ended(engine, 2)

    prices = [Decimal(one.last_price or 0) for one in walked if one.exec_type is ExecType.TRADE]
    amounts = [Decimal(one.last_amount or 0) for one in walked if one.exec_type is ExecType.TRADE]
    assert len(prices) > 2
    assert sorted(set(prices)) == prices
    assert sum(amounts) == Decimal(walked[-1].order.cum_amount)
    assert {one.source for one in walked if one.exec_type is ExecType.TRADE} == {"binance"}
    assert len([one for one in plain if one.exec_type is ExecType.TRADE]) <= 1


async def _ended(engine: Engine, ref: int) -> list[Report]:
    """Return all reports of the order of this request, once it has ended."""
    await until(lambda: any(one.ref == ref for one in told(engine)))
    (order_id,) = {
        one.report.order.order_id for one in told(engine) if isinstance(one, Reported) and one.ref == ref
    }

    def of_it() -> list[Report]:
        return [one for one in reports(engine) if one.order.order_id == order_id]

    await until(lambda: of_it()[-1].order.status is not Status.ACTIVE)
    return of_it()
