"""Failover on real sockets: what must cause a switch, what must not, and the failback."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from crypto_stream.backoff import Backoff
from crypto_stream.feed.handler import Event, InstrumentStatus
from handlers import binance as binance_handler
from tests.fakes import FakeBinance, FakeOKX
from tests.feed.assembled import assembled, source_of
from tests.feed.rig import STALE_S, SYMBOLS, running, two_venues
from tests.instruments import named
from tests.waiting import SCALE, until

MUST_SWITCH = [
    "refuse", "drop", "half-open", "freeze", "repeat", "close:1006", "close:1008", "close:1011", "close:1012",
    "close:4004", "http:418", "http:429", "http:451", "http:403", "http:503", "slow-handshake",
    "accept-and-close",
]  # fmt: skip
MUST_NOT_SWITCH = [
    "garbage", "wrong-types", "duplicates", "out-of-order", "late-ack", "no-ack", "unknown-events",
    "extra-fields", "burst", "none",
]  # fmt: skip


@pytest.mark.parametrize("fault", MUST_SWITCH)
async def test_fault_moves_everything_to_the_other_venue(fault: str) -> None:
    """If a venue is cut, closed, refusing or silent, every instrument moves to the standby once."""
    async with two_venues() as (binance, _okx, feed):
        await binance.fault(fault)
        await until(lambda: feed.served() == {"okx"})

        assert [(c.before, c.after) for c in feed.changes] == [("binance", "okx")] * len(SYMBOLS)
        assert all(change.reason.startswith("binance: ") for change in feed.changes)


@pytest.mark.parametrize("fault", MUST_NOT_SWITCH)
async def test_fault_of_frames_moves_nothing(fault: str) -> None:
    """Malformed frames, repeats, missing acknowledgements and bursts cost frames, never the connection."""
    async with two_venues() as (binance, _okx, feed):
        await binance.fault(fault)
        begun = time.monotonic_ns()
        await until(lambda: feed.received("binance") > begun + 3 * STALE_S * 1e9)

        assert feed.changes == []
        assert len(binance.connects) == 1
        assert binance.violations == []


@pytest.mark.parametrize("fault", ["late-ack", "no-ack", "wrong-types", "garbage"])
async def test_start_with_a_fault_of_frames(fault: str) -> None:
    """Malformed frames or missing acknowledgements from the very start do not exclude a venue."""
    async with FakeBinance(SYMBOLS) as binance:
        await binance.fault(fault)
        async with running(binance) as feed:
            await until(lambda: feed.served() == {"binance"})

            assert len(binance.connects) == 1


async def test_one_silent_symbol_moves_alone_and_comes_back() -> None:
    """A symbol that falls silent while it moves at the other venue is served from there; the others stay."""
    async with two_venues() as (binance, _okx, feed):
        await binance.fault("freeze-symbol", "ethusdt")
        await until(lambda: feed.serving("ethusdt") == "okx")
        next_retry = [
            request for request in binance.requests if "ethusdt" in request and "btcusdt" not in request
        ]
        await binance.fault("none")
        await until(lambda: feed.serving("ethusdt") == "binance")

        assert {change.symbol for change in feed.changes} == {"ethusdt"}
        assert len(feed.changes) == 2
        assert feed.serving("btcusdt") == "binance"
        assert next_retry or any("ethusdt" in request for request in list(binance.requests)[1:])


async def test_calm_pair_is_no_alarm() -> None:
    """A pair without activity anywhere stays where it is, and its source stays live."""
    async with two_venues() as (binance, okx, feed):
        binance.calm("xrpusdt")
        okx.calm("xrpusdt")
        begun = time.monotonic_ns()
        await until(lambda: feed.received("binance") > begun + 3 * STALE_S * 1e9)

        assert feed.changes == []
        assert feed.serving("xrpusdt") == "binance"


async def test_refused_symbol_moves_alone() -> None:
    """An error for one symbol affects only that symbol; it is found by halving its batch."""
    async with FakeBinance(SYMBOLS) as binance, FakeOKX(SYMBOLS) as okx:
        await binance.fault("error-ack", "ethusdt")
        async with running(binance, okx) as feed:
            await until(lambda: feed.serving("ethusdt") == "okx" and feed.serving("xrpusdt") == "binance")
            await until(lambda: feed.serving("btcusdt") == "binance")

            assert "ethusdt" in feed.composition.loop.sources["binance"].refused


async def test_announced_shutdown_moves_without_a_gap() -> None:
    """An announced shutdown causes no switch: the new connection is live first."""
    async with two_venues() as (binance, _okx, feed):
        await binance.fault(f"moving:{1.0 * SCALE:g}")
        await until(lambda: len(binance.connects) == 2 and len(binance.clients) == 1)
        begun = time.monotonic_ns()
        await until(lambda: feed.received("binance") > begun + STALE_S * 1e9)
        gaps = _gaps([event for event in feed.events if event[0] == "binance"])

        assert feed.changes == []
        assert not feed.composition.loop.sources["binance"].failed
        assert max(gaps) < STALE_S


async def test_back_to_the_better_venue_after_its_probation() -> None:
    """The better venue serves again after it was live for `failback_after`, not before."""
    async with two_venues() as (binance, _okx, feed):
        await binance.fault("drop")
        await until(lambda: feed.served() == {"okx"})
        await until(lambda: feed.state("binance") == "live")
        live_at = time.monotonic()
        await until(lambda: feed.served() == {"binance"})

        assert time.monotonic() - live_at >= 0.9 * SCALE
        assert len(feed.changes) == 2 * len(SYMBOLS)


async def test_pinned_source_alone_serves() -> None:
    """A pin is respected even if its source is lost; unpinned, the order of preference applies again."""
    async with two_venues() as (_binance, okx, feed):
        feed.composition.loop.pin_to("okx")
        await until(lambda: feed.served() == {"okx"})
        await okx.fault("refuse")
        await until(lambda: feed.served() == {None})
        reason = feed.composition.failover.reasons["btcusdt"]
        feed.composition.loop.pin_to(None)
        await until(lambda: feed.served() == {"binance"})

        assert reason.startswith("okx: ")


async def test_one_at_a_time_rotates() -> None:
    """With standby 0 one venue is connected at a time; each loss moves on to the next."""
    async with (
        FakeBinance(SYMBOLS) as binance,
        FakeOKX(SYMBOLS) as okx,
        running(binance, okx, standby=0) as feed,
    ):
        await until(lambda: feed.served() == {"binance"})
        assert not okx.connects
        await binance.fault("refuse")
        await until(lambda: feed.served() == {"okx"})
        await binance.fault("none")
        await okx.fault("refuse")
        await until(lambda: feed.served() == {"binance"})

        assert not okx.clients


async def test_one_at_a_time_rotates_with_the_shortest_delays() -> None:
    """With standby 0 every loss moves on to the next venue, even without any delay."""
    async with (
        FakeBinance(SYMBOLS) as binance,
        FakeOKX(SYMBOLS) as okx,
        running(binance, okx, standby=0) as feed,
    ):
        for line in feed.composition.loop.sources.values():
            line.of("btcusdt")._retry._backoff = Backoff(0.5, 60.0, lambda: 1e-9)
        served = []
        for venue in (binance, okx, binance, okx, binance):
            await until(lambda venue=venue: feed.served() == {venue.name}, 3 * SCALE)  # type: ignore[misc]
            begun = time.monotonic_ns()
            await until(lambda venue=venue, begun=begun: feed.received(venue.name) > begun + 1.2e9)  # type: ignore[misc]
            served.append(venue.name)
            venue.cut_all()

        losses = [change for change in feed.changes if change.after is None]

        assert served == ["binance", "okx", "binance", "okx", "binance"]
        assert losses
        assert all(f"{change.before}: connection cut" in change.reason for change in losses)


async def test_fifty_cuts_leave_one_connection_and_no_task_behind() -> None:
    """After fifty cuts there is one socket, the number of tasks is unchanged, and no event came twice."""
    async with FakeBinance(SYMBOLS) as binance, running(binance) as feed:
        await until(lambda: feed.served() == {"binance"})
        line = feed.composition.loop.sources["binance"]
        tasks = len(asyncio.all_tasks())
        for _ in range(50):
            cut_at, connects = time.monotonic_ns(), len(binance.connects)
            line.of("btcusdt")._retry._backoff.reset()
            binance.cut_all()
            await until(lambda cut=cut_at: feed.received("binance") > cut and line.state == "live")  # type: ignore[misc]
            assert len(binance.connects) > connects
        await until(lambda: len(binance.clients) == 1)
        keys = [(event.symbol, event.channel, event.key) for _source, event in feed.events]

        assert len(asyncio.all_tasks()) <= tasks + 2
        assert len(keys) == len(set(keys))


async def test_repeated_hang_ups_cause_no_storm() -> None:
    """A venue that accepts and closes at once is retried with growing delays, within its connect budget."""
    async with FakeBinance(SYMBOLS) as binance:
        await binance.fault("accept-and-close")
        async with running(binance):
            await asyncio.sleep(2.0)

            assert 1 <= len(binance.connects) <= 12


async def test_ban_is_respected_and_stored() -> None:
    """HTTP 418 with Retry-After stops all attempts until its end, which is passed on to be stored."""
    async with FakeBinance(SYMBOLS) as binance:
        await binance.fault("http:418,600")
        async with running(binance) as feed:
            await until(lambda: "binance" in feed.bans)
            attempts = len(binance.connects)
            await asyncio.sleep(1.5)

            assert len(binance.connects) == attempts == 1
            assert 590_000 < feed.bans["binance"] - time.time() * 1000 <= 600_000
            assert "418" in (feed.composition.loop.sources["binance"].reason or "")


async def test_not_available_here_tries_the_next_host() -> None:
    """After HTTP 451 the next host of the venue is tried at once."""
    async with FakeBinance(SYMBOLS) as barred, FakeBinance(SYMBOLS) as other:
        await barred.fault("http:451")
        async with running(_with_hosts(barred, other)) as feed:
            await until(lambda: feed.served() == {"binance"})

            assert len(barred.connects) == 1
            assert len(other.connects) == 1


async def test_hundreds_of_symbols_are_subscribed_within_the_message_limit() -> None:
    """300 symbols are subscribed within the message limit, also after a cut."""
    symbols = [f"c{number:03}usdt" for number in range(300)]
    async with FakeBinance(symbols, rate=1.0) as binance, running(binance, pairs=",".join(symbols)) as feed:
        await until(lambda: feed.served() == {"binance"})
        binance.cut_all()
        await until(lambda: len(binance.connects) == 2)
        again_at = time.monotonic_ns()
        await until(
            lambda: min(feed.received("binance", symbol) for symbol in symbols) > again_at, 30 * SCALE
        )

        assert binance.violations == []
        assert len(binance.connects) == 2


async def test_unlisted_symbols_are_shown_and_the_rest_runs() -> None:
    """Symbols that a venue does not list, or has halted, are shown; the others are served."""
    async with FakeBinance(["btcusdt", "ethusdt"]) as binance:
        binance.states["ethusdt"] = "BREAK"
        async with running(binance, pairs="btcusdt,ethusdt,goneusdt") as feed:
            await until(lambda: len(feed.composition.loop.sources["binance"].refused) == 2)
            refused = dict(feed.composition.loop.sources["binance"].refused)
            await until(lambda: feed.serving("btcusdt") == "binance")

            assert refused == {"ethusdt": "listed, but BREAK", "goneusdt": "not listed"}


@pytest.mark.parametrize("word", ["BREAK", "HALT", "AUCTION_MATCH", "CANCEL_ONLY"])
async def test_a_pair_halted_in_the_list_is_served_by_another(word: str) -> None:
    """Frames continue, but the list says that the pair does not trade: the other venue serves."""
    async with FakeBinance(["btcusdt", "ethusdt"]) as binance, FakeOKX(["btcusdt", "ethusdt"]) as okx:
        binance.states["ethusdt"] = word
        async with running(binance, okx, pairs="btcusdt,ethusdt") as feed:
            await until(lambda: feed.serving("ethusdt") == "okx" and feed.serving("btcusdt") == "binance")
            await until(lambda: feed.received("binance", "ethusdt"))
            refused = dict(feed.composition.loop.sources["binance"].refused)
            await okx.fault("refuse")
            await until(lambda: feed.serving("ethusdt") is None)

            assert refused == {"ethusdt": f"listed, but {word}"}
            assert f"binance: listed, but {word}" in feed.composition.failover.reasons["ethusdt"]
            assert feed.composition.failover.halted_source == {"ethusdt": "binance"}
            assert feed.serving("btcusdt") == "binance"


async def test_a_pair_halted_by_a_frame_is_served_by_another_until_it_trades() -> None:
    """The venue's word is shown in /sources as one from its list would be."""
    async with FakeBinance(["btcusdt"]) as binance, FakeOKX(["btcusdt"]) as okx:
        words: list[str] = []

        class Reader(binance_handler.Reader):
            def read(self, frame: bytes) -> list[Event]:
                said = [InstrumentStatus(named("btcusdt"), words.pop()) for _ in words[:1]]
                return [*said, *super().read(frame)]

        async with assembled(source_of(binance, reader=Reader), source_of(okx), pairs="btcusdt") as feed:
            line = feed.composition.loop.sources["binance"]
            await until(lambda: feed.serving() == "binance" and feed.received("okx") and line.listing.rules)
            words.append("HALT")
            await until(lambda: feed.serving() == "okx")
            refused = dict(line.refused)
            words.append("")
            await until(lambda: feed.serving() == "binance")

            assert refused == {"btcusdt": "HALT"}
            assert line.refused == {}


def _with_hosts(first: FakeBinance, second: FakeBinance) -> FakeBinance:
    """Give the first fake both addresses."""

    class Hosts(FakeBinance):
        url = f"{first.url},{second.url}"
        rest_url = first.rest_url

    return Hosts([])


def _gaps(events: list[tuple[str, object]]) -> list[float]:
    times = [getattr(event, "time", None) for _source, event in events]
    known = [moment for moment in times if moment is not None]
    return [(after - before) / 1000 for before, after in itertools.pairwise(known)]
