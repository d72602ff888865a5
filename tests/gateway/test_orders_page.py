"""The orders page as the gateway serves it."""

from __future__ import annotations

import pytest

from tests.gateway.process import Gateway


@pytest.mark.asyncio(loop_scope="module")
async def test_the_orders_page_is_static_html(gateway: Gateway) -> None:
    """With an ETag, the same for everybody; all instruments can be selected on it."""
    answer = await gateway.http.get("/orders")
    again = await gateway.http.get("/orders", headers={"If-None-Match": answer.headers["ETag"]})

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>Orders</h1>" in answer.text
    assert 'data-symbol="btcusdt" data-name="BTC/USDT" data-base="BTC" data-unit="USDT"' in answer.text
    assert again.status_code == 304


@pytest.mark.asyncio(loop_scope="module")
async def test_orders_is_no_symbol(gateway: Gateway) -> None:
    """A client that prefers JSON gets the page, too; there is no quote of that name."""
    page = await gateway.http.get("/orders", headers={"Accept": "application/json"})
    quote = await gateway.http.get("/courses/orders")

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert quote.status_code == 404
