"""Refusals and long requests on real sockets: nothing is permanent, and only the refused symbol is blamed."""

from __future__ import annotations

import logging
import time

import pytest

from crypto_stream.feed.handler import Budget, Listed
from crypto_stream.market.choices import Chosen
from crypto_stream.market.instruments import pair
from tests.fakes import FakeBinance, FakeBitget, FakeOKX
from tests.fakes.rate import Rate
from tests.feed.assembled import assembled, source_of
from tests.feed.rig import SYMBOLS, Feed, running
from tests.waiting import SCALE, until


def sentences(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.reason for record in caplog.records if hasattr(record, "reason")]


def given(feed: Feed, source: str) -> set[str]:
    return {symbol for symbol in SYMBOLS if feed.received(source, symbol)}


@pytest.mark.parametrize("fake", [FakeBinance, FakeOKX])
async def test_no_request_exceeds_the_limit(fake: type[FakeBinance]) -> None:
    """A hundred pairs are subscribed and unsubscribed in requests of at most 4,000 bytes."""
    symbols = [f"longname{number:03}usdt" for number in range(100)]
    async with fake(symbols, rate=1.0) as venue, running(venue, pairs=",".join(symbols)) as feed:
        await until(lambda: all(feed.received(venue.name, symbol) for symbol in symbols), 30 * SCALE)
        feed.composition.loop.sources[venue.name].resubscribe(symbols)
        await until(lambda: sum("nsub" in text.lower() for text in venue.requests) >= 2, 30 * SCALE)

        assert max(len(text.encode()) for text in venue.requests) <= 4000
        assert venue.violations == []


async def test_no_more_requests_than_the_venue_allows_in_a_while() -> None:
    """Whatever is to be renewed meanwhile is collected, and what is added goes before it."""
    fake, seconds = FakeBitget(SYMBOLS), 1.5 * SCALE
    fake._messages, fake._subscribes = Rate(3, seconds), Rate(3, seconds)
    allowed = {"requests": Budget(3, seconds * 1.1), "pace_s": 0.01}  # both measure at other places
    async with fake, assembled(source_of(fake, **allowed), pairs="btcusdt,ethusdt", stale_after=60) as feed:
        line = feed.composition.loop.sources["bitget"]
        await until(lambda: given(feed, "bitget") >= {"btcusdt", "ethusdt"})
        for _ in range(50):
            line.resubscribe(["btcusdt"])
            line.resubscribe(["ethusdt"])
        feed.composition.add([Chosen(pair("XRP-USDT"))])
        await until(lambda: feed.received("bitget", "xrpusdt"), 20 * SCALE)
        await until(lambda: _renewed(fake, "BTCUSDT") and _renewed(fake, "ETHUSDT"), 20 * SCALE)

        assert len(fake.requests) < 15
        assert len(fake.connects) == 1
        assert fake.violations == []


def _renewed(fake: FakeBitget, name: str) -> bool:
    return sum('"subscribe"' in text and name in text for text in fake.requests) > 1


@pytest.mark.parametrize("fault", ["echo-ack", "nameless-ack"])
@pytest.mark.parametrize("fake", [FakeBinance, FakeOKX])
async def test_a_request_refused_as_a_whole_is_halved(
    fake: type[FakeBinance], fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If a refusal names no symbol, the batch is halved until the culprit is found; others are subscribed."""
    async with fake(SYMBOLS) as venue:
        await venue.fault(fault, "ethusdt")
        async with running(venue) as feed:
            refused = feed.composition.loop.sources[venue.name]
            await until(lambda: given(feed, venue.name) == {"btcusdt", "xrpusdt"})
            await until(lambda: "ethusdt" in refused.refused)

            assert set(refused.refused) == {"ethusdt"}
            assert any("Invalid request" in reason for reason in sentences(caplog))


@pytest.mark.parametrize("fake", [FakeBinance, FakeOKX])
async def test_a_busy_venue_is_retried_soon(
    fake: type[FakeBinance], caplog: pytest.LogCaptureFixture
) -> None:
    """A temporarily refused request is repeated within seconds, and nothing is shown as refused."""
    async with fake(SYMBOLS) as venue:
        await venue.fault("busy-ack")
        async with running(venue, stale_after=60) as feed:
            await until(lambda: any("overloaded" in r or "frequent" in r for r in sentences(caplog)))
            refused = dict(feed.composition.loop.sources[venue.name].refused)
            await venue.fault("none")
            await until(lambda: given(feed, venue.name) == set(SYMBOLS))

            assert refused == {}
            assert len(venue.connects) == 1


@pytest.mark.parametrize("fake", [FakeBinance, FakeOKX])
async def test_a_refused_pair_is_requested_again(fake: type[FakeBinance]) -> None:
    """It is subscribed once the venue accepts it; until then the time of the next request is shown."""
    begun_ms = time.time() * 1000
    async with fake(SYMBOLS) as venue:
        await venue.fault("error-ack", "ethusdt")
        async with running(venue) as feed:
            line = feed.composition.loop.sources[venue.name]
            await until(lambda: "ethusdt" in line.refused)
            at_ms = line.status(time.monotonic_ns(), pin=None, serving=0).next_retry["ethusdt"]
            await venue.fault("none")
            await until(lambda: feed.received(venue.name, "ethusdt"), 40 + 10 * SCALE)

            assert begun_ms + 20_000 < at_ms <= time.time() * 1000 + 60_000
            assert line.refused == {}


async def test_a_newly_listed_pair_is_subscribed_at_once() -> None:
    """A pair that was not listed at the start is subscribed once it is listed, even if it was refused."""
    async with FakeBinance(["btcusdt", "ethusdt"]) as venue:
        await venue.fault("error-ack", "ethusdt")
        async with running(venue, pairs="btcusdt,ethusdt") as feed:
            line = feed.composition.loop.sources["binance"]
            await until(lambda: "ethusdt" in line.refused and line.listing.rules)
            line.listing._record("ethusdt", "not listed")
            await venue.fault("none")
            line.listing.update({f"{each}usdt": Listed(each, each, "USDT") for each in ("btc", "eth")})
            await until(lambda: feed.received("binance", "ethusdt"))

            assert line.refused == {}


async def test_every_refusal_is_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    """With the venue's own text, and not once for each half and channel."""
    async with FakeOKX(SYMBOLS) as venue:
        await venue.fault("error-ack", "ethusdt")
        async with running(venue) as feed:
            await until(lambda: "ethusdt" in feed.composition.loop.sources["okx"].refused)
            await until(lambda: given(feed, "okx") == {"btcusdt", "xrpusdt"})

    loud = [record for record in caplog.records if record.levelno >= logging.WARNING]
    said = [vars(record)["reason"] for record in loud if record.message == "subscription refused"]
    assert all("doesn't exist" in reason for reason in said)
    assert 1 <= len(said) <= 3
