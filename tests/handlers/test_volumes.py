"""The volumes of 24 hours in the quote currency, as handlers read them from a venue's answer."""

from __future__ import annotations

from types import ModuleType

import httpx
import pytest

from crypto_stream.errors import MalformedFrame
from handlers import binance, bitget, bybit, gate, htx, kucoin, mexc, okx
from tests.fakes import (
    FakeBinance,
    FakeBitget,
    FakeBybit,
    FakeGate,
    FakeHtx,
    FakeKucoin,
    FakeMEXC,
    FakeOKX,
    FakeVenue,
)

# Handler, fake, answer with one entry that cannot be read, and what is read from it.
BINANCE = [{"symbol": "BTCUSDT", "volume": "2", "quoteVolume": "120000.5"}, {"symbol": 1}]
OKX = {
    "code": "0",
    "data": [{"instId": "BTC-USDT", "vol24h": "2", "volCcy24h": "120000.5"}, {"instId": "ETH-USDT"}],
}
BYBIT = {
    "retCode": 0,
    "result": {"list": [{"symbol": "BTCUSDT", "volume24h": "2", "turnover24h": "120000.5"}, {}]},
}

BITGET = {
    "code": "00000",
    "data": [{"symbol": "BTCUSDT", "baseVolume": "2", "quoteVolume": "120000.5"}, {"symbol": "ETHUSDT"}],
}
GATE = [{"currency_pair": "BTC_USDT", "base_volume": "2", "quote_volume": "120000.5"}, {}]
HTX = {"status": "ok", "data": [{"symbol": "btcusdt", "amount": 2.0, "vol": 120000.5}, {"symbol": "x"}]}
KUCOIN = {
    "code": "200000",
    "data": {"ticker": [{"symbol": "BTC-USDT", "vol": "2", "volValue": "120000.5"}, {"symbol": "X-Y"}]},
}


async def told(handler: ModuleType, kind: type[FakeVenue], body: object) -> dict[str, str] | None:
    """Let the handler ask a server that answers `body`; return None if it finds that malformed."""

    class Answering(kind):  # type: ignore[valid-type, misc]
        def rest(self, path: str, query: dict[str, str]) -> object:
            return body

    async with Answering([]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        try:
            found: dict[str, str] = await handler.volumes(http)
        except MalformedFrame:
            return None
    return found


@pytest.mark.parametrize(
    ("handler", "kind", "body", "venue_id"),
    [
        (binance, FakeBinance, BINANCE, "BTCUSDT"),
        (okx, FakeOKX, OKX, "BTC-USDT"),
        (bybit, FakeBybit, BYBIT, "BTCUSDT"),
        (bitget, FakeBitget, BITGET, "BTCUSDT"),
        (gate, FakeGate, GATE, "BTC_USDT"),
        (htx, FakeHtx, HTX, "btcusdt"),
        (kucoin, FakeKucoin, KUCOIN, "BTC-USDT"),
        (mexc, FakeMEXC, BINANCE, "BTCUSDT"),
    ],
)
async def test_volumes_are_in_the_quote_currency(
    handler: ModuleType, kind: type[FakeVenue], body: object, venue_id: str
) -> None:
    """By the venue's id; an entry that cannot be read is left out."""
    assert await told(handler, kind, body) == {venue_id: "120000.5"}


@pytest.mark.parametrize(
    ("handler", "kind", "body"),
    [
        (binance, FakeBinance, {"code": -1, "msg": "busy"}),
        (binance, FakeBinance, [{"s": "BTCUSDT"}]),
        (okx, FakeOKX, {"code": "50011", "msg": "Too Many Requests", "data": []}),
        (bybit, FakeBybit, {"retCode": 10006, "retMsg": "Too many visits!", "result": {}}),
        (bitget, FakeBitget, {"code": "429", "msg": "Too Many Requests", "data": None}),
        (gate, FakeGate, {"label": "TOO_MANY_REQUESTS", "message": "busy"}),
        (htx, FakeHtx, {"status": "error", "err-code": "busy", "err-msg": "busy"}),
        (kucoin, FakeKucoin, {"code": "429000", "msg": "Too Many Requests"}),
        (mexc, FakeMEXC, {"code": 429, "msg": "Too many requests"}),
    ],
)
async def test_another_answer_is_malformed(handler: ModuleType, kind: type[FakeVenue], body: object) -> None:
    """The reason is the caller's to log."""
    assert await told(handler, kind, body) is None
