"""A bridge is a source like any other: live, stale, lost, with its list, refusals and failover."""

from __future__ import annotations

import asyncio
import os
import socket
import stat

from crypto_stream.feed.loading import load_sources
from crypto_stream.market.choices import Chosen
from crypto_stream.market.instruments import pair
from crypto_stream.market.orders import Rules
from tests.fakes import FakeBinance
from tests.feed.bridge.program import NAME, SYMBOLS, TOKEN, Program, bridged
from tests.feed.rig import STALE_S, Feed, fed, settings
from tests.ports import free_port
from tests.process.programs import short_folder
from tests.waiting import until


async def served(feed: Feed, program: Program) -> None:
    """Send quotes and trades until the bridge serves both instruments."""
    for symbol in SYMBOLS:
        program.quote(symbol)
        program.trade(symbol)
    await until(lambda: feed.served() == {NAME})


async def test_a_bridge_serves_quotes_as_they_were_written() -> None:
    """Hello, list, subscription, data: each as docs/bridges.md has it."""
    async with bridged() as (feed, address), Program(address) as program:
        await program.subscribed()
        await until(lambda: feed.state(NAME) == "connected")
        program.say(
            "day", instrument="BTC/USDT", open="90.0", high="110", low="80", volume="5.50", price="100.14"
        )
        await served(feed, program)
        await until(lambda: feed.received(NAME, "ethusdt"))
        entry = feed.composition.book.entry(NAME, "btcusdt")
        status = feed.composition.loop.sources[NAME].status(0, pin=None, serving=2)

    welcome, subscribe = program.heard[:2]
    assert welcome["type"] == "welcome"
    assert (welcome["protocol"], welcome["line_bytes"], welcome["lines_per_s"]) == (1, 262_144, 10_000)
    assert welcome["heartbeat_s"] == 15
    assert subscribe["instruments"] == ["BTC/USDT", "ETH/USDT"]
    assert subscribe["topics"] == ["top", "trades", "day"]
    assert entry is not None
    assert (entry.price, entry.bid, entry.bid_size, entry.ask) == ("100.15", "100.10", "1.50", "100.20")
    assert (entry.open_24h, entry.volume_24h) == ("90.0", "5.50")
    assert status.url == "unix:bridge-acme.sock"
    assert {"top", "trades", "day", "ack"} <= status.frames.keys()


async def test_the_socket_is_for_its_owner_only() -> None:
    """Whoever may connect to it may set prices."""
    with short_folder() as folder:
        async with bridged(data_dir=folder) as (feed, _), Program(f"{folder}/bridge-acme.sock") as program:
            mode = stat.S_IMODE(os.stat(program.address).st_mode)
            await program.subscribed()
            await served(feed, program)

        left = os.listdir(folder)

    assert "bridge-acme.sock" not in left
    assert mode == 0o600


async def test_a_socket_left_behind_is_replaced() -> None:
    """An engine that was killed could not remove it."""
    with short_folder() as folder:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(os.path.join(folder, "bridge-acme.sock"))
        async with bridged(data_dir=folder) as (feed, _), Program(f"{folder}/bridge-acme.sock") as program:
            await program.subscribed()
            await served(feed, program)


async def test_a_bridge_may_connect_over_tcp_with_its_token() -> None:
    """Everybody on this machine can connect there, so it needs the token."""
    address = f"127.0.0.1:{free_port()}"
    options = {"acme_listen": address, "acme_token": TOKEN}
    async with bridged(options=options) as (feed, _):
        async with Program(address) as stranger:
            stranger.hello(token="guessed, guessed")
            await until(lambda: stranger.ended)
        async with Program(address) as program:
            program.hello(token=TOKEN)
            program.instruments()
            await until(lambda: program.of("subscribe"))
            await served(feed, program)

    assert stranger.errors() == ["wrong_token"]


async def test_without_a_bridge_the_source_is_lost_with_the_reason() -> None:
    """It says where one should connect; when one does, all is well."""
    async with bridged(connect_timeout=0.3) as (feed, address):
        source = feed.composition.loop.sources[NAME]
        await until(lambda: feed.state(NAME) == "lost")
        reason = source.last_error
        async with Program(address) as program:
            await program.subscribed()
            await served(feed, program)

    assert reason == "no bridge connected to unix:bridge-acme.sock within 0.3 s"


async def test_a_silent_bridge_is_stale_then_abandoned_and_may_come_back() -> None:
    """Heartbeats are no data: staleness is the same for all sources."""
    async with bridged(stale_after=STALE_S) as (feed, address):
        async with Program(address) as program:
            await program.subscribed()
            await served(feed, program)
            while not program.ended:
                program.say("heartbeat")
                await asyncio.sleep(STALE_S / 10)
            error = feed.composition.loop.sources[NAME].last_error
        async with Program(address) as again:
            await again.subscribed()
            await served(feed, again)

    assert error is not None
    assert error.startswith("no data for")
    assert len(program.of("subscribe")) >= 2  # subscribed again before it was given up


async def test_another_source_takes_over_and_gives_back() -> None:
    """Failover knows no difference between a bridge and a venue."""
    async with FakeBinance(SYMBOLS, price="100") as binance:
        with short_folder() as folder:
            chosen = settings(
                sources="bridge:acme,binance", pairs=",".join(SYMBOLS), data_dir=folder, jump_guard=0
            ).model_copy(
                update={"handler_options": {"binance": {"url": binance.url, "rest_url": binance.rest_url}}}
            )
            async with fed(chosen, load_sources(chosen)) as feed:
                async with Program(f"{folder}/bridge-acme.sock") as program:
                    await program.subscribed()
                    feeding = asyncio.get_running_loop().create_task(_feed(program))
                    await until(lambda: feed.served() == {NAME})
                    feeding.cancel()
                await until(lambda: feed.served() == {"binance"})
                async with Program(f"{folder}/bridge-acme.sock") as again:
                    await again.subscribed()
                    feeding = asyncio.get_running_loop().create_task(_feed(again))
                    await until(lambda: feed.served() == {NAME})
                    feeding.cancel()


async def test_the_list_gives_rules_and_halts_and_what_is_not_there() -> None:
    """As a venue's list does; a later list replaces it, and names what it named not."""
    async with bridged(pairs="btcusdt,ethusdt,xrpusdt") as (feed, address), Program(address) as program:
        source = feed.composition.loop.sources[NAME]
        program.hello()
        program.instruments(["btcusdt"], status="auction", lot="0.10")
        await until(lambda: program.of("subscribe"))
        first = dict(source.refused)
        halted = dict(source.halted)
        rules = dict(source.listing.rules)
        program.instruments(["btcusdt", "ethusdt"])
        await until(lambda: len(program.of("subscribe")) >= 2)
        await until(lambda: not source.halted)
        program.quote("ethusdt")
        await until(lambda: feed.received(NAME, "ethusdt"))
        later = dict(source.refused)

    assert first["ethusdt"] == first["xrpusdt"] == "not listed"
    assert halted == {"btcusdt": "listed, but auction"}
    assert rules == {"btcusdt": Rules(tick="0.01", lot="0.1")}
    assert later == {"xrpusdt": "not listed"}
    asked = [symbol for each in program.of("subscribe")[1:] for symbol in each["instruments"]]
    assert "ETH/USDT" in asked


async def test_a_refused_instrument_is_shown_with_the_reason() -> None:
    """The others are served."""
    async with bridged() as (feed, address), Program(address) as program:
        program.hello()
        program.instruments()
        await until(lambda: program.of("subscribe"))
        number = program.of("subscribe")[0]["request"]
        program.say("refused", request=number, instrument="ETH/USDT", reason="only for members")
        program.quote("btcusdt")
        program.trade("btcusdt")
        await until(lambda: feed.serving() == NAME)
        refused = dict(feed.composition.loop.sources[NAME].refused)

    assert refused == {"ethusdt": "only for members"}


async def test_a_refused_batch_is_halved_until_the_culprit_is_found() -> None:
    """For a bridge that cannot say which instrument it was."""
    async with bridged() as (_, address), Program(address) as program:
        program.hello()
        program.instruments()
        await until(lambda: program.of("subscribe"))
        program.say("refused", request=program.of("subscribe")[0]["request"], reason="one of them")
        await until(lambda: len(program.of("subscribe")) == 3)

    assert [each["instruments"] for each in program.of("subscribe")[1:]] == [["BTC/USDT"], ["ETH/USDT"]]


async def test_a_status_holds_for_one_instrument_or_for_all() -> None:
    """The venue's word is the reason, until it trades again."""
    async with bridged() as (feed, address), Program(address) as program:
        source = feed.composition.loop.sources[NAME]
        await program.subscribed()
        program.say("status", instrument="BTC/USDT", word="cancel only")
        await until(lambda: source.halted == {"btcusdt": "cancel only"})
        program.say("status", word="maintenance")
        await until(lambda: source.halted == dict.fromkeys(SYMBOLS, "maintenance"))
        program.say("status", word="")
        await until(lambda: not source.halted)


async def test_levels_are_a_top_of_book() -> None:
    """The best of each side; an empty side is none."""
    async with bridged() as (feed, address), Program(address) as program:
        await program.subscribed()
        program.say("levels", instrument="BTC/USDT", bids=[["100.5", "2"], ["100.4", "9"]], asks=[])
        await until(lambda: feed.received(NAME))
        entry = feed.composition.book.entry(NAME, "btcusdt")

    assert entry is not None
    assert (entry.bid, entry.bid_size, entry.ask) == ("100.5", "2", None)


async def test_names_of_currencies_are_translated() -> None:
    """The bridge's own base and quote count, in our names for them."""
    options = {"acme_names": "BTC=XBT"}
    async with bridged(options=options, pairs="btcusdt") as (feed, address), Program(address) as program:
        program.hello()
        program.say("instruments", instruments=[{"id": "XXBT", "base": "xbt", "quote": "USDT"}])
        await until(lambda: program.of("subscribe"))
        program.say("trade", instrument="XXBT", price="5.0")
        await until(lambda: feed.received(NAME))

    assert program.of("subscribe")[0]["instruments"] == ["XXBT"]


async def test_the_busy_instrument_is_requested_but_not_published() -> None:
    """So that a quiet set of pairs is not taken for a failure."""
    options = {"acme_busy": "eth-usdt"}
    async with bridged(options=options, pairs="btcusdt") as (feed, address), Program(address) as program:
        await program.subscribed()
        program.trade("ethusdt")
        await until(lambda: feed.state(NAME) == "live")

    assert program.of("subscribe")[0]["instruments"] == ["BTC/USDT", "ETH/USDT"]
    assert set(feed.composition.failover.chains) == {"btcusdt"}


async def test_a_bridge_is_told_when_it_is_not_needed() -> None:
    """Pinned elsewhere with standby 0, a source is disconnected."""
    async with FakeBinance(SYMBOLS, price="100") as binance:
        with short_folder() as folder:
            options = {"binance": {"url": binance.url, "rest_url": binance.rest_url}}
            chosen = settings(
                sources="bridge:acme,binance", pairs=",".join(SYMBOLS), data_dir=folder, standby=0
            ).model_copy(update={"handler_options": options})
            async with (
                fed(chosen, load_sources(chosen)) as feed,
                Program(f"{folder}/bridge-acme.sock") as program,
            ):
                await program.subscribed()
                program.quote()
                await until(lambda: feed.state(NAME) == "live")
                feed.composition.loop.pin_to("binance")
                await until(lambda: program.ended)
                await until(lambda: feed.state(NAME) == "off")

    assert program.errors() == ["closing"]


async def _feed(program: Program) -> None:
    """Send data for ever; prices move, or another source would seem to be ahead."""
    number = 0
    while True:
        number += 1
        for symbol in SYMBOLS:
            program.quote(symbol, bid=f"100.{number % 9}", ask=f"101.{number % 9}")
            program.trade(symbol, price=f"100.{number % 9}")
        await asyncio.sleep(STALE_S / 10)


async def test_instruments_come_and_go_on_an_open_connection() -> None:
    """The bridge is asked for a new one alone, by the id in its list, and no longer for a removed one."""
    async with bridged(quiet_after=60) as (feed, address), Program(address) as program:
        await program.subscribed([*SYMBOLS, "xrpusdt"])
        await served(feed, program)
        asked = len(program.of("subscribe"))
        added = feed.composition.add([Chosen(pair("XRP-USDT"))])
        await until(lambda: len(program.of("subscribe")) > asked)
        program.quote("xrpusdt")
        program.trade("xrpusdt")
        await until(lambda: feed.serving("xrpusdt") == NAME)
        rules = dict(feed.composition.loop.sources[NAME].listing.rules)
        feed.composition.remove({"ethusdt"})
        await until(lambda: program.of("unsubscribe"))
        program.quote("ethusdt")
        await until(lambda: feed.composition.book.of(NAME).dropped["not_subscribed"])

    assert added == ["xrpusdt"]
    assert program.of("subscribe")[asked]["instruments"] == ["XRP/USDT"]
    assert program.of("unsubscribe")[0]["instruments"] == ["ETH/USDT"]
    assert rules["xrpusdt"] == Rules(tick="0.01")
    assert feed.composition.book.entry(NAME, "ethusdt") is None
    assert program.errors() == []
