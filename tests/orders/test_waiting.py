"""Orders that wait for a book: each as long as it needs one, all together at the cost of one."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.market.depth import VenueDepth
from crypto_stream.market.orders import ExecType, Side
from crypto_stream.orders.matching import ActiveOrder, Market
from crypto_stream.orders.simulator import Simulator
from crypto_stream.orders.waiting import WaitingOrders
from tests.orders.house import a_quote
from tests.orders.walkers import book, order


class Coming:
    """A book that was requested, comes, and is given."""

    def __init__(self) -> None:
        self.awaited = True
        self.asked = 0  # how often whether it may still come
        self.book: VenueDepth | None = None

    def need(self, symbol: str) -> None:
        """Nothing."""

    def awaits(self, source: str, symbol: str) -> bool:
        """Return whether it may still come."""
        self.asked += 1
        return self.awaited

    def at(self, source: str, symbol: str) -> VenueDepth | None:
        """Return it."""
        return self.book


def waiting(*orders: ActiveOrder) -> tuple[Simulator, Coming]:
    """Let orders reach a market whose book was requested a moment ago."""
    simulator, coming = Simulator(["s"], {}), Coming()
    simulator.books = coming
    simulator.quoted([a_quote("s", "one", ask="100", ask_size="1")])
    for each in orders:
        simulator.send(each, 1.0)
    return simulator, coming


def traded(simulator: Simulator, now_s: float) -> list[tuple[str, str]]:
    """List how much traded at which price when orders arrive."""
    decisions = simulator.arrivals(now_s)
    return [(str(one.amount), str(one.price)) for one in decisions if one.exec_type is ExecType.TRADE]


def test_an_order_waits_for_a_book_that_is_about_to_come() -> None:
    """It arrives as a whole once the book is there; nobody else waits for it."""
    simulator, coming = waiting(order("3"), order("1", walks=False, rank=2))
    first = traded(simulator, 1.0)
    due_s = simulator.next_due_s
    assert due_s is not None
    still = traded(simulator, due_s)
    coming.awaited, coming.book = False, book()

    assert first == [("1", "100")]
    assert still == []
    assert traded(simulator, due_s + 1) == [("2", "101"), ("0.5", "102.5"), ("0.5", "104")]
    assert simulator.next_due_s is None


def test_an_order_does_not_wait_for_a_book_that_does_not_come() -> None:
    """It was refused, or was awaited for long enough: the top alone, and the order ends."""
    simulator, coming = waiting(order("3"))
    traded(simulator, 1.0)
    coming.awaited = False
    decisions = simulator.arrivals(2.0)

    assert [(one.exec_type, str(one.amount)) for one in decisions] == [
        (ExecType.TRADE, "1"),
        (ExecType.CANCELED, "0"),
    ]


def test_an_order_that_is_cancelled_while_it_waits_never_arrives() -> None:
    """Like one that is still on its way."""
    cancelled = order("3")
    simulator, coming = waiting(cancelled)
    traded(simulator, 1.0)
    simulator.remove(cancelled)
    coming.awaited, coming.book = False, book()

    assert simulator.arrivals(2.0) == []
    assert simulator.next_due_s is None


def test_an_order_waits_no_longer_once_the_top_is_enough() -> None:
    """Those that are larger, or on the other side, wait on for the same book."""
    simulator, coming = waiting(order("3"), order("9", rank=2), order("3", side=Side.SELL, rank=3))
    simulator.quoted([a_quote("s", "one", bid="99", bid_size="1", ask="100", ask_size="1")])
    first = traded(simulator, 1.0)
    simulator.quoted([a_quote("s", "one", bid="99", bid_size="1", ask="100", ask_size="3.5")])
    enough = traded(simulator, 2.0)
    still = traded(simulator, 3.0)
    coming.awaited, coming.book = False, book(bids=[("99", "1"), ("98", "5")])

    assert (first, still) == ([], [])
    assert enough == [("3", "100")]
    assert traded(simulator, 4.0) == [
        *(("0.5", "100"), ("2", "101"), ("0.5", "102.5"), ("6.0", "104")),
        *(("1", "99"), ("2", "98")),
    ]


def test_an_order_does_not_wait_for_the_book_of_a_source_that_serves_no_more() -> None:
    """It would not walk that book, although it is still about to come."""
    simulator, _ = waiting(order("3"))
    first = traded(simulator, 1.0)
    simulator.quoted([a_quote("s", "two", ask="100", ask_size="5")])

    assert first == []
    assert traded(simulator, 2.0) == [("3", "100")]
    assert simulator.next_due_s is None


def test_orders_arrive_in_turn_after_they_waited_together() -> None:
    """By when they reached their market, although those of one side waited together."""
    simulator, coming = waiting(order("2", rank=3), order("2", side=Side.SELL, rank=2), order("2", rank=1))
    simulator.quoted([a_quote("s", "one", bid="99", bid_size="1", ask="100", ask_size="1")])
    first = traded(simulator, 1.0)
    coming.awaited, coming.book = False, book()
    ranks = [one.active.order.rank for one in simulator.arrivals(2.0)]

    assert first == []
    assert list(dict.fromkeys(ranks)) == [1, 2, 3]


def test_however_many_orders_wait_their_book_is_asked_for_once() -> None:
    """Each time that they look: the loop has other things to do."""
    simulator, coming = waiting(*(order("3", rank=rank) for rank in range(1_000)))
    traded(simulator, 1.0)
    asked = coming.asked
    looks = 20
    for number in range(looks):
        traded(simulator, 2.0 + number)

    assert asked == 1_000
    assert coming.asked - asked == looks


AMOUNTS = st.integers(1, 9)
PRICES = st.integers(95, 110)


@given(
    st.lists(st.tuples(AMOUNTS, st.none() | PRICES), min_size=1, max_size=6), AMOUNTS, PRICES, st.booleans()
)
def test_orders_are_released_exactly_when_one_of_them_waits_no_longer(
    wanted: list[tuple[int, int | None]], size: int, price: int, is_buy: bool
) -> None:
    """So none waits too long, and they are not looked at in vain."""
    side = Side.BUY if is_buy else Side.SELL
    market, waiting_orders = Market(), WaitingOrders()
    market.quoted(a_quote("s", "one", bid=f"{price}", bid_size=f"{size}", ask=f"{price}", ask_size=f"{size}"))
    orders = [order(str(amount), None if limit is None else str(limit), side) for amount, limit in wanted]
    for each in orders:
        waiting_orders.add(each, "one")
    released = waiting_orders.released(market.book_of)

    assert bool(released) is any(market.book_of(each) is None for each in orders)
    assert released == (orders if released else [])
    assert bool(waiting_orders) is not bool(released)
    assert [each.remaining for each in orders] == [Decimal(amount) for amount, _ in wanted]
