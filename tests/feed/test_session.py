"""One connection on real sockets: pings, age, listings, and bugs of a handler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from crypto_stream.errors import MalformedFrame, VenueError
from crypto_stream.feed.connection import open_connection
from crypto_stream.feed.handler import Event, Instrument, Keepalive, Limits, Listed, Opening, Request, Trade
from crypto_stream.feed.sources import Generator, Rest, Source
from handlers import binance as binance_handler
from tests.fakes import FakeBinance, FakeOKX
from tests.feed.assembled import assembled, source_of
from tests.feed.raw import conversing, heard, upgrade
from tests.feed.rig import STALE_S, SYMBOLS
from tests.instruments import named
from tests.waiting import SCALE, until


async def test_text_ping_keeps_a_quiet_okx_connection() -> None:
    """A venue that cuts silent clients is pinged in its own format in time."""
    async with FakeOKX(SYMBOLS, rate=0, idle_s=0.6 * SCALE) as okx:
        source = source_of(okx, keepalive=Keepalive("ping", 0.2 * SCALE))
        async with assembled(source, sources="okx", stale_after=60) as feed:
            await until(lambda: okx.requests.count("ping") >= 8)

            assert len(okx.connects) == 1
            assert feed.composition.loop.sources["okx"].status(0, pin=None, serving=0).frames["pong"] >= 7


async def test_ping_frames_keep_a_quiet_connection() -> None:
    """Other venues get WebSocket pings, whose pongs keep the connection."""
    async with FakeBinance(SYMBOLS, rate=0) as binance:
        source = source_of(binance, keepalive=Keepalive(None, 0.2 * SCALE))
        async with assembled(source, sources="binance", stale_after=60):
            await until(lambda: any(len(client.arrivals) > 4 for client in binance.clients))

            assert len(binance.connects) == 1
            assert binance.violations == []


@pytest.mark.parametrize("words", ["ping", None])
async def test_an_unanswered_ping_ends_the_connection(words: str | None) -> None:
    """A peer that answers no ping within the same time again is abandoned, with that reason."""
    async with FakeOKX(SYMBOLS) as okx:
        source = source_of(okx, keepalive=Keepalive(words, 0.2 * SCALE))
        async with assembled(source, sources="okx", stale_after=60) as feed:
            await until(lambda: feed.serving() == "okx")
            await okx.fault("half-open")
            await until(lambda: feed.composition.loop.sources["okx"].failed)

            assert feed.changes[-1].reason == f"okx: no answer to a ping within {0.2 * SCALE:g} s"


async def test_a_venue_that_answers_no_ping_but_sends_frames_is_kept() -> None:
    """Only silence ends a connection."""
    frames: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        for _ in range(2):
            await heard(reader)  # a ping
            writer.write(Frame(Opcode.TEXT, b"data").serialize(mask=False))
        await heard(reader)
        writer.write(Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=False))
        await heard(reader)

    async with conversing(talk) as port, asyncio.TaskGroup() as tasks:
        opened = open_connection(
            f"ws://127.0.0.1:{port}",
            Opening("/"),
            Limits(keepalive=Keepalive(None, 0.1 * SCALE)),
            connect_s=5.0 * SCALE,
            sent=lambda request: None,
        )
        async with opened as connection:
            running = tasks.create_task(connection.run())
            with pytest.raises(VenueError, match="closed by the venue"):
                await connection.read(frames.extend)
            running.cancel()

    assert frames == [b"data", b"data"]


async def test_pings_of_the_venue_are_answered() -> None:
    """A venue that cuts clients without pongs has no reason to."""
    async with (
        FakeBinance(SYMBOLS, ping_s=0.4, pong_s=0.5) as binance,
        assembled(source_of(binance), sources="binance") as feed,
    ):
        begun = time.monotonic_ns()
        await until(lambda: feed.received("binance") > begun + 1.5 * SCALE * 1e9)

        assert binance.violations == []
        assert len(binance.connects) == 1


async def test_connection_is_replaced_before_its_age_without_a_gap() -> None:
    """At its maximum age a connection is replaced by one that is live already: no loss, no switch."""
    async with (
        FakeBinance(SYMBOLS) as binance,
        assembled(source_of(binance, max_age_s=0.8 * SCALE), sources="binance") as feed,
    ):
        await until(lambda: len(binance.connects) >= 3 and len(binance.clients) == 1)
        line = feed.composition.loop.sources["binance"]
        keys = [(event.symbol, event.channel, event.key) for _source, event in feed.events]

        assert [change.before for change in feed.changes] == [None] * len(feed.changes)
        assert not line.failed
        assert (line.reconnects, line.last_error) == (0, None)
        assert len(keys) == len(set(keys))


async def test_bug_in_one_handler_ends_its_own_source_only(caplog: pytest.LogCaptureFixture) -> None:
    """A parser with a bug affects only its own source, with the traceback in the log."""
    broken = True

    async with FakeBinance(SYMBOLS) as binance, FakeOKX(SYMBOLS) as okx:

        class Reader(binance_handler.Reader):
            def read(self, frame: bytes) -> list[Event]:
                if broken:
                    raise KeyError("a bug of this handler")
                return super().read(frame)

        async with assembled(source_of(binance, reader=Reader), source_of(okx)) as feed:
            await until(
                lambda: feed.served() == {"okx"} and feed.composition.loop.sources["binance"].reconnects
            )
            error = feed.composition.loop.sources["binance"].last_error
            traces = [record for record in caplog.records if record.exc_info]
            broken = False
            await until(lambda: feed.state("binance") == "live")

    assert feed.composition.loop.sources["okx"].reconnects == 0
    assert error is not None
    assert error.startswith("error in handler binance, see the log")
    assert traces
    assert "KeyError" in (traces[0].exc_text or str(traces[0].exc_info))


@pytest.mark.parametrize("part", ["opening", "subscribe", "unsubscribe"])
async def test_bug_in_requests_ends_its_own_source_only(part: str) -> None:
    """A handler that cannot create requests is a lost source, even if that happens later."""

    def fails(*_given: object) -> list[Request]:
        raise KeyError("a bug of this handler")

    reader = type("Reader", (binance_handler.Reader,), {part: fails})
    changed: dict[str, Any] = {"opening": fails} if part == "opening" else {"reader": reader}
    async with (
        FakeBinance(SYMBOLS) as binance,
        FakeOKX(SYMBOLS) as okx,
        assembled(source_of(binance, **changed), source_of(okx)) as feed,
    ):
        await until(lambda: feed.serving() == ("binance" if part == "unsubscribe" else "okx"))
        await binance.fault("freeze")
        await until(
            lambda: "bug of this handler" in (feed.composition.loop.sources["binance"].last_error or "")
        )
        await until(lambda: feed.served() == {"okx"})

        assert feed.state("okx") == "live"


@pytest.mark.parametrize("error", [MalformedFrame("odd list"), KeyError("bug"), OSError("no route")])
async def test_listing_that_fails_costs_nothing(error: Exception) -> None:
    """Invalid data from the REST interface, or a bug in reading it, affects no source."""

    async def instruments(_http: Any) -> list[Listed]:
        raise error

    async with (
        FakeBinance(SYMBOLS) as binance,
        assembled(source_of(binance, rest=Rest(binance.rest_url, instruments)), sources="binance") as feed,
    ):
        await until(lambda: feed.served() == {"binance"})
        begun = time.monotonic_ns()
        await until(lambda: feed.received("binance") > begun)

        assert feed.composition.loop.sources["binance"].refused == {}


def _own_loop(events: list[Trade], *, ends: bool) -> Source:
    """Create a source that runs its own loop: it yields `events`, then ends or fails."""

    async def run(_connection: Any, _instruments: Sequence[Instrument]) -> AsyncGenerator[Event]:
        for event in events:
            yield event
        if not ends:
            raise RuntimeError("a bug of this handler")

    carries = [Instrument("walk_1", None, None, synthetic=True)]
    return Generator(name="walk", location="here", events=run, carries=carries, synthetic=True)


@pytest.mark.parametrize(("ends", "reason"), [(True, "ended by itself"), (False, "a bug of this handler")])
async def test_own_loop_that_ends_is_restarted(ends: bool, reason: str) -> None:
    """A source that runs its own loop never remains ended: it is lost, with the reason, and restarted."""
    source = _own_loop([Trade(named("walk_1"), "walk", 1, None, "1", None)], ends=ends)
    async with assembled(source, pairs="btcusdt") as feed:
        line = feed.composition.loop.sources["walk"]
        await until(lambda: line.reconnects >= 2)

        assert reason in (line.last_error or "")
        assert line.state in ("lost", "connecting", "connected", "live")


async def test_silent_connection_is_resubscribed_then_abandoned() -> None:
    """Silence makes a source stale and it is resubscribed; after the same time again the connection ends."""
    async with FakeBinance(SYMBOLS) as binance, assembled(source_of(binance), sources="binance") as feed:
        await until(lambda: feed.serving() == "binance")
        await binance.fault("freeze")
        await until(lambda: feed.state("binance") == "stale")
        await until(lambda: sum("UNSUBSCRIBE" in text for text in binance.requests) >= 1)
        await until(lambda: len(binance.connects) >= 2)

        assert feed.changes[-1].reason == f"binance: no data for {STALE_S:g} s"
        assert feed.composition.loop.sources["binance"].last_error is not None


async def test_busy_instrument_distinguishes_quiet_from_silent() -> None:
    """A busy instrument is subscribed as well, so that quiet ones stay live; it is not published."""
    async with (
        FakeBinance(["btcusdt", "xrpusdt"]) as binance,
        assembled(source_of(binance), sources="binance", pairs="xrpusdt") as feed,
    ):
        await until(lambda: feed.serving("xrpusdt") == "binance")
        binance.calm("xrpusdt")
        begun = time.monotonic_ns()
        line = feed.composition.loop.sources["binance"]
        await until(lambda: time.monotonic_ns() - begun > 2.5 * STALE_S * 1e9)

        assert line.state == "live"
        assert not line.failed
        assert list(feed.composition.instruments) == ["xrpusdt"]
        assert list(feed.composition.failover.chains) == ["xrpusdt"]


@pytest.mark.parametrize("kind", [FakeBinance, FakeOKX])
async def test_a_refused_busy_pair_is_not_shown(
    kind: type[FakeBinance] | type[FakeOKX], caplog: pytest.LogCaptureFixture
) -> None:
    """It is subscribed only to detect silence."""
    async with kind(["ethusdt"]) as fake:
        await fake.fault("error-ack", "btcusdt")
        async with assembled(source_of(fake), sources=fake.name, pairs="ethusdt") as feed:
            line = feed.composition.loop.sources[fake.name]
            await until(lambda: feed.serving("ethusdt") == fake.name)
            await until(
                lambda: (session := line.of("btcusdt")._sessions.serving) and session._subscriptions.refused
            )

            assert line.refused == {}
            assert line.status(0, pin=None, serving=1).refused == {}
            assert not [record for record in caplog.records if "refused" in record.message]
