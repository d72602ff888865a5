"""The engine as a process of its own, over the real bus, fed by fake venues."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crypto_stream.bus.messages import GetTopic, Pin, TopicUpdate, Watch, Watched
from crypto_stream.errors import RefusedError
from crypto_stream.market.quotes import Quote
from crypto_stream.market.status import Venues
from tests.engine.process import Engine, running, start
from tests.fakes import FakeBinance, FakeOKX
from tests.waiting import DEADLINE_S, SCALE, until

SYMBOLS = ("btcusdt", "ethusdt")


@asynccontextmanager
async def engine_on(folder: Path, binance: FakeBinance, okx: FakeOKX, **given: Any) -> AsyncIterator[Engine]:
    """Run an engine on two fake venues, the first one preferred, beside the synthetic source."""
    options = {fake.name: {"url": fake.url, "rest_url": fake.rest_url} for fake in (binance, okx)}
    quick = {"stale_after": 1.0 * SCALE, "failback_after": 1.0 * SCALE, "pairs": ",".join(SYMBOLS)}
    async with running(folder, options, **quick, sources="binance,okx,synthetic", **given) as engine:
        await until(lambda: all(engine.serving("binance", symbol) for symbol in SYMBOLS))
        await until(
            lambda: engine.beats and all(_states(engine)[name] == "live" for name in ("binance", "okx"))
        )
        yield engine


def _states(engine: Engine) -> dict[str, str]:
    return {status.name: status.state for status in engine.beats[-1].sources}


async def test_engine_tells_a_gateway_everything(tmp_path: Path) -> None:
    """Snapshot first, then quotes whose numbers only grow, a beat each second; SIGTERM ends it with 0."""
    async with (
        FakeBinance(SYMBOLS) as binance,
        FakeOKX(SYMBOLS) as okx,
        engine_on(tmp_path, binance, okx) as engine,
    ):
        await until(lambda: len(engine.beats) >= 3 and len(engine.quotes) > 50)
        status = await engine.stop()
        snapshot, quotes = engine.snapshot, engine.quotes

        assert status == 0
        assert not (tmp_path / "bus").exists()
        assert [each.symbol for each in snapshot.instruments][:3] == ["btcusdt", "ethusdt", "ticker_00"]
        assert len(snapshot.quotes) == len(snapshot.instruments) == 105
        numbers = [max(quote.seq for quote in snapshot.quotes), *(quote.seq for quote in quotes)]
        assert numbers[0] == snapshot.seq
        assert numbers == sorted(set(numbers))
        assert all(status.name in ("binance", "okx", "synthetic") for status in snapshot.sources)
        assert all(quote.synthetic == (quote.source == "synthetic") for quote in quotes if quote.source)
        gaps = [
            after.time - before.time for before, after in zip(engine.beats, engine.beats[1:], strict=False)
        ]
        assert max(gaps) < 5000 * SCALE


async def test_venues_are_answered_and_watched(tmp_path: Path) -> None:
    """Asked for, every source's own quote comes with the best of them; watched, it comes at each change."""
    async with (
        FakeBinance(SYMBOLS) as binance,
        FakeOKX(SYMBOLS) as okx,
        engine_on(tmp_path, binance, okx) as engine,
    ):
        venues = msgspec.msgpack.decode(await engine.request(GetTopic("venues", "btcusdt")), type=Venues)
        before = engine.all(TopicUpdate)
        answer = await engine.request(Watch({"venues": ["ethusdt", "goneusdt"], "weather": ["btcusdt"]}))
        told = msgspec.msgpack.decode(answer, type=Watched)
        await until(lambda: len(engine.all(TopicUpdate)) >= 2)
        watched = {(message.topic, message.key) for message in engine.all(TopicUpdate)}
        await engine.request(Watch({}))
        rows = {row.source: row for row in venues.sources}

        assert list(rows) == ["binance", "okx"]
        assert (venues.serving, venues.stale, venues.reason) == ("binance", False, None)
        assert rows["binance"].serving
        assert not rows["okx"].serving
        assert not any(row.stale for row in rows.values())
        assert venues.best_bid == max((row.bid or "" for row in rows.values()), key=float)
        assert venues.best_ask == min((row.ask or "" for row in rows.values()), key=float)
        assert rows["okx"].bid != rows["binance"].bid
        assert before == []
        assert [(each.topic, each.key) for each in told.now] == [("venues", "ethusdt")]
        assert told.unknown == [("venues", "goneusdt"), ("weather", "btcusdt")]
        assert watched == {("venues", "ethusdt")}


async def test_refusals_name_what_is_wrong(tmp_path: Path) -> None:
    """Unknown symbols and sources are refused with a stable code; nothing changes."""
    async with (
        FakeBinance(SYMBOLS) as binance,
        FakeOKX(SYMBOLS) as okx,
        engine_on(tmp_path, binance, okx) as engine,
    ):
        for ask, code in (
            (GetTopic("venues", "goneusdt"), "unknown_key"),
            (GetTopic("weather", "btcusdt"), "unknown_key"),
            (Pin("nowhere"), "unknown_source"),
        ):
            with pytest.raises(RefusedError) as refusal:
                await engine.request(ask)

            assert refusal.value.code == code
        assert engine.beats[-1].pin is None


async def test_pin_is_obeyed_and_survives_a_restart(tmp_path: Path) -> None:
    """A pin switches at once, holds in the next run, and `auto` undoes it; the numbers go on."""
    async with FakeBinance(SYMBOLS) as binance, FakeOKX(SYMBOLS) as okx:
        async with engine_on(tmp_path, binance, okx) as engine:
            await engine.request(Pin("okx"))
            await until(lambda: engine.serving("okx"))
            first, last_seq = engine.snapshot, engine.quotes[-1].seq
            switches = engine.switches
            status = await engine.stop()
        options = {fake.name: {"url": fake.url, "rest_url": fake.rest_url} for fake in (binance, okx)}
        async with running(
            tmp_path, options, sources="binance,okx,synthetic", pairs=",".join(SYMBOLS)
        ) as again:
            await until(lambda: again.serving("okx") and again.serving("synthetic", "ticker_00"))
            pinned = again.snapshot.pin
            second = again.snapshot
            served = {quote.source for quote in again.quotes if not quote.stale}
            await again.request(Pin("auto"))
            await until(lambda: again.serving("binance"))

    assert status == 0
    assert ("binance", "okx") in switches
    assert pinned == "okx"
    assert "binance" not in served
    assert first.epoch == second.epoch
    assert first.run != second.run
    assert last_seq < min(quote.seq for quote in second.quotes)


async def test_lost_venue_is_replaced_on_the_bus(tmp_path: Path) -> None:
    """A venue that goes is replaced in the quotes, with word of the switch, and no quote is half of each."""
    async with (
        FakeBinance(SYMBOLS) as binance,
        FakeOKX(SYMBOLS) as okx,
        engine_on(tmp_path, binance, okx) as engine,
    ):
        await binance.fault("refuse")
        await until(lambda: engine.serving("okx", "btcusdt") and engine.serving("okx", "ethusdt"))
        await until(lambda: _states(engine)["binance"] == "lost")
        status = next(status for status in engine.beats[-1].sources if status.name == "binance")

        assert set(engine.switches) >= {("binance", "okx")}
        assert status.serving == 0
        assert status.reason
        assert status.retry_at


async def test_nothing_reachable_leaves_synthetic_instruments_running(tmp_path: Path) -> None:
    """Offline, real pairs are stale without a price and say why, and synthetic ones go on."""
    async with FakeBinance(SYMBOLS) as gone:
        options = {"binance": {"url": gone.url, "rest_url": gone.rest_url}}
    async with running(tmp_path, options, sources="binance,synthetic", pairs="btcusdt") as engine:
        await until(lambda: engine.serving("synthetic", "ticker_00"))
        await until(lambda: engine.beats and _states(engine)["binance"] == "lost")
        (quote,) = [quote for quote in engine.snapshot.quotes if quote.symbol == "btcusdt"]

        assert (quote.stale, quote.price, quote.source) == (True, None, None)
        assert engine.snapshot.reasons["btcusdt"]


async def test_second_engine_on_the_data_directory_is_refused(tmp_path: Path) -> None:
    """A second engine ends at once with one line that names the first one's process; the first goes on."""
    async with running(tmp_path, {}, sources="synthetic") as engine:
        second = await asyncio.create_subprocess_exec(
            *start(tmp_path, {}, sources="synthetic"), stderr=asyncio.subprocess.PIPE
        )
        _, said = await asyncio.wait_for(second.communicate(), DEADLINE_S)
        beats = len(engine.beats)
        await until(lambda: len(engine.beats) > beats)

    assert second.returncode == 1
    assert f"is in use by another engine (pid {engine.process.pid})" in said.decode()
    assert "Traceback" not in said.decode()


async def test_a_pair_that_no_venue_trades_is_shown_stale_with_the_venues_word(tmp_path: Path) -> None:
    """What is shown follows the halted venue's frames; list, quote and reason say the same."""
    async with FakeBinance(SYMBOLS) as binance:
        binance.states["ethusdt"] = "BREAK"
        options = {"binance": {"url": binance.url, "rest_url": binance.rest_url}}
        async with running(tmp_path, options, sources="binance", pairs=",".join(SYMBOLS)) as engine:
            await until(lambda: engine.serving("binance", "btcusdt"))
            await until(lambda: engine.beats and engine.beats[-1].sources[0].refused)
            await until(lambda: any(one.stale and one.price for one in _of(engine, "ethusdt")[-1:]))
            seen = len(_of(engine, "ethusdt"))
            await until(lambda: len(_of(engine, "ethusdt")) > seen + 20)
            quotes = _of(engine, "ethusdt")[seen:]
            answer = await engine.request(GetTopic("venues", "ethusdt"))
            venues = msgspec.msgpack.decode(answer, type=Venues)

    assert all(quote.stale and quote.source == "binance" for quote in quotes)
    assert len({quote.bid for quote in quotes}) > 1
    assert venues.reason == "binance: listed, but BREAK"
    assert [(row.stale, row.reason) for row in venues.sources] == [(True, "listed, but BREAK")]
    assert venues.best_bid is None
    assert engine.beats[-1].sources[0].refused == {"ethusdt": "listed, but BREAK"}


def _of(engine: Engine, symbol: str) -> list[Quote]:
    return [quote for quote in engine.quotes if quote.symbol == symbol]
