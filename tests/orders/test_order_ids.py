"""The ids of orders and reports."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from crypto_stream.market.orders import Side
from crypto_stream.orders.limits import OrderLimits
from crypto_stream.orders.validation import OrderSettings
from tests.orders.house import BEGIN_MS, a_quote, house, limit


def test_an_order_id_begins_with_its_time(tmp_path: Path) -> None:
    """UUIDs of version 7 for orders, in increasing order; random ones for reports; all unique."""
    with house(
        tmp_path / "orders.db", OrderSettings(100, 1, outcomes=False, max_open=OrderLimits(300))
    ) as one:
        one.quote(a_quote(bid="99", ask="101"))
        one.attach(1, "me")
        for _ in range(300):
            one.place(1, limit(Side.BUY, "1", "100"))
            one.advance(1)
        reports = one.reports(1)

    orders = [UUID(report.order.order_id) for report in reports]
    executions = [UUID(report.exec_id) for report in reports]
    assert [order.int >> 80 for order in orders] == list(range(BEGIN_MS, BEGIN_MS + 300))
    assert {order.version for order in orders} == {7}
    assert {execution.version for execution in executions} == {4}
    assert len({*orders, *executions}) == 600
