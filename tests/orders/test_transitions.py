"""The status transitions of orders: the table is complete."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.market.orders import ExecType, Order, Side, Status, Ticket
from crypto_stream.orders.transitions import TABLE, changed, leaves, traded

SCALE = 10**18
NUMBERS = st.integers(1, 10**38 - 1)


def text(number: int) -> str:
    """Return so many of the smallest unit of an amount or a price."""
    return f"{number // SCALE}.{number % SCALE:018d}"


def order(amount: str = "10", status: Status = Status.ACTIVE) -> Order:
    return Order("id", "me", 1, Ticket("btcusdt", Side.BUY, amount, "1"), 5, 5, status, 5)


def test_only_an_active_order_ever_changes() -> None:
    """Every pair of status and event that is not in the table is refused; final states are final."""
    ends = {Status.FILLED, Status.REJECTED, Status.CANCELLED}

    assert not [key for key in TABLE if key[0] in ends]
    assert {key[0] for key in TABLE} == {None, Status.ACTIVE}
    assert set(TABLE.values()) == set(Status)
    for status, exec_type in product(ends, (ExecType.CANCELED, ExecType.REJECTED)):
        with pytest.raises(KeyError):
            changed(order(status=status), exec_type, 6)
    for status in ends:
        with pytest.raises(KeyError):
            traded(order(status=status), Decimal(1), Decimal(1), 6)
    with pytest.raises(KeyError):
        changed(order(), ExecType.NEW, 6)


@given(NUMBERS, st.lists(st.tuples(st.integers(1, 100), NUMBERS), min_size=1, max_size=10))
def test_trades_add_up_exactly(amount: int, trades: list[tuple[int, int]]) -> None:
    """Amount is always traded plus remaining, to the last digit, and the value is the exact sum."""
    now, cum, value = order(text(amount)), 0, 0
    for percent, price in trades:
        part = (amount - cum) * percent // 100
        if not part:
            break
        now = traded(now, Decimal(text(part)), Decimal(text(price)), 7)
        cum += part
        value += part * price
        assert Fraction(leaves(now)) + Fraction(now.cum_amount) == Fraction(text(amount))

    assert Fraction(now.cum_amount) == Fraction(cum, SCALE)
    assert Fraction(now.cum_value) == Fraction(value, SCALE**2)
    assert "E" not in now.cum_amount + now.cum_value
    assert now.status is (Status.FILLED if cum == amount else Status.ACTIVE)


@pytest.mark.parametrize("amount", ["10.000000000000000001", "0", "-1"])
def test_no_more_than_the_remaining_amount_trades(amount: str) -> None:
    """More than that, zero and negative amounts raise."""
    with pytest.raises(ValueError, match="cannot trade"):
        traded(order(), Decimal(amount), Decimal(1), 6)


def test_a_clock_that_was_set_back_does_not_affect_orders() -> None:
    """An order's last change is never before the previous one."""
    assert changed(order(), ExecType.CANCELED, 3).changed_ms == 5
