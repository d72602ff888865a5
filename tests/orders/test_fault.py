"""Internal errors while processing orders: the stored orders are loaded again, and trading continues."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto_stream.bus.orders import Failed, Place, Reported
from crypto_stream.market.orders import ExecType, Rules, Status
from crypto_stream.orders.faults import MAX_FAULTS
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
    """Count the tracebacks in the log."""
    return sum(line.exc_info is not None for line in caplog.records)


def test_a_fault_in_the_market_costs_no_order(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with its traceback; resting orders rest again, and fill once at a good quote."""
    with house(path) as one:
        resting(one)
        one.orders.quoted([NONSENSE])
        during = one.orders.trouble
        one.repair()
        one.quote(a_quote(bid="98", ask="99"))
        told = said(one)

    assert during == FAULT
    assert (told[-1], sorted(set(told))) == (FILLED, [NEW, FILLED])
    assert faults(caplog) == 1


def test_a_partly_processed_quote_offers_nothing(path: Path) -> None:
    """The previous one counts as new when it is sent again, at its own price."""
    with house(path) as one:
        resting(one)
        one.orders.quoted([a_quote(bid="89", ask="90", ask_size="much")])
        one.repair()
        one.quote(LIVE)
        one.advance(1_000)

        assert set(said(one)) == {NEW}


def test_successive_faults_are_each_recovered(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An order whose trade was lost fills later."""
    with house(path) as one:
        resting(one)
        for number in range(3):
            cheap = a_quote(bid="98", ask="99", ask_size=f"{number + 5}")
            one.orders.quoted([cheap, a_quote("ethusdt", ask="much")])
            assert one.orders.trouble == FAULT
            one.repair()
        one.quote(a_quote(bid="98", ask="99", ask_size="9"))
        told = said(one)

    assert (told[-1], sorted(set(told))) == (FILLED, [NEW, FILLED])
    assert faults(caplog) == 3


def test_endless_faults_stop_orders(path: Path) -> None:
    """Orders stop until an operator restarts the engine, and readiness reports that."""
    with house(path) as one:
        resting(one)
        for _ in range(MAX_FAULTS):
            one.until(lambda: one.orders.trouble is None)
            one.quote(LIVE)
            one.orders.quoted([a_quote(bid="98", ask="much")])
        one.until(lambda: "restart the engine" in str(one.orders.trouble))
        refused = one.place(1, limit(BUY, "1", "90"))

        assert isinstance(refused, Failed)
        assert refused.code == "store_unavailable"


def test_a_command_before_a_fault_is_answered_after_it(path: Path) -> None:
    """The order was being written when the state was discarded: it is acknowledged, with its ref."""
    with house(path) as one:
        resting(one)
        one.disk.free.clear()
        one.orders.commands("one", [Place(1, 777, limit(BUY, "1", "90"))])
        one.until(lambda: one.disk.waits)
        one.orders.quoted([NONSENSE])
        one.disk.free.set()
        one.repair()
        answers = [told for told in one.told["one", 1] if told.ref == 777]
        orders = one.listed(1)

    assert len(answers) == 1
    assert isinstance(answers[0], Reported)
    assert answers[0].report.order.ticket.price == "90"
    assert {order.ticket.price for order in orders if order.status is Status.ACTIVE} == {"100", "90"}


def test_a_fault_in_a_command_is_answered(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The command is refused, and there is no order."""
    with house(path, rules=NONSENSICAL) as one:
        one.attach(1, "me")
        one.quote(LIVE)
        answer = one.place(1, limit(BUY, "1", "100"))
        trouble, orders = one.orders.trouble, one.listed(1)

    assert isinstance(answer, Failed)
    assert (answer.code, trouble, orders) == ("store_unavailable", None, [])
    assert "internal error" in answer.reason
    assert faults(caplog) == 1


def test_a_fault_while_loading_is_retried(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Until its cause is gone nothing is accepted; then all stored orders are there."""
    with house(path) as one:
        resting(one)
    one = House(path)
    one.quotes["btcusdt"] = NONSENSE
    one.orders.start()
    one.until(lambda: faults(caplog) > 2)
    during = one.orders.trouble
    one.quotes["btcusdt"] = LIVE
    one.repair()
    one.attach(1, "me")
    orders = one.listed(1)
    one.stop()

    assert during == FAULT
    assert [order.status for order in orders] == [Status.ACTIVE]
