"""A bridge that misbehaves harms nobody else, and is told what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from crypto_stream.feed.bridge import connection as bridge_connection
from crypto_stream.feed.bridge import messages, reception
from crypto_stream.feed.loading import load_sources
from crypto_stream.market.status import SourceStatus
from tests.fakes import FakeBinance
from tests.feed.bridge.program import SYMBOLS, Program, bridged
from tests.feed.rig import Feed, fed, settings
from tests.process.programs import short_folder
from tests.waiting import SCALE, until

NAME = "bridge:acme"


def status(feed: Feed) -> SourceStatus:
    """Return what /sources says."""
    return feed.composition.loop.sources[NAME].status(0, pin=None, serving=0)


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


def _half_a_line(program: Program) -> None:
    program.say_bytes(b'{"type":"quote","instrument":"BTC/USDT","bid":"1.0"')
    program.half_close()


@pytest.mark.parametrize(
    ("misbehave", "code", "reason"),
    [
        (_nonsense, "unreadable", "100 lines in a row cannot be read"),
        (_long_line, "line_too_long", "a line of more than 262,144 bytes"),
        (_flood, "too_fast", "more than 10,000 lines in a second"),
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
    async with bridged(sources="bridge:acme,synthetic", pairs="btcusdt") as (feed, address):
        async with Program(address) as program:
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


async def test_a_list_that_names_a_pair_twice_is_refused() -> None:
    """Spot and perpetual of one pair must not be mixed."""
    async with bridged() as (feed, address), Program(address) as program:
        program.hello()
        entries = [{"id": name, "base": "BTC", "quote": "USDT"} for name in ("BTC/USDT", "BTC/USDT:USDT")]
        program.say("instruments", instruments=entries)
        await until(lambda: program.ended)
        await until(lambda: status(feed).last_error is not None)
        error = status(feed).last_error

    assert program.errors() == ["no_list"]
    assert error == "the bridge sent no list: instruments: BTC-USDT occurs twice; list spot markets only"


async def test_a_second_connection_is_refused_and_the_first_goes_on() -> None:
    """Two programs of one name would mix their prices."""
    async with bridged() as (feed, address), Program(address) as program:
        await program.subscribed()
        async with Program(address) as second:
            second.hello()
            second.instruments()
            await until(lambda: second.ended)
        program.quote()
        await until(lambda: feed.received(NAME))
        counted = status(feed).frames["refused_connection"]

    assert second.errors() == ["connected_twice"]
    assert not program.errors()
    assert counted == 1


async def test_of_two_that_wait_the_first_to_introduce_itself_is_the_bridge() -> None:
    """A connection that says nothing is not in the way."""
    async with bridged() as (feed, address), Program(address) as mute, Program(address) as program:
        await program.subscribed()
        mute.hello()
        await until(lambda: mute.ended)
        program.quote()
        await until(lambda: feed.received(NAME))

    assert mute.errors() == ["connected_twice"]


@pytest.mark.parametrize(
    ("first_line", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "no_hello"),
        (b'{"type":"heartbeat"}\n', "no_hello"),
        (b'{"type":"hello"}\n', "no_hello"),
        (b'{"type":"hello","protocol":2,"name":"acme","venue":"A"}\n', "wrong_protocol"),
        (b'{"type":"hello","protocol":1,"name":"okx","venue":"A"}\n', "wrong_name"),
    ],
)
async def test_who_is_not_the_bridge_is_refused(first_line: bytes, code: str) -> None:
    """A page in a browser, a program of another version, another's bridge."""
    async with bridged() as (feed, address):
        async with Program(address) as stranger:
            stranger.say_bytes(first_line)
            await until(lambda: stranger.ended)
        async with Program(address) as program:
            await program.subscribed()
            program.quote()
            await until(lambda: feed.received(NAME))

    assert stranger.errors() == [code]


async def test_connections_that_say_nothing_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight may wait, for five seconds each."""
    monkeypatch.setattr(reception, "_HELLO_S", 0.5 * SCALE)
    async with bridged() as (feed, address), contextlib.AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(Program(address)) for _ in range(9)]
        await until(lambda: all(each.ended for each in crowd))
        async with Program(address) as program:
            await program.subscribed()
            program.quote()
            await until(lambda: feed.received(NAME))

    assert sorted(each.errors()[0] for each in crowd) == ["busy", *["no_hello"] * 8]


async def test_a_bridge_without_a_list_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hold the place of a better one."""
    monkeypatch.setattr(reception, "_LIST_S", 0.2 * SCALE)
    async with bridged() as (feed, address), Program(address) as program:
        program.hello()
        await until(lambda: program.ended)
        await until(lambda: status(feed).last_error is not None)
        error = status(feed).last_error

    assert program.errors() == ["no_list"]
    assert error is not None
    assert error.startswith("the bridge sent no list: no complete list of instruments within")


async def test_data_before_the_list_is_refused() -> None:
    """Nobody knows yet what it would be of."""
    async with bridged() as (_, address), Program(address) as program:
        program.hello()
        program.quote()
        await until(lambda: program.ended)

    assert [error["reason"] for error in program.of("error")] == [
        "the list of instruments must follow the hello"
    ]


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


async def test_a_place_that_cannot_be_used_is_a_reason() -> None:
    """Somebody else listens there: the source is lost and says so."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        async with bridged(options={"acme_listen": address, "acme_token": "x" * 16}) as (feed, _):
            await until(lambda: feed.state(NAME) == "lost")
            error = status(feed).last_error

    assert error == f"cannot listen at tcp:{address}: Address already in use"
