"""What every store of orders does: atomic batches, read as they were written, each owner apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto_stream.market.orders import Report, Side, Status
from crypto_stream.storage.interface import (
    OrderBatch,
    OrderReader,
    OrderWriter,
    OwnerState,
    RemainingSize,
    Stores,
)
from tests.storage.reports import ANN, BOB, DECIMALS, MOST, batch, histories, placed, told, traded
from tests.stores import StoreFactory


@pytest.fixture
def writer(stores: Stores) -> Iterator[OrderWriter]:
    made, _ = stores.orders()
    made.open()
    yield made
    made.close()


@pytest.fixture
def reader(stores: Stores, writer: OrderWriter) -> Iterator[OrderReader]:
    _, made = stores.orders()
    yield made
    made.close()


TRADES = st.lists(st.tuples(st.sampled_from(Side), st.sampled_from(["a", "b"]), DECIMALS, DECIMALS))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.integers(1, 20))
def test_orders_are_read_as_written(store_factory: StoreFactory, reports: list[Report], at_once: int) -> None:
    """However the reports are batched: each order is as in its newest report, and there is no other."""
    stores = store_factory.stores()
    writer, reader = stores.orders()
    writer.open()
    for start in range(0, len(reports), at_once):
        writer.write(batch(*reports[start : start + at_once]))
    newest = {report.order.rank: report for report in reports}
    orders = [newest[rank].order for rank in sorted(newest)]
    another, _ = stores.orders()
    again = another.open()

    for owner in (ANN, BOB):
        own = [report for report in reports if report.order.owner == owner]
        assert writer.owner(owner) == OwnerState(len(own), own)
        assert reader.orders(owner, MOST) == [order for order in orders if order.owner == owner]
    for report in newest.values():
        order = report.order
        assert reader.order(order.owner, order.order_id) == order
        assert reader.newest_report(order.owner, order.order_id) == report
        if order.ticket.client_order_id:
            name = (order.owner, order.ticket.client_order_id)
            assert writer.existing([name, (order.owner, "never given")]) == {name: report}
    assert again.active == [order for order in orders if order.status is Status.ACTIVE]
    assert again.next_rank == max(newest, default=0) + 1
    for each in (reader, writer, another):
        each.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TRADES, st.integers(1, 5))
def test_positions_are_exact(
    store_factory: StoreFactory, trades: list[tuple[Side, str, str, str]], at_once: int
) -> None:
    """The sums of amounts and of amount times price of all trades, to the last digit."""
    stores = store_factory.stores()
    writer, reader = stores.orders()
    writer.open()
    reports = [
        traded(placed(seq, symbol=symbol, side=side), seq, amount, price)
        for seq, (side, symbol, amount, price) in enumerate(trades, 1)
    ]
    for start in range(0, len(reports), at_once):
        writer.write(batch(*reports[start : start + at_once]))
    found = reader.positions(ANN)

    assert [position.symbol for position in found] == sorted({symbol for _, symbol, _, _ in trades})
    for position in found:
        for side, amounts, values in [
            (Side.BUY, position.bought_amount, position.bought_value),
            (Side.SELL, position.sold_amount, position.sold_value),
        ]:
            own = [
                (Fraction(a), Fraction(p))
                for s, symbol, a, p in trades
                if (s, symbol) == (side, position.symbol)
            ]
            assert Fraction(amounts) == sum(amount for amount, _ in own)
            assert Fraction(values) == sum(amount * price for amount, price in own)
            assert "E" not in amounts + values
    reader.close()
    writer.close()


def test_the_first_start_finds_nothing(stores: Stores) -> None:
    """A new store has no orders; ranks begin at 1; nothing has been received."""
    with closing(stores.orders()[0]) as writer:
        found = writer.open()

        assert (found.active, found.anonymous, found.next_rank) == ([], frozenset(), 1)
        assert writer.owner(ANN) == OwnerState(0, [])
        assert writer.existing([(ANN, "x")]) == {}


def test_nobody_reads_another_owners_orders(writer: OrderWriter, reader: OrderReader) -> None:
    """Neither by the order's id, nor by its client_order_id, nor in a list."""
    order = placed(1, client_order_id="mine")
    writer.write(batch(told(order, 1), traded(order, 2)))

    assert reader.order(BOB, order.order_id) is None
    assert reader.newest_report(BOB, order.order_id) is None
    assert writer.existing([(BOB, "mine")]) == {}
    assert (reader.orders(BOB, MOST), reader.trades(BOB, "eurrub", MOST), reader.positions(BOB)) == (
        [],
        [],
        [],
    )


def test_two_owners_may_use_one_client_order_id(writer: OrderWriter) -> None:
    """It is unique per owner; the report is the order's newest one."""
    mine, other = placed(1, client_order_id="x"), placed(2, BOB, client_order_id="x")
    newest = traded(mine, 2)
    writer.write(batch(told(mine, 1), told(other, 1)))
    writer.write(batch(newest))

    assert writer.existing([(ANN, "x"), (BOB, "x")]) == {(ANN, "x"): newest, (BOB, "x"): told(other, 1)}


def test_received_reports_are_not_returned_again(writer: OrderWriter) -> None:
    """Reports after the highest received seq are unread; that seq never decreases."""
    reports = [told(placed(rank), rank) for rank in (1, 2, 3)]
    writer.write(OrderBatch(reports, {ANN: 1}, frozenset()))
    first = writer.owner(ANN)
    writer.write(OrderBatch([], {ANN: 2}, frozenset()))
    writer.write(OrderBatch([], {ANN: 1, BOB: 7}, frozenset()))

    assert first == OwnerState(3, reports[1:])
    assert writer.owner(ANN) == OwnerState(3, reports[2:])
    assert writer.owner(BOB) == OwnerState(0, [])


def test_a_seq_that_does_not_exist_yet_cannot_be_received(writer: OrderWriter) -> None:
    """After a restore a gateway may send higher ones: later reports are returned all the same."""
    writer.write(OrderBatch([told(placed(1), 1)], {ANN: 60}, frozenset()))
    later = told(placed(2), 2)
    writer.write(batch(later))

    assert writer.owner(ANN) == OwnerState(2, [later])


def test_anonymous_owners_of_active_orders_are_known(writer: OrderWriter, stores: Stores) -> None:
    """Only those: neither named owners nor those without active orders."""
    over = placed(3, "gone")
    reports = [told(placed(1), 1), told(placed(2, BOB), 1), told(over, 1), traded(over, 2)]
    writer.write(OrderBatch(reports, {}, frozenset({BOB, "gone"})))
    writer.write(batch(told(placed(4, BOB), 2)))

    assert writer.open().anonymous == {BOB}
    with closing(stores.orders()[0]) as again:
        assert again.open().anonymous == {BOB}


def test_the_newest_orders_and_trades_are_listed(writer: OrderWriter, reader: OrderReader) -> None:
    """All active ones, the newest others; the newest trades of one instrument."""
    active = [told(placed(rank), rank) for rank in (1, 5)]
    trades = [traded(placed(rank), rank) for rank in (2, 3, 4, 6)]
    other = traded(placed(7, symbol="btcusdt"), 7)
    writer.write(batch(*sorted([*active, *trades, other], key=lambda report: report.seq)))

    assert [order.rank for order in reader.orders(ANN, 3)] == [1, 4, 5, 6, 7]
    assert reader.trades(ANN, "eurrub", 2) == trades[-2:]
    assert reader.trades(ANN, "btcusdt", 2) == [other]
    assert reader.trades(ANN, "never", 2) == []


def test_an_owner_is_removed_with_all_it_had(writer: OrderWriter, stores: Stores) -> None:
    """Others are unaffected; the name starts again, even while the old rows are still being deleted."""
    writer.write(batch(*(traded(placed(rank), rank) for rank in range(1, 5_001))))
    writer.write(batch(told(placed(5_001, BOB), 1)))
    writer.remove(ANN)
    writer.write(batch(told(placed(5_002), 1)))
    passes = 0
    while writer.tidy():
        passes += 1
    with closing(stores.orders()[1]) as reader:
        mine, others = reader.orders(ANN, MOST), reader.orders(BOB, MOST)
        positions = reader.positions(ANN)
        owners = reader.owners(10)

    assert passes > 2
    assert [order.rank for order in mine] == [5_002]
    assert [order.rank for order in others] == [5_001]
    assert positions == []
    assert {(one.owner, one.active, one.reports) for one in owners} == {(ANN, 1, 1), (BOB, 1, 1)}


def test_owners_are_listed_with_what_they_have(writer: OrderWriter, stores: Stores) -> None:
    """The one with the most active orders is first."""
    writer.write(batch(told(placed(1), 1), told(placed(2, BOB), 1), told(placed(3, BOB), 2)))
    writer.write(OrderBatch([], {}, frozenset(), frozenset({ANN})))
    with closing(stores.orders()[1]) as reader:
        listed = [(one.owner, one.active, one.reports, one.unused_s) for one in reader.owners(10)]

    assert listed == [(BOB, 2, 2, 0), (ANN, 1, 1, 0)]


def test_remaining_displayed_sizes_are_stored(writer: OrderWriter) -> None:
    """The newest of each source and side."""
    first = RemainingSize("eurrub", "synthetic", Side.BUY, "87", "100", "90")
    newest = first._replace(remaining="80")
    endless = RemainingSize("eurrub", "other", Side.SELL, "88", None, None)
    writer.write(OrderBatch([], {}, frozenset(), remaining=[first]))
    writer.write(OrderBatch([], {}, frozenset(), remaining=[newest, endless]))
    writer.close()

    assert set(writer.open().remaining) == {newest, endless}
