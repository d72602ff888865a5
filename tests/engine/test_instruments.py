"""Instruments that are added and removed while a real engine runs on fake venues."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crypto_stream.bus.messages import (
    ChangedInstruments,
    ChangeInstruments,
    GetHistory,
    GetSparks,
    GetTopic,
    HistoryPage,
    InstrumentsChanged,
    RulesChanged,
    Sparks,
    TopicUpdate,
    Watch,
)
from crypto_stream.errors import RefusedError
from crypto_stream.market.status import SourceStatus
from tests.engine.process import Engine, running
from tests.fakes import FakeBinance, FakeOKX, FakeVenue
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(60 * SCALE)

LISTED = ("btcusdt", "ethusdt", "xrpusdt", "solusdt", "adausdt", "solbtc")


@asynccontextmanager
async def engine_on(folder: Path, *fakes: FakeVenue, **given: Any) -> AsyncIterator[Engine]:
    """Run an engine on the fakes, the first one preferred."""
    options = {fake.name: {"url": fake.url, "rest_url": fake.rest_url} for fake in fakes}
    sources = ",".join([*(fake.name for fake in fakes), "synthetic"])
    async with running(folder, options, **{"sources": sources, "standby": "all", **given}) as engine:
        yield engine


async def change(
    engine: Engine, *, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()
) -> ChangedInstruments:
    """Change the instruments as a gateway does."""
    answer = await engine.request(ChangeInstruments(list(add), list(remove)))
    return msgspec.msgpack.decode(answer, type=ChangedInstruments)


def present(engine: Engine) -> list[str]:
    """Return the real pairs that a gateway knows by now."""
    known = [one.symbol for one in engine.snapshot.instruments if not one.synthetic]
    for message in engine.all(InstrumentsChanged):
        known = [symbol for symbol in known if symbol not in message.removed]
        known += [one.symbol for one in message.added]
    return known


def status(engine: Engine, name: str) -> SourceStatus:
    """Return the newest status of a source."""
    return next(each for each in engine.beats[-1].sources if each.name == name)


async def test_an_added_pair_is_served_and_a_removed_one_is_gone(tmp_path: Path) -> None:
    """Quotes, rules, bars and topics begin and end with it; the venues are asked for it alone."""
    async with (
        FakeBinance(LISTED) as binance,
        FakeOKX(LISTED) as okx,
        engine_on(tmp_path, binance, okx, pairs="btcusdt,ethusdt") as engine,
    ):
        await until(lambda: engine.serving("binance"))
        asked = len(binance.requests)
        added = await change(engine, add=("SOL-USDT",))
        await until(lambda: engine.serving("binance", "solusdt"))
        await until(lambda: any("solusdt" in each.rules for each in engine.all(RulesChanged)))
        subscribed = list(binance.requests)[asked:]
        page = msgspec.msgpack.decode(
            await engine.request(GetHistory("solusdt", interval="1s")), type=HistoryPage
        )
        await engine.request(Watch({"venues": ["solusdt"], "best": ["btcusdt"]}))
        await until(lambda: any(each.key == "solusdt" for each in engine.all(TopicUpdate)))
        removed = await change(engine, remove=("SOLUSDT",))
        last = len(engine.received)
        await until(lambda: any("solusdt" in text for text in binance.requests if "UNSUBSCRIBE" in text))
        await until(lambda: sum(isinstance(each, TopicUpdate) for each in engine.received[last:]) > 2)
        sparks = msgspec.msgpack.decode(await engine.request(GetSparks()), type=Sparks)
        for request in (GetHistory("solusdt"), GetTopic("best", "solusdt")):
            with pytest.raises(RefusedError, match="solusdt"):
                await engine.request(request)

        assert (added.added, removed.removed) == (["solusdt"], ["solusdt"])
        assert len(subscribed) == 1
        assert "solusdt@bookTicker" in subscribed[0]
        assert "btcusdt" not in subscribed[0]
        assert page.symbol == "solusdt"
        assert present(engine) == ["btcusdt", "ethusdt"]
        after = [
            quote.symbol for each in engine.received[last + 1 :] for quote in getattr(each, "quotes", ())
        ]
        assert "solusdt" not in after
        assert "solusdt" not in sparks.sparks
        assert engine.serving("binance", "ethusdt")


async def test_patterns_follow_the_lists_and_what_a_venue_lacks_is_carried_by_others(tmp_path: Path) -> None:
    """Each venue is asked only for what it lists."""
    async with (
        FakeBinance(["btcusdt", "solusdt"]) as binance,
        FakeOKX(["btcusdt", "ethusdt", "solbtc"]) as okx,
        engine_on(tmp_path, binance, okx, pairs="*-usdt") as engine,
    ):
        await until(lambda: set(present(engine)) == {"btcusdt", "solusdt", "ethusdt"})
        await until(lambda: engine.serving("binance", "solusdt") and engine.serving("okx", "ethusdt"))
        await until(lambda: engine.beats)
        carried = {name: status(engine, name).carries for name in ("binance", "okx")}
        refused = status(engine, "binance").refused

        assert carried == {"binance": 2, "okx": 2}
        assert refused == {}
        assert not any("ethusdt" in text for text in binance.requests)


async def test_the_default_are_the_largest_once_a_list_tells_them(tmp_path: Path) -> None:
    """Of the three that stand in, those that are not among the largest leave. A restart keeps them."""
    listed = [f"c{number}usdt" for number in range(30)]
    async with FakeBinance(["btcusdt", *listed], price="7") as binance:
        binance.tells_volumes = True
        binance.walks["btcusdt"].volume += 1_000_000
        async with engine_on(tmp_path, binance) as engine:
            await until(lambda: len(present(engine)) == 20)
            chosen = present(engine)
            await until(lambda: all(engine.serving("binance", symbol) for symbol in chosen))
            await engine.stop()
        await binance.unlisten()
        async with engine_on(tmp_path, binance) as engine:
            again = [one.symbol for one in engine.snapshot.instruments if not one.synthetic]

    assert "btcusdt" in chosen
    assert not {"ethusdt", "xrpusdt"} & set(chosen)
    assert sorted(again) == sorted(chosen)


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, ["btcusdt", "ethusdt", "xrpusdt"]), ({"pairs": "*-usdt,top:5"}, [])],
)
async def test_without_network_nothing_is_invented(
    tmp_path: Path, given: dict[str, str], expected: list[str]
) -> None:
    """The default stays at three pairs without a price, a pattern chooses nothing; synthetic ones live."""
    async with FakeBinance(LISTED) as binance:
        pass
    async with engine_on(tmp_path, binance, **given) as engine:
        await until(lambda: engine.serving("synthetic", "ticker_00"))

        assert present(engine) == expected
        assert all(quote.price is None for quote in engine.snapshot.quotes if not quote.synthetic)


async def test_what_requests_changed_is_kept_over_a_restart(tmp_path: Path) -> None:
    """Added pairs come back without network, removed ones do not, although the setting names them."""
    given = {"pairs": "btcusdt,ethusdt"}
    async with FakeBinance(LISTED) as binance:
        async with engine_on(tmp_path, binance, **given) as engine:
            await until(lambda: engine.serving("binance"))
            await change(engine, add=("solusdt",), remove=("ethusdt",))
            await until(lambda: engine.serving("binance", "solusdt"))
            await engine.stop()
        await binance.unlisten()
        async with engine_on(tmp_path, binance, **given) as engine:
            second = present(engine)
            await engine.stop()
        async with engine_on(tmp_path, binance, pairs="xrpusdt,ethusdt") as engine:
            third = present(engine)

    assert second == ["btcusdt", "solusdt"]
    assert third == ["xrpusdt", "ethusdt", "solusdt"]


async def test_bars_go_on_after_a_removal_with_a_gap(tmp_path: Path) -> None:
    """The history remains stored: added again, the pair has its bars and a gap that says why."""
    async with (
        FakeBinance(LISTED, rate=40) as binance,
        engine_on(tmp_path, binance, pairs="btcusdt,ethusdt") as engine,
    ):
        await until(lambda: engine.serving("binance", "ethusdt"))
        before = await _page(engine, "ethusdt")
        while not [bar for bar in before.bars if bar.source == "binance" and bar.closed]:
            before = await _page(engine, "ethusdt")
        await change(engine, remove=("ethusdt",))
        await change(engine, add=("ethusdt",))
        await until(lambda: engine.serving("binance", "ethusdt"))
        after = await _page(engine, "ethusdt")
        while not after.gaps or after.gaps[-1].to is None:
            after = await _page(engine, "ethusdt")

    closed = [bar.time for bar in before.bars if bar.closed]
    assert set(closed) <= {bar.time for bar in after.bars}
    assert after.gaps[-1].reason == "the instrument was not among the configured ones"


@pytest.mark.parametrize(
    ("add", "remove", "code"),
    [
        (("doge-usdt",), (), "unknown_instrument"),
        (("*-doge",), (), "unknown_instrument"),
        (("top:5",), (), "no_list"),
        (("b%",), (), "bad_parameter"),
        (("solusdt",), ("nothing",), "unknown_instrument"),
        (("solusdt",), ("ticker_00",), "bad_parameter"),
    ],
)
async def test_a_change_that_is_impossible_in_part_changes_nothing(
    tmp_path: Path, add: tuple[str, ...], remove: tuple[str, ...], code: str
) -> None:
    """It is refused with a sentence."""
    async with FakeBinance(LISTED) as binance, engine_on(tmp_path, binance, pairs="btcusdt") as engine:
        await until(lambda: engine.serving("binance"))
        with pytest.raises(RefusedError) as refused:
            await change(engine, add=add, remove=remove)

        assert refused.value.code == code
        assert present(engine) == ["btcusdt"]


async def _page(engine: Engine, symbol: str) -> HistoryPage:
    answer = await engine.request(GetHistory(symbol, interval="1s", limit=5000))
    return msgspec.msgpack.decode(answer, type=HistoryPage)
