"""A bridge that misbehaves harms nobody else, and is told what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

import pytest

from crypto_stream.feed.bridge import connection as bridge_connection
from crypto_stream.feed.bridge import messages
from crypto_stream.feed.loading import load_sources
from tests.fakes import FakeBinance
from tests.feed.bridge.program import NAME, SYMBOLS, Program, bridged, status
from tests.feed.rig import Feed, fed, settings
from tests.process.programs import short_folder
from tests.waiting import SCALE, until


@contextlib.asynccontextmanager
async def beside_binance() -> AsyncIterator[tuple[Feed, str]]:
    """Run the feed on a fake Binance, preferred, and the bridge behind it."""
    async with FakeBinance(SYMBOLS) as binance:
        with short_folder() as folder:
            options = {"binance": {"url": binance.url, "rest_url": binance.rest_url}}
            chosen = settings(
                sources="binance,bridge:acme", pairs=",".join(SYMBOLS), data_dir=folder, jump_guard=0
            ).model_copy(update={"handler_options": options})
            async with fed(chosen, load_sources(chosen)) as feed:
                await until(lambda: feed.served() == {"binance"})
                yield feed, f"{folder}/bridge-acme.sock"


def _nonsense(program: Program) -> None:
    program.say_bytes(b"nonsense\n" * 1_000)


def _long_line(program: Program) -> None:
    program.say_bytes(b'{"type":"heartbeat","more":"' + b"x" * messages.LINE_BYTES)


def _flood(program: Program) -> None:
    program.say_bytes(b'{"type":"heartbeat"}\n' * (3 * messages.LINES_PER_S))


def _flapping(program: Program) -> None:
    program.say_bytes(b'{"type":"status","word":"halted"}\n{"type":"status","word":""}\n' * 1_000)


def _lists(program: Program) -> None:
    program.say_bytes(b'{"type":"instruments","instruments":[]}\n' * 1_000)


def _half_a_line(program: Program) -> None:
    program.say_bytes(b'{"type":"quote","instrument":"BTC/USDT","bid":"1.0"')
    program.half_close()


@pytest.mark.parametrize(
    ("misbehave", "code", "reason"),
    [
        (_nonsense, "unreadable", "100 lines in a row cannot be read"),
        (_long_line, "line_too_long", "a line of more than 262,144 bytes"),
        (_flood, "too_fast", "more than 10,000 lines in a second"),
        (_flapping, "too_fast", "more than 100 lists and statuses in a second"),
        (_lists, "too_fast", "more than 100 lists and statuses in a second"),
        (_half_a_line, "closing", "the bridge closed the connection, 51 bytes into a line"),
    ],
)
async def test_a_bridge_that_breaks_the_rules_is_ended_and_others_serve(
    misbehave: Callable[[Program], None], code: str, reason: str
) -> None:
    """It hears why; the other source's quotes go on, and it may connect again."""
    async with beside_binance() as (feed, address):
        async with Program(address) as program:
            await program.subscribed()
            program.quote()
            await until(lambda: feed.received(NAME))
            misbehave(program)
            await until(lambda: program.ended)
            await until(lambda: status(feed).last_error == reason)
        at = feed.received("binance")
        await until(lambda: feed.received("binance") > at)
        async with Program(address) as again:
            await again.subscribed()
            before = feed.received(NAME)
            again.quote()
            await until(lambda: feed.received(NAME) > before)

        assert feed.served() == {"binance"}
    assert program.errors()[-1] == code
    assert program.of("error")[-1]["fatal"]


async def test_half_a_line_is_never_a_price() -> None:
    """Bytes before the end of the connection are no message."""
    async with bridged() as (feed, address):
        async with Program(address) as program:
            await program.subscribed()
            program.quote(bid="100.10")
            await until(lambda: feed.received(NAME))
            program.say_bytes(b'{"type":"quote","instrument":"BTC/USDT","bid":"1.0","ask":"2.0"}')
            program.half_close()
            await until(lambda: program.ended)
        entry = feed.composition.book.entry(NAME, "btcusdt")

    assert entry is not None
    assert entry.bid == "100.10"


async def test_lines_that_cannot_be_read_are_counted_and_answered() -> None:
    """Each costs itself only; the next good one counts."""
    async with bridged() as (feed, address), Program(address) as program:
        await program.subscribed()
        program.say_bytes(b"{\n")
        program.say("quote", instrument="BTC/USDT", bid=1.5)
        program.say("novelty")
        program.quote("btcusdt")
        await until(lambda: feed.received(NAME) and len(program.errors()) >= 3)
        found = status(feed)

    assert [error["code"] for error in program.of("error")[:3]] == ["bad_line", "bad_line", "unknown_type"]
    assert "Expected `str | null`, got `float`" in program.of("error")[1]["reason"]
    assert not any(error["fatal"] for error in program.of("error")[:3])
    assert (found.frames["malformed"], found.frames["unknown_type"]) == (2, 1)


async def test_wrong_values_are_dropped_counted_and_reported() -> None:
    """By the same rules as every handler's."""
    async with bridged() as (feed, address), Program(address) as program:
        await program.subscribed()
        program.trade(price="-1")
        program.trade(price="1e99")
        program.trade(price="nothing")
        program.trade(time=4_102_444_800_000_000_000)
        program.quote()
        await until(lambda: feed.received(NAME))
        await until(lambda: program.of("dropped"))
        found = status(feed)

    expected = {"bad_number": 3, "bad_time": 1}
    assert found.dropped == expected
    assert program.of("dropped")[-1]["counts"] == expected


async def test_anothers_symbol_cannot_be_claimed() -> None:
    """Data of instruments that were not requested, real or synthetic, changes nothing."""
    async with (
        bridged(sources="bridge:acme,synthetic", pairs="btcusdt") as (feed, address),
        Program(address) as program,
    ):
        program.hello()
        entries = [
            {"id": "BTC/USDT", "base": "BTC", "quote": "USDT"},
            {"id": "eurusd", "base": "EUR", "quote": "USD"},
            {"id": "XRP/USDT", "base": "XRP", "quote": "USDT"},
        ]
        program.say("instruments", instruments=entries)
        await until(lambda: program.of("subscribe"))
        for claimed in ("eurusd", "XRP/USDT", "ETH/USDT"):
            program.say("trade", instrument=claimed, price="1")
        program.quote()
        await until(lambda: feed.received(NAME) and len(program.errors()) >= 3)
        entries_known = set(feed.composition.book.of(NAME).entries)
        ignored = status(feed).frames["unknown_instrument"]

    assert program.of("subscribe")[0]["instruments"] == ["BTC/USDT"]
    assert entries_known == {"btcusdt"}
    assert ignored == 3
    assert program.errors()[:3] == ["unknown_instrument"] * 3


async def test_a_stalled_bridge_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It neither speaks nor ends: a stopped process, say."""
    monkeypatch.setattr(messages, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr(bridge_connection, "_TICK_S", 0.1)
    async with bridged(stale_after=60) as (feed, address), Program(address) as program:
        await program.subscribed()
        await until(lambda: program.ended)
        await until(lambda: status(feed).last_error is not None)
        error = status(feed).last_error

    assert program.errors() == ["stalled"]
    assert error == "the bridge is stalled: no line for 0.2 s"


async def test_a_bridge_that_does_not_read_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is queued for it is bounded."""
    monkeypatch.setattr(bridge_connection, "_MAX_UNSENT", 1_000)
    monkeypatch.setattr(bridge_connection, "_MOST_ERRORS", 1_000_000)
    async with bridged() as (feed, address), Program(address) as program:
        await program.subscribed()
        program.stop_reading()
        unknown = json.dumps({"type": "x" * 50, "instrument": "y"}).encode() + b"\n"
        async with asyncio.timeout(20 * SCALE):
            while status(feed).last_error is None:
                with contextlib.suppress(OSError):
                    program.say_bytes(unknown * 50)
                await asyncio.sleep(0.02)
        error = status(feed).last_error

    assert error == "the bridge does not read (1,000 bytes unsent)"


async def test_other_tasks_run_while_a_bridge_floods() -> None:
    """A flood is read in small batches."""
    async with bridged() as (feed, address), Program(address) as program, asyncio.TaskGroup() as tasks:
        await program.subscribed()
        most = 0

        async def others() -> None:
            nonlocal most
            before = 0
            while True:
                await asyncio.sleep(0)
                now = status(feed).frames.get("heartbeat", 0)
                most, before = max(most, now - before), now

        counting = tasks.create_task(others())
        program.say_bytes(b'{"type":"heartbeat"}\n' * 5_000)
        await until(lambda: status(feed).frames.get("heartbeat") == 5_000)
        counting.cancel()

    assert 0 < most <= 50
