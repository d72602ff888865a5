"""What the venues demand of orders, as their handlers read it: by hand, and from recorded answers."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from msgspec.structs import asdict

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.handler import Listed, Rules
from handlers import binance, okx
from tests.fakes import FakeBinance, FakeOKX
from tests.fakes.venue import FakeVenue
from tests.handlers.reading import by_symbol

OLD_BINANCE = "binance-exchangeInfo-20211012.json.gz"
NEW_BINANCE = "binance-exchangeInfo-excerpt-2024plus.json.gz"
OKX = "okx-instruments-SPOT-20220513.json.gz"
FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01000000"},
    {"filterType": "LOT_SIZE", "minQty": "0.00002000", "maxQty": "9000", "stepSize": "0.00001000"},
    {"filterType": "MARKET_LOT_SIZE", "minQty": "0", "maxQty": "116.3", "stepSize": "0"},
]


def given(rules: Rules) -> Rules:
    """Take an empty text for none, as who asked for the rules does."""
    return Rules(**{name: text or None for name, text in asdict(rules).items()})


async def asked(kind: type[FakeVenue], handler: ModuleType, body: object) -> dict[str, Listed]:
    """Let the handler read `body` from a server that answers nothing else."""

    class Answering(kind):  # type: ignore[valid-type, misc]
        def rest(self, path: str, query: dict[str, str]) -> object:
            return body

    async with Answering([]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        try:
            listed = by_symbol(handler, await handler.instruments(http))
        except MalformedFrame as error:
            malformed = error
        else:
            return listed
    raise malformed


@pytest.mark.parametrize(
    ("filters", "rules"),
    [
        (
            FILTERS,
            Rules(
                *("0.01000000", "0.00001000", "0.00002000", None, "9000", "0.01", "1000000.00"),
                *(None, "0", "0", "116.3"),
            ),
        ),
        ([*FILTERS, {"filterType": "NOTIONAL", "minNotional": "5.0"}], ("0.00002000", "5.0")),
        ([*FILTERS, {"filterType": "MIN_NOTIONAL", "minNotional": "10.0"}], ("0.00002000", "10.0")),
        ([], Rules()),
        ([{"filterType": "A_NEW_ONE", "limit": 5, "deep": {"er": []}}], Rules()),
    ],
)
async def test_binance_says_it_in_filters(filters: list[Any], rules: Rules | tuple[str, str]) -> None:
    """Tick, lot and least value stand in three filters; others, new ones too, are passed over."""
    listed = await asked(
        FakeBinance, binance, {"symbols": [{"symbol": "BTCUSDT", "status": "TRADING", "filters": filters}]}
    )
    found = listed["btcusdt"]

    assert found.state == ""
    if isinstance(rules, Rules):
        assert given(found.rules) == rules
    else:
        assert (found.rules.min_amount, found.rules.min_notional) == rules


async def test_without_numbers_there_are_no_rules() -> None:
    """A venue that lists an instrument and says no number of it still lists it."""
    one = await asked(FakeBinance, binance, {"symbols": [{"symbol": "BTCUSDT", "status": "HALT"}]})
    row = {"instId": "BTC-USDT", "state": "live"}
    two = await asked(FakeOKX, okx, {"code": "0", "msg": "", "data": [row]})

    assert [(each.state, given(each.rules)) for each in one.values()] == [("HALT", Rules())]
    assert [(each.state, given(each.rules)) for each in two.values()] == [("", Rules())]


@pytest.mark.parametrize(
    ("filters", "market"),
    [
        ([{"filterType": "NOTIONAL", "minNotional": "5.0", "applyMinToMarket": True}], ("5.0", None)),
        ([{"filterType": "NOTIONAL", "minNotional": "5.0", "applyMinToMarket": False}], (None, None)),
        ([{"filterType": "MIN_NOTIONAL", "minNotional": "5.0", "applyToMarket": True}], ("5.0", None)),
        (
            [{"filterType": "NOTIONAL", "maxNotional": "90", "applyMaxToMarket": True}, *FILTERS],
            (None, "90"),
        ),
    ],
)
async def test_which_values_count_for_market_orders(
    filters: list[Any], market: tuple[str | None, str | None]
) -> None:
    """Binance says it of each; OKX gives amounts in USD, which only pairs quoted in it can be judged by."""
    symbols = [{"symbol": "BTCUSDT", "status": "TRADING", "filters": filters}]
    rules = given((await asked(FakeBinance, binance, {"symbols": symbols}))["btcusdt"].rules)
    sizes = {"maxLmtSz": "9", "maxLmtAmt": "20", "maxMktSz": "7", "maxMktAmt": "6"}
    rows = [{"instId": name, "state": "live", **sizes} for name in ("BTC-USDT", "ETH-BTC")]
    listed = await asked(FakeOKX, okx, {"code": "0", "msg": "", "data": rows})

    assert (rules.market_min_notional, rules.market_max_notional) == market
    usdt = Rules(max_amount="9", max_notional="20", market_max_notional="6")
    assert given(listed["btcusdt"].rules) == usdt
    assert given(listed["ethbtc"].rules) == Rules(max_amount="9")


@pytest.mark.parametrize(
    ("fake", "handler", "body"),
    [
        (FakeBinance, binance, {"symbols": [{"symbol": "BTCUSDT", "status": "TRADING"}] * 20_001}),
        (FakeOKX, okx, {"code": "0", "msg": "", "data": [{"instId": "BTC-USDT", "state": "live"}] * 20_001}),
    ],
)
async def test_a_list_of_nonsense_length_is_malformed(
    fake: type[FakeVenue], handler: ModuleType, body: object
) -> None:
    """No venue lists so many, and reading them all in one piece would hold up the prices of the others."""
    with pytest.raises(MalformedFrame, match="20000"):
        await asked(fake, handler, body)


@pytest.mark.parametrize("filters", [5, [5], [{"filterType": "LOT_SIZE", "stepSize": 5}], [{"x": 1}]])
async def test_filters_of_another_shape_are_malformed(filters: object) -> None:
    """A body of another shape raises MalformedFrame: what was known before stays."""
    symbols = [{"symbol": "BTCUSDT", "status": "TRADING", "filters": filters}]
    with pytest.raises(MalformedFrame, match="exchangeInfo"):
        await asked(FakeBinance, binance, {"symbols": symbols})


async def test_a_number_that_is_no_text_is_malformed() -> None:
    """OKX writes numbers as text; a float would have lost its digits already."""
    row = {"instId": "BTC-USDT", "state": "live", "tickSz": 0.1}
    with pytest.raises(MalformedFrame, match="okx instruments"):
        await asked(FakeOKX, okx, {"code": "0", "msg": "", "data": [row]})


@pytest.mark.parametrize("name", [OLD_BINANCE, NEW_BINANCE])
async def test_recorded_filters_of_binance(name: str) -> None:
    """Every symbol of a recorded answer has its own tick, lot, least amount and least value."""
    body = recorded(name)
    listed = await asked(FakeBinance, binance, body)
    expected = {}
    for item in body["symbols"]:
        kinds = {each["filterType"]: each for each in item["filters"]}
        value = kinds["NOTIONAL" if "NOTIONAL" in kinds else "MIN_NOTIONAL"]["minNotional"]
        lot = kinds["LOT_SIZE"]
        expected[item["symbol"].lower()] = (
            kinds["PRICE_FILTER"]["tickSize"], lot["stepSize"], lot["minQty"], value
        )  # fmt: skip

    assert {symbol: tuple(numbers(each.rules)) for symbol, each in listed.items()} == expected
    least = "10.00000000" if name == OLD_BINANCE else "5.00000000"
    assert numbers(listed["btcusdt"].rules) == ["0.01000000", "0.00001000", "0.00001000", least]


async def test_recorded_instruments_of_okx() -> None:
    """Every pair of a recorded answer has its own tick, lot and least amount."""
    body = recorded(OKX)
    listed = await asked(FakeOKX, okx, body)
    expected = {
        item["instId"].replace("-", "").lower(): (item["tickSz"], item["lotSz"], item["minSz"], None)
        for item in body["data"]
    }

    assert {symbol: tuple(numbers(each.rules)) for symbol, each in listed.items()} == expected
    assert numbers(listed["btcusdt"].rules) == ["0.1", "0.00000001", "0.00001", None]


def numbers(rules: Rules) -> list[str | None]:
    return [text or None for text in (rules.tick, rules.lot, rules.min_amount, rules.min_notional)]


def recorded(name: str) -> Any:
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    if not folder:
        pytest.skip("CRYPTO_STREAM_RECORDINGS names no folder of recordings")
    return json.loads(gzip.decompress((Path(folder) / "rest" / name).read_bytes()))
