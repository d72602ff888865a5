"""One entry of a venue's list that cannot be read costs that instrument alone."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.handler import Listed
from handlers import binance, okx
from tests.handlers.reading import by_symbol

GOOD_BINANCE = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "filters": [{"filterType": "PRICE_FILTER", "tickSize": "0.01"}],
}
GOOD_OKX = {"instId": "BTC-USDT", "state": "live", "tickSz": "0.01"}
ODD_BINANCE: list[Any] = [
    {"symbol": "ETHUSDT", "status": "TRADING", "filters": "none"},
    {"symbol": "ETHUSDT", "status": "TRADING", "filters": [{"filterType": 5}]},
]
ODD_OKX: list[Any] = [{"instId": "ETH-USDT", "state": "live", "tickSz": 0.1}]
UNREADABLE: list[Any] = [5, None, [], {}, {"symbol": 1, "instId": 1, "status": [], "state": []}]


async def listed(handler: Any, entries: list[Any]) -> dict[str, Listed]:
    body = {"symbols": entries} if handler is binance else {"code": "0", "msg": "", "data": entries}
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, json=body))
    async with httpx.AsyncClient(base_url="http://venue", transport=transport) as http:
        return by_symbol(handler, await handler.instruments(http))


@pytest.mark.parametrize(
    ("handler", "good", "odd"),
    [(binance, GOOD_BINANCE, each) for each in ODD_BINANCE] + [(okx, GOOD_OKX, each) for each in ODD_OKX],
)
async def test_odd_rules_bind_nobody_and_hide_nobody(handler: Any, good: Any, odd: Any) -> None:
    """The instrument is listed without rules; the others keep theirs."""
    found = await listed(handler, [odd, good])

    assert found["ethusdt"].state == ""
    assert found["ethusdt"].rules.tick in (None, "")
    assert found["btcusdt"].rules.tick == "0.01"


@pytest.mark.parametrize("odd", UNREADABLE)
@pytest.mark.parametrize(("handler", "good"), [(binance, GOOD_BINANCE), (okx, GOOD_OKX)])
async def test_an_entry_that_cannot_be_read_is_left_out(handler: Any, good: Any, odd: Any) -> None:
    """Where none can be read it is the list that is another."""
    assert list(await listed(handler, [odd, good])) == ["btcusdt"]
    with pytest.raises(MalformedFrame):
        await listed(handler, [odd])
