"""Putting the feed together: which instruments there are, and whose they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.engine.composition import Composition
from crypto_stream.errors import SettingError
from crypto_stream.feed.handler import Limits
from crypto_stream.feed.loading import load_source, load_sources
from crypto_stream.feed.sources import Source
from crypto_stream.market.choices import Chosen
from crypto_stream.market.instruments import Instrument, is_synthetic, pair
from crypto_stream.settings import load
from tests.feed.assembled import recording

TRADE = '{"stream":"%s@aggTrade","data":{"e":"aggTrade","E":1,"s":"%s","a":1,"p":"1","q":"1","T":1}}'


def assembled(
    *sources: Source, pin: str | None = None, bans: dict[str, int] | None = None, **given: Any
) -> Composition:
    """Put together what the settings say; nothing runs."""
    chosen = load(given)
    remembered: dict[str, int] = {}
    return Composition(
        chosen,
        sources or load_sources(chosen),
        pin=pin,
        bans=bans or {},
        remember_ban=remembered.__setitem__,
    )


def test_chains_follow_the_order_of_the_sources() -> None:
    """Real pairs have the venues in the order of the settings, synthetic instruments their own source."""
    composition = assembled(sources="okx,synthetic,binance", pairs="BTC-USDT,ethbtc")
    chains = composition.failover.chains

    assert list(composition.instruments)[:3] == ["btcusdt", "ethbtc", "ticker_00"]
    assert chains["btcusdt"] == chains["ethbtc"] == ("okx", "binance")
    assert chains["ticker_99"] == chains["eurusd"] == ("synthetic",)
    assert len(chains) == len(composition.instruments) == 2 + 103
    assert list(composition.loop.sources) == ["okx", "synthetic", "binance"]


def test_one_pair_in_two_spellings_is_one() -> None:
    """The first spelling of a pair wins."""
    assert list(assembled(sources="binance", pairs="BTC-USDT,btc/usdt,btcusdt").instruments) == ["btcusdt"]


@pytest.mark.parametrize("text", ["b%c", "ticker_00", "eurusd", "x" * 41])
def test_wrong_pairs_are_one_line(text: str) -> None:
    """A pair that is none, or is synthetic, is a wrong setting that shows it."""
    with pytest.raises(SettingError, match=r"^pairs: "):
        assembled(sources="binance,synthetic", pairs=text)


def test_more_pairs_than_a_venue_carries_are_refused() -> None:
    """A venue that says how many instruments fit on its connection is not asked for more."""
    source = msgspec.structs.replace(load_source("binance", None, {}), limits=Limits(instruments=2))

    assert assembled(source, pairs="btcusdt,ethusdt").failover.chains
    with pytest.raises(SettingError, match="3 are too many: binance carries 2"):
        assembled(source, pairs="btcusdt,ethusdt,xrpusdt")


def test_what_one_venue_has_no_room_for_is_carried_by_others(caplog: pytest.LogCaptureFixture) -> None:
    """The first pairs, as they were written, stay with the preferred venue; the rest is said to be left."""
    binance = msgspec.structs.replace(load_source("binance", None, {}), limits=Limits(instruments=2))
    okx = load_source("okx", None, {})
    composition = assembled(binance, okx, sources="binance,okx", pairs="btcusdt,ethusdt,xrpusdt,adausdt")
    status = composition.loop.sources["binance"].status(0, pin=None, serving=0)
    (said,) = [record for record in caplog.records if "more pairs than a venue can carry" in record.message]

    assert composition.failover.chains == {
        "btcusdt": ("binance", "okx"),
        "ethusdt": ("binance", "okx"),
        "xrpusdt": ("okx",),
        "adausdt": ("okx",),
    }
    assert (status.carries, status.left_out) == (2, ["xrpusdt", "adausdt"])
    assert (vars(said)["source"], vars(said)["symbols"]) == ("binance", "xrpusdt,adausdt")


def test_venues_of_little_room_share_what_there_is() -> None:
    """What nobody carries yet comes first; only what none has room for is too much."""
    one = msgspec.structs.replace(load_source("binance", None, {}), limits=Limits(instruments=2))
    two = msgspec.structs.replace(load_source("okx", None, {}), limits=Limits(instruments=2))
    composition = assembled(one, two, sources="binance,okx", pairs="btcusdt,ethusdt,xrpusdt")

    assert composition.failover.chains == {
        "btcusdt": ("binance", "okx"), "ethusdt": ("binance",), "xrpusdt": ("okx",),
    }  # fmt: skip
    with pytest.raises(SettingError, match="5 are too many: binance carries 2, okx carries 2"):
        assembled(one, two, sources="binance,okx", pairs="btcusdt,ethusdt,xrpusdt,adausdt,dotusdt")


def test_recording_alone_brings_its_own_instruments(tmp_path: Path) -> None:
    """Without a venue and without named pairs there are the recording's instruments, and no default pair."""
    file = recording(
        tmp_path / "f", [(None, TRADE % (name.lower(), name)) for name in ("DOTUSDT", "EURUSD", "ETHBTC")]
    )
    composition = assembled(sources=f"replay:binance:{file},synthetic")

    assert list(composition.instruments)[:2] == ["dotusdt", "ethbtc"]
    assert composition.failover.chains["dotusdt"] == ("replay:binance",)
    assert composition.failover.chains["eurusd"] == ("synthetic",)
    assert composition.instruments["eurusd"].synthetic
    assert "btcusdt" not in composition.instruments


def test_real_and_synthetic_never_share_a_symbol() -> None:
    """A symbol that one source carries as real and another as synthetic is refused."""
    btc = Instrument("btcusdt", None, None, synthetic=True)
    walk = Source(name="walk", location="here", carries=[btc], synthetic=True)

    with pytest.raises(SettingError, match="btcusdt is real for one source and synthetic for walk"):
        assembled(load_source("binance", None, {}), walk, pairs="btcusdt")


def test_pin_of_a_source_that_is_gone_is_ignored() -> None:
    """A remembered pin of a source that is not configured any more pins nothing."""
    assert assembled(sources="binance", pin="okx").loop.pin is None
    assert assembled(sources="binance,okx", pin="okx").loop.pin == "okx"


def test_remembered_ban_keeps_its_source_unconnected() -> None:
    """A source banned in a former life is lost from the start, with the end of its ban."""
    far = 4_000_000_000_000
    composition = assembled(sources="binance,okx", bans={"binance": far})
    for line in composition.loop.sources.values():
        line.want(True)
    binance, okx = composition.loop.sources.values()

    assert binance.state == "lost"
    assert "banned until" in (binance.reason or "")
    assert okx.state == "connecting"


def test_pairs_are_replaced_and_what_remains_is_not_touched() -> None:
    """An engine that follows does so with what the leader has chosen; the sources' own instruments stay."""
    composition = assembled(sources="binance,okx,synthetic", pairs="btcusdt,ethusdt")
    before = composition.instruments["ethusdt"]
    composition.replace_pairs([Chosen(pair("ETH-USDT")), Chosen(pair("SOL-USDT"), frozenset({"okx"}))])
    composition.replace_pairs([Chosen(pair("ETH-USDT")), Chosen(pair("SOL-USDT"), frozenset({"binance"}))])
    real = {name: chain for name, chain in composition.failover.chains.items() if not is_synthetic(name)}

    assert real == {"ethusdt": ("binance", "okx"), "solusdt": ("binance", "okx")}
    assert composition.instruments["ethusdt"] is before
    assert len(composition.instruments) == 2 + 103
    assert [each.symbol for each in composition.carried["okx"]] == ["ethusdt", "solusdt"]


def test_a_source_never_carries_what_its_setting_excludes() -> None:
    """Also if it lists the pair: it is another coin there."""
    binance = msgspec.structs.replace(load_source("binance", None, {}), without=frozenset({"neirousdt"}))
    composition = assembled(
        binance, load_source("okx", None, {}), sources="binance,okx", pairs="neirousdt,btcusdt"
    )
    composition.extend("neirousdt", ["binance", "okx"])

    assert composition.failover.chains == {"neirousdt": ("okx",), "btcusdt": ("binance", "okx")}


def test_a_listed_pair_without_room_does_not_exist() -> None:
    """It does not prevent the start and, when another one leaves, nothing moves up that is not there."""
    small = msgspec.structs.replace(load_source("binance", None, {}), limits=Limits(instruments=1))
    listed = [Chosen(pair(text), frozenset({"binance"})) for text in ("BTC-USDT", "ETH-USDT")]
    chosen, bans = load({"sources": "binance", "pairs": "*-usdt"}), dict[str, int]()
    composition = Composition(chosen, [small], pin=None, bans={}, remember_ban=bans.__setitem__, pairs=listed)
    first = list(composition.instruments)
    composition.remove({"btcusdt"})
    composition.use_room("binance")

    assert first == ["btcusdt"]
    assert list(composition.instruments) == []
    assert composition.loop.sources["binance"].status(0, pin=None, serving=0).left_out == []


def test_what_gets_room_is_told() -> None:
    """Who counts the sources of a pair, as the index does, must look at it again."""
    small = msgspec.structs.replace(load_source("binance", None, {}), limits=Limits(instruments=1))
    okx = load_source("okx", None, {})
    composition = assembled(small, okx, sources="binance,okx", pairs="btcusdt,ethusdt")
    before = dict(composition.failover.chains)
    composition.remove({"btcusdt"})
    told = composition.use_room("binance")

    assert before == {"btcusdt": ("binance", "okx"), "ethusdt": ("okx",)}
    assert told == ["ethusdt"]
    assert composition.failover.chains == {"ethusdt": ("binance", "okx")}


PAIRS = [f"c{number}usdt" for number in range(8)]


@given(st.lists(st.tuples(st.booleans(), st.sets(st.sampled_from(PAIRS), min_size=1)), max_size=12))
def test_pairs_come_and_go_and_no_source_has_room_for_what_it_left_out(
    steps: list[tuple[bool, set[str]]],
) -> None:
    """However many at once: what a source carries, its names and its connections are those of the chains."""
    binance, okx, kraken = (load_source(name, None, {}) for name in ("binance", "okx", "kraken"))
    small = [
        msgspec.structs.replace(binance, limits=Limits(instruments=2)),
        msgspec.structs.replace(okx, limits=Limits(instruments=3)),
    ]
    composition = assembled(*small, kraken, sources="binance,okx,kraken", pairs="c0usdt,c1usdt,c2usdt,c3usdt")
    chains = composition.failover.chains
    for removes, symbols in steps:
        if removes:
            composition.remove(symbols & chains.keys())
            for name in composition.loop.sources:
                composition.use_room(name)
        else:
            composition.add([Chosen(pair(symbol)) for symbol in sorted(symbols)])

        assert set(composition.instruments) == chains.keys()
        for name, source in composition.loop.sources.items():
            carried = [each.symbol for each in composition.carried[name]]
            left_out = source.status(0, pin=None, serving=0).left_out
            assert len(carried) == len(set(carried))
            assert set(carried) == source.carries == {symbol for symbol in chains if name in chains[symbol]}
            assert composition.names[name].symbols.intersection(PAIRS) == source.carries
            assert set(left_out) == chains.keys() - source.carries
            assert not (left_out and source.room)
