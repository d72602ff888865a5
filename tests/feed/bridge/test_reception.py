"""Who is received as a bridge, and who is refused why; nobody else notices."""

from __future__ import annotations

import contextlib
import socket

import pytest

from crypto_stream.feed.bridge import reception
from tests.feed.bridge.program import NAME, Program, bridged, status
from tests.waiting import SCALE, until


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
