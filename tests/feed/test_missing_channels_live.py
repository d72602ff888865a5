"""One channel without usable data while the others continue, on real sockets."""

from __future__ import annotations

import time

import pytest

from tests.fakes import FakeBinance, FakeOKX
from tests.feed.rig import STALE_S, SYMBOLS, running, two_venues
from tests.waiting import SCALE, until

ON_ONE_CHANNEL = [
    ("silent:trade", "no trades although it is traded"),
    ("same:trade", "no trades although it is traded"),
    ("broken:trade", "no trades although it is traded"),
    ("silent:top", "no top of book although it moves"),
    ("same:top", "no top of book although it moves"),
    ("broken:top", "no top of book although it moves"),
    ("silent:ticker", "no 24 h figures although it is traded"),
    ("same:ticker", "no 24 h figures although it is traded"),
]


@pytest.mark.parametrize(("fault", "reason"), ON_ONE_CHANNEL)
async def test_a_missing_channel_moves_the_instrument(
    fault: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is resubscribed, the instrument moves to the complete venue, and this is logged."""
    async with two_venues() as (binance, _okx, feed):
        await binance.fault(fault, "ethusdt")
        await until(lambda: feed.serving("ethusdt") == "okx", 15 * SCALE)
        await until(lambda: any("UNSUBSCRIBE" in request for request in binance.requests))
        lines = [record for record in caplog.records if record.message == "channel fell silent"]
        await binance.fault("none")
        await until(lambda: feed.serving("ethusdt") == "binance", 15 * SCALE)

        assert {change.symbol for change in feed.changes} == {"ethusdt"}
        assert feed.changes[0].reason == f"binance: {reason}"
        assert [(record.source, record.symbols) for record in lines] == [("binance", "ethusdt")]  # type: ignore[attr-defined]


async def test_an_incomplete_venue_without_alternative_continues() -> None:
    """Its prices continue, and the missing channel is shown until it resumes."""
    async with FakeOKX(SYMBOLS) as okx, running(okx) as feed:
        await until(lambda: feed.served() == {"okx"})
        watch = feed.composition.failover.watch
        feed.changes.clear()
        await okx.fault("silent:trade", "ethusdt")
        await until(lambda: watch.describe("okx", "ethusdt"), 15 * SCALE)
        why = feed.composition.failover.missing_at("okx", "ethusdt")
        await okx.fault("none")
        await until(lambda: not watch.missing)

        assert why == "okx: no trades although it is traded"
        assert feed.changes == []


@pytest.mark.parametrize("rate", [20.0, 2.0])
async def test_a_quiet_venue_misses_nothing(rate: float) -> None:
    """No channel of complete venues is missing, at any pace, even if nothing is traded."""
    async with (
        FakeBinance(SYMBOLS, rate=rate) as binance,
        FakeOKX(SYMBOLS, rate=20.0) as okx,
        running(binance, okx) as feed,
    ):
        await until(lambda: feed.served() == {"binance"})
        for venue in (binance, okx):
            venue.calm("xrpusdt")
        begun = time.monotonic()
        # Longer than `stale_after`, shorter than what may be called silence: 30 pauses of OKX are 6 s.
        await until(lambda: time.monotonic() - begun > STALE_S + 2)

        assert feed.composition.failover.watch.missing == {}
