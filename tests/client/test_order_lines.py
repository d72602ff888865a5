"""Orders as lines of text: whatever stands in them, a line or a table is usable as it is."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import pytest

from crypto_stream.cli.order_lines import orders_csv
from crypto_stream.client import Order
from crypto_stream.market.orders import Kind, Side, Status, TimeInForce


def _order(name: str) -> Order:
    return Order(
        order_id="a", client_order_id=name, instrument="eurrub", side=Side.BUY, kind=Kind.LIMIT,
        time_in_force=TimeInForce.GTC, status=Status.ACTIVE, amount=Decimal(10), price=Decimal("-87.5"),
        cum_amount=Decimal(0), leaves_amount=Decimal(10), avg_price=None, change_time=1,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["=1+1", '=HYPERLINK("x")', "+1", "-cmd", "@SUM(A1)", "\t=1"])
def test_csv_holds_no_formula_of_a_client(name: str) -> None:
    """An order's name is whatever its client wrote; a spreadsheet must not run it. Numbers stay numbers."""
    (row,) = csv.DictReader(io.StringIO(orders_csv([_order(name)])))

    assert row["client_order_id"] == f"'{name}"
    assert row["price"] == "-87.5"
