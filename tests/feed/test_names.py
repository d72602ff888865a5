"""Settings of one venue: excluded pairs, and currencies with other names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crypto_stream.engine.composition import Composition
from crypto_stream.errors import SettingError
from crypto_stream.feed.handler import Listed
from crypto_stream.feed.loading import load_sources
from crypto_stream.feed.names import Names
from crypto_stream.market.instruments import pair
from crypto_stream.settings import load
from tests.fakes import FakeBinance, FakeOKX
from tests.feed.assembled import assembled, recording
from tests.waiting import until

PAIR = "neirousdt"
TRADE = '{"e":"aggTrade","E":1,"s":"NEIROCTOUSDT","a":1,"p":"1","q":"1","T":1}'
FRAME = f'{{"stream":"neiroctousdt@aggTrade","data":{TRADE}}}'


def options_of(fake: FakeBinance | FakeOKX, **more: str) -> dict[str, str]:
    """Return the options of a fake venue's handler."""
    return {"url": fake.url, "rest_url": fake.rest_url, **more}


async def test_a_renamed_currency_is_subscribed_by_its_name_and_served_by_ours() -> None:
    """Requests contain the venue's name; quotes, rules and refusals have ours."""
    async with FakeBinance(["NEIROCTO-USDT", "btcusdt"]) as binance:
        options = {"binance": options_of(binance, names="NEIRO=NEIROCTO")}
        async with assembled(
            sources="binance", pairs="NEIRO-USDT,btcusdt,gone-usdt", handler_options=options
        ) as feed:
            line = feed.composition.loop.sources["binance"]
            await until(lambda: feed.serving(PAIR) == feed.serving("btcusdt") == "binance")
            await until(lambda: PAIR in line.listing.rules and "goneusdt" in line.refused)

            assert line.refused == {"goneusdt": "not listed"}
            assert set(feed.composition.instruments) == {PAIR, "btcusdt", "goneusdt"}
            assert any('"neiroctousdt@aggTrade"' in request for request in binance.requests)
            assert not any('"neirousdt@' in request for request in binance.requests)


@pytest.mark.parametrize("order", [1, -1])
def test_in_a_list_with_both_coins_ours_is_the_configured_one(order: int) -> None:
    """In any order; two currencies with swapped names are both found."""
    listed = [Listed("NEIROCTOUSDT", "NEIROCTO", "USDT"), Listed("NEIROUSDT", "NEIRO", "USDT")][::order]
    one = Names("venue", lambda _: None, [pair("NEIRO-USDT")], {"NEIRO": "NEIROCTO"})
    both = Names(
        "venue",
        lambda _: None,
        [pair("NEIRO-USDT"), pair("NEIROCTO-USDT")],
        {"NEIRO": "NEIROCTO", "NEIROCTO": "NEIRO"},
    )
    found = one.learn(listed)
    both.learn(listed)

    assert {symbol: each.id for symbol, each in found.items()} == {PAIR: "NEIROCTOUSDT"}
    assert one.id_of(PAIR) == "NEIROCTOUSDT"
    assert (both.id_of(PAIR), both.id_of("neiroctousdt")) == ("NEIROCTOUSDT", "NEIROUSDT")


async def test_the_venues_own_coin_of_our_name_is_not_taken_for_ours() -> None:
    """A venue may trade both; its coin with our name is another coin."""
    async with FakeBinance(["NEIROCTO-USDT", "NEIRO-USDT"]) as binance:
        options = {"binance": options_of(binance, names="NEIRO=NEIROCTO")}
        async with assembled(sources="binance", pairs="NEIRO-USDT", handler_options=options) as feed:
            await until(lambda: feed.serving(PAIR) == "binance")
            for client in binance.clients:
                client.streams.add(("aggTrade", PAIR))
            await binance.push(PAIR, price="77")
            line = feed.composition.loop.sources["binance"]
            await until(lambda: line.status(0, pin=None, serving=0).frames.get("not_subscribed"))

            assert all(getattr(event, "price", None) != "77.00000000" for _, event in feed.events)


async def test_an_excluded_pair_is_not_subscribed() -> None:
    """Other venues carry it; this venue carries the rest."""
    async with FakeBinance([PAIR, "btcusdt"]) as binance, FakeOKX([PAIR, "btcusdt"]) as okx:
        options = {"binance": options_of(binance), "okx": options_of(okx, without="NEIRO-USDT")}
        async with assembled(
            sources="binance,okx", pairs="NEIRO-USDT,btcusdt", handler_options=options
        ) as feed:
            await until(lambda: feed.received("okx", "btcusdt") and feed.serving(PAIR) == "binance")

            assert feed.composition.failover.chains == {PAIR: ("binance",), "btcusdt": ("binance", "okx")}
            assert not any("NEIRO" in request for request in okx.requests)


def test_both_can_be_written_in_the_file_and_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As tables and lists in the file, as text in the environment."""
    file = tmp_path / "crypto_stream.toml"
    file.write_text('[binance.names]\nNEIRO = "NEIROCTO"\nBTC = "XBT"\n[okx]\nwithout = ["NEIRO-USDT"]\n')
    monkeypatch.setenv("CRYPTO_STREAM_OKX_NAMES", "NEIRO=NEIROETH")
    binance, okx, _ = load_sources(load({}, file))

    assert dict(binance.names) == {"NEIRO": "NEIROCTO", "BTC": "XBT"}
    assert okx.without == {PAIR}
    assert dict(okx.names) == {"NEIRO": "NEIROETH"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"names": "NEIRO"}, "write NEIRO=NEIROCTO"),
        ({"names": "A=C,B=C"}, "C stands for two currencies"),
        ({"without": "b%c"}, "'b%c' is not a pair"),
    ],
)
def test_an_invalid_name_is_one_line(options: dict[str, str], said: str) -> None:
    """The setting, the value, and what to write."""
    chosen = load({"sources": "binance"}).model_copy(update={"handler_options": {"binance": options}})
    with pytest.raises(SettingError, match=r"^CRYPTO_STREAM_BINANCE_(NAMES|WITHOUT): ") as error:
        load_sources(chosen)

    assert said in str(error.value)


def test_two_pairs_with_one_id_are_one_line() -> None:
    """Frames could not be attributed to one of them."""
    chosen = load({"sources": "binance", "pairs": "NEIRO-USDT,NEIROCTO-USDT"})
    chosen = chosen.model_copy(update={"handler_options": {"binance": {"names": "NEIRO=NEIROCTO"}}})
    bans: dict[str, int] = {}
    with pytest.raises(SettingError, match="two pairs would both be NEIROCTOUSDT"):
        Composition(chosen, load_sources(chosen), pin=None, bans={}, remember_ban=bans.__setitem__)


async def test_a_recording_is_read_by_its_venues_names(tmp_path: Path) -> None:
    """Data recorded under the venue's name is shown under ours."""
    file = recording(tmp_path / "frames.jsonl", [(None, FRAME)])
    options = {"binance": {"names": "NEIRO=NEIROCTO"}}
    named: dict[str, Any] = {"handler_options": options, "explicit_pairs": False}
    async with assembled(sources=f"replay:binance:{file}", **named) as feed:
        await until(lambda: feed.received("replay:binance", PAIR))

        assert list(feed.composition.instruments) == [PAIR]
