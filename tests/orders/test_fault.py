"""A fault of ours while orders are worked on: memory is made anew of what is on disk, trading goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto_stream.bus.orders import Failed
from crypto_stream.market.orders import ExecType, Rules, Status
from crypto_stream.orders.service import FAULT
from tests.orders.house import BUY, LATEST_MS, LIVE, NEW, House, a_quote, house, limit, said

# No venue's file lets such numbers through; working on them fails as any fault of ours would.
NONSENSE = a_quote(bid="99", ask="much")
NONSENSICAL = Rules(tick="a bit")
FILLED = (2, ExecType.TRADE, Status.FILLED)


def resting(one: House) -> None:
    """Let one order rest in the market."""
    one.attach(1, "me")
    one.quote(LIVE)
    one.placed(1, limit(BUY, "2", "100"))
    one.advance(LATEST_MS)


def faults(caplog: pytest.LogCaptureFixture) -> int:
    """Count the traces in the log."""
    return sum(line.exc_info is not None for line in caplog.records)


def test_a_fault_in_the_market_costs_no_order(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said and logged with its trace; what rested rests again, and fills once at a good quote."""
    with house(path) as one:
        resting(one)
        one.orders.quoted([NONSENSE])
        during = one.orders.trouble
        one.mend()
        one.quote(a_quote(bid="98", ask="99"))
        told = said(one)

    assert during == FAULT
    assert (told[-1], sorted(set(told))) == (FILLED, [NEW, FILLED])
    assert faults(caplog) == 1


def test_what_one_order_does_again_and_again_stops_the_others_once_a_minute(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In between a fault is only logged."""
    with house(path) as one:
        resting(one)
        troubles = []
        for wait_ms in (0, 1_000, 60_000):
            one.advance(wait_ms)
            one.orders.quoted([NONSENSE])
            troubles.append(one.orders.trouble)
            one.mend()

    assert troubles == [FAULT, None, FAULT]
    assert faults(caplog) == 3


def test_a_fault_over_a_request_is_answered_and_stops_nobody(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever asked is refused, and has no order."""
    with house(path, rules=NONSENSICAL) as one:
        one.attach(1, "me")
        one.quote(LIVE)
        answer = one.place(1, limit(BUY, "1", "100"))
        trouble, orders = one.orders.trouble, one.listed(1)

    assert isinstance(answer, Failed)
    assert (answer.code, trouble, orders) == ("store_unavailable", None, [])
    assert "fault" in answer.reason
    assert faults(caplog) == 1


def test_a_fault_while_orders_are_loaded_is_tried_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Until its cause is gone nothing is accepted; then all that was kept is there."""
    with house(path) as one:
        resting(one)
    one = House(path)
    one.quotes["btcusdt"] = NONSENSE
    one.orders.start()
    one.until(lambda: faults(caplog) > 2)
    during = one.orders.trouble
    one.quotes["btcusdt"] = LIVE
    one.mend()
    one.attach(1, "me")
    orders = one.listed(1)
    one.stop()

    assert during == FAULT
    assert [order.status for order in orders] == [Status.ACTIVE]
