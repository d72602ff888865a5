"""The page of orders as the gateway serves it."""

from __future__ import annotations

import pytest

from tests.gateway.process import Gateway


@pytest.mark.asyncio(loop_scope="module")
async def test_the_page_of_orders_is_a_page(gateway: Gateway) -> None:
    """It is HTML with an ETag, the same for everybody; all instruments can be chosen on it."""
    answer = await gateway.http.get("/orders")
    again = await gateway.http.get("/orders", headers={"If-None-Match": answer.headers["ETag"]})

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>Orders</h1>" in answer.text
    assert 'data-symbol="btcusdt" data-name="BTC/USDT" data-base="BTC" data-unit="USDT"' in answer.text
    assert again.status_code == 304


@pytest.mark.asyncio(loop_scope="module")
async def test_orders_is_no_symbol(gateway: Gateway) -> None:
    """A client that prefers JSON gets the page too, and there is no quote of that name."""
    page = await gateway.http.get("/orders", headers={"Accept": "application/json"})
    quote = await gateway.http.get("/courses/orders")

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert quote.status_code == 404
