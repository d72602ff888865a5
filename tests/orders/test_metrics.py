"""The log lines of orders: every event, up to a limit."""

from __future__ import annotations

import logging

import pytest

from crypto_stream.market.orders import ExecType, Order, Report, Side, Status, Ticket
from crypto_stream.orders.metrics import MAX_LINES, OrderLog

OWNER = "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5"


def report(exec_type: ExecType = ExecType.NEW, status: Status = Status.ACTIVE) -> Report:
    order = Order("id", OWNER, 1, Ticket("btcusdt", Side.BUY, "1", "2"), 5, 5, status, 5)
    return Report(1, "e", exec_type, 5, order)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "crypto_stream")
    return caplog


def test_each_event_is_one_line(logged: pytest.LogCaptureFixture) -> None:
    """Placed, partially and completely filled, cancelled, rejected; each is counted."""
    order_log = OrderLog()
    for exec_type, status in (
        (ExecType.NEW, Status.ACTIVE),
        (ExecType.TRADE, Status.ACTIVE),
        (ExecType.TRADE, Status.FILLED),
        (ExecType.CANCELED, Status.CANCELLED),
        (ExecType.REJECTED, Status.REJECTED),
    ):
        order_log.note(report(exec_type, status), 1.0)

    assert [record.message for record in logged.records] == [
        "order placed",
        "order partially filled",
        "order filled",
        "order cancelled",
        "order rejected",
    ]
    counts = order_log.counts(0, 0, 0.0)
    assert (counts.placed, counts.filled, counts.cancelled, counts.rejected) == (1, 1, 1, 1)


def test_a_busy_client_does_not_flood_the_log(logged: pytest.LogCaptureFixture) -> None:
    """At most 50 lines a second, then one with the number of omitted events."""
    order_log = OrderLog()
    for at in range(5_000):
        order_log.note(report(), at / 1_000)
    order_log.log_omitted()

    lines = [record for record in logged.records if record.message == "order placed"]
    unsaid = [record for record in logged.records if record.message != "order placed"]
    assert len(lines) == 5 * MAX_LINES
    assert len(unsaid) == 5
    assert sum(vars(record)["events"] for record in unsaid) + len(lines) == 5_000
    assert order_log.placed == 5_000


def test_the_log_contains_no_credentials(logged: pytest.LogCaptureFixture) -> None:
    """An owner's name gives access to its orders: only its beginning is logged."""
    OrderLog().note(report(), 1.0)

    assert vars(logged.records[0])["owner"] == OWNER[:8]
    assert OWNER not in str(vars(logged.records[0]))
