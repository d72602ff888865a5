"""The market of one instrument: price-time priority, and no more than the displayed size."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.market.orders import Kind, Order, Side, Ticket, TimeInForce
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.matching import ActiveOrder, Arrival, Fill, Market, active_order
from tests.orders.house import a_quote

BUY, SELL = Side.BUY, Side.SELL
GTC, IOC, FOK = TimeInForce


def active(
    rank: int,
    side: Side = BUY,
    amount: str = "1",
    price: str | None = "100",
    time_in_force: TimeInForce = GTC,
    due_ms: int = 0,
) -> ActiveOrder:
    kind = Kind.MARKET if price is None else Kind.LIMIT
    return active_order(
        Order(str(rank), "me", rank, Ticket("s", side, amount, price, kind, time_in_force), 0, due_ms)
    )


def ask(price: str | None, size: str | None = None, source: str = "one", *, stale: bool = False) -> Quote:
    return a_quote(source=source, ask=price, ask_size=size, stale=stale)


def bid(price: str | None, size: str | None = None) -> Quote:
    return a_quote(bid=price, bid_size=size)


def said(fills: list[Fill]) -> list[tuple[int, str, str]]:
    """List which order traded how much at which price."""
    return [(fill.active.order.rank, str(fill.amount), str(fill.price)) for fill in fills]


def test_a_buy_fills_at_the_ask_or_rests() -> None:
    """At or below its limit it trades, at the ask and not at its limit; otherwise it rests."""
    market = Market()
    market.quoted(ask("100"))
    assert said(market.arrive(active(1, price="100.5")).fills) == [(1, "1", "100")]
    assert market.arrive(active(2, price="99")) == Arrival([], None)

    fills = market.quoted(ask("98.5"))

    assert said(fills) == [(2, "1", "98.5")]
    assert fills[0].source == "one"


def test_a_sell_is_the_mirror_image() -> None:
    """It trades with the bid, at or above its limit."""
    market = Market()
    market.quoted(bid("100"))
    assert said(market.arrive(active(1, SELL, price="99")).fills) == [(1, "1", "100")]
    assert market.arrive(active(2, SELL, price="101")) == Arrival([], None)

    assert market.quoted(bid("100.9")) == []
    assert said(market.quoted(bid("101"))) == [(2, "1", "101")]


def test_one_change_offers_its_size_once_to_all() -> None:
    """By price, then time of arrival; the rest waits for the next change."""
    market = Market()
    for order in (
        active(1, price="100"),
        active(2, price="101"),
        active(3, price="100"),
        active(4, amount="5"),
    ):
        market.arrive(order)

    assert said(market.quoted(ask("100", "2.5"))) == [(2, "1", "100"), (1, "1", "100"), (3, "0.5", "100")]
    assert market.quoted(ask("100", "2.5")) == []
    assert said(market.quoted(ask("100", "2"))) == [(3, "0.5", "100"), (4, "1.5", "100")]


def test_later_orders_may_take_what_remains() -> None:
    """The rest of an offer remains until the quote changes."""
    market = Market()
    market.quoted(ask("100", "3"))

    assert said(market.arrive(active(1, amount="2")).fills) == [(1, "2", "100")]
    assert said(market.arrive(active(2, amount="2")).fills) == [(2, "1", "100")]
    assert said(market.arrive(active(3)).fills) == []
    assert said(market.quoted(ask("100", "4"))) == [(2, "1", "100"), (3, "1", "100")]


def test_what_was_taken_stays_taken_over_a_failover_and_back() -> None:
    """Another source's size is its own; if one serves again with the same quote, only the rest is offered."""
    market = Market()
    market.quoted(ask("100", "3"))
    market.arrive(active(1, amount="2"))
    market.quoted(ask("100", "3", stale=True))
    market.quoted(ask("100", "5", "two"))
    elsewhere = market.arrive(active(2, amount="4")).fills
    market.quoted(ask("100", "3"))
    back = market.arrive(active(3, amount="2")).fills
    market.quoted(ask("100", "5", "two"))
    there = market.arrive(active(4, amount="2")).fills
    changed = market.quoted(ask("100", "3.5"))

    assert said(elsewhere) == [(2, "4", "100")]
    assert said(back) == [(3, "1", "100")]
    assert said(there) == []  # who waited has had the last of it
    assert said(changed) == [(4, "2", "100")]


def test_time_is_when_an_order_reaches_the_market() -> None:
    """Of two orders at one price the first is the one whose latency ended first."""
    market = Market()
    market.arrive(active(1, due_ms=20))
    market.arrive(active(2, due_ms=10))

    assert [fill.active.order.rank for fill in market.quoted(ask("100", "1.5"))] == [2, 1]


@pytest.mark.parametrize("price", [None, "0", "-5", "0.00", "-1e3"])
def test_nothing_trades_at_a_price_that_is_not_above_zero(price: str | None) -> None:
    """Synthetic walks may show such prices; they are no offers."""
    market = Market()
    market.arrive(active(1, SELL, price="0.000000000000000001"))
    market.arrive(active(2, BUY))

    assert market.quoted(bid(price)) + market.quoted(ask(price)) == []
    assert market.arrive(active(3, price=None, time_in_force=IOC)).fills == []


def test_nothing_trades_at_a_stale_quote() -> None:
    """When the same quote is live again, the rest of it is offered."""
    market = Market()
    market.quoted(ask("100", "3"))
    market.arrive(active(1))
    assert market.quoted(ask("100", "3", stale=True)) == []

    assert market.arrive(active(2)) == Arrival([], None)
    assert market.arrive(active(3, price=None)) == Arrival([], "there is no live quote")
    assert market.quoted(ask("90", "7", stale=True)) == []
    assert said(market.quoted(ask("100", "3"))) == [(2, "1", "100")]
    assert said(market.arrive(active(4, amount="9")).fills) == [(4, "1", "100")]


def test_another_source_makes_a_new_offer() -> None:
    """After a failover the new source's quote fills, even if it is equal to the old one."""
    market = Market()
    market.arrive(active(1, amount="3"))

    assert said(market.quoted(ask("100", "1", "one"))) == [(1, "1", "100")]
    assert [fill.source for fill in market.quoted(ask("100", "1", "two"))] == ["two"]


def test_immediate_or_cancel_takes_what_is_there() -> None:
    """What cannot trade at once is cancelled, with the reason."""
    market = Market()
    market.quoted(ask("100", "2"))

    arrival = market.arrive(active(1, amount="5", time_in_force=IOC))

    assert said(arrival.fills) == [(1, "2", "100")]
    assert arrival.refused == "no more liquidity"
    assert market.arrive(active(2, time_in_force=IOC)).refused == "no liquidity at this price"
    assert market.resting() == 0


def test_a_market_order_takes_any_price() -> None:
    """It has no limit, and never rests, whatever its time in force."""
    market = Market()
    market.quoted(ask("123456", "2"))

    assert said(market.arrive(active(1, amount="1.5", price=None)).fills) == [(1, "1.5", "123456")]
    assert market.arrive(active(2, amount="1.5", price=None)).refused == "no more liquidity"
    assert market.resting() == 0


def test_fill_or_kill_is_whole_or_nothing() -> None:
    """It trades its whole amount at once or nothing."""
    market = Market()
    market.quoted(ask("100", "2"))

    assert market.arrive(active(1, amount="2.1", time_in_force=FOK)).fills == []
    assert market.arrive(active(2, price="99", time_in_force=FOK)).refused is not None
    assert said(market.arrive(active(3, amount="2", time_in_force=FOK)).fills) == [(3, "2", "100")]
    assert market.quoted(ask("100")) == []
    assert said(market.arrive(active(4, amount="99", time_in_force=FOK)).fills) == [(4, "99", "100")]


def test_a_removed_order_never_trades() -> None:
    """Cancelled orders are dropped, and use no memory for long."""
    market = Market()
    orders = [active(rank) for rank in range(1000)]
    for order in orders:
        market.arrive(order)
    for order in orders[1:]:
        market.remove(order)

    assert market.resting() == 1
    assert len(market._buys._heap) < 150
    assert [fill.active.order.rank for fill in market.quoted(ask("100"))] == [0]


def test_long_numbers_are_exact() -> None:
    """38 digits are not rounded, neither in priority nor in fills."""
    market = Market()
    low, high = "12345678901234567890.123456789012345677", "12345678901234567890.123456789012345678"
    market.arrive(active(1, price=low))
    market.arrive(active(2, price=high, amount=high))

    fills = market.quoted(ask(high, low))

    assert said(fills) == [(2, low, high)]
    assert fills[0].active.remaining == Decimal("0.000000000000000001")


class Arrives(NamedTuple):
    """An order reaches the market; its rank is the number of the step."""

    side: Side
    amount: int
    price: int | None
    time_in_force: TimeInForce


class Shows(NamedTuple):
    """A quote is published."""

    bid: int
    ask: int
    size: int | None
    stale: bool


class Ends(NamedTuple):
    """The order of an earlier step ends."""

    step: int


TradesListed = tuple[int, int, int]  # rank, amount, price
PRICES = st.integers(97, 101)
STEPS = st.lists(
    st.one_of(
        st.builds(
            *(Arrives, st.sampled_from(Side), st.integers(1, 9), PRICES | st.none()),
            st.sampled_from([GTC, GTC, IOC, FOK]),
        ),
        st.builds(Shows, PRICES, PRICES, st.sampled_from([None, 0, 3, 8]), st.booleans()),
        st.builds(Ends, st.integers(0, 20)),
    ),
    max_size=60,
)


class Reference:
    """A simple market: lists that are searched each time."""

    def __init__(self) -> None:
        self.resting: dict[int, Arrives] = {}
        self.key: dict[Side, tuple[int, int | None]] = {}
        self.left: dict[Side, float] = {BUY: 0, SELL: 0}
        self.fresh = False

    def show(self, quote: Shows) -> list[TradesListed]:
        self.fresh = not quote.stale
        trades: list[TradesListed] = []
        for side, price in ((BUY, quote.ask), (SELL, quote.bid)) if self.fresh else ():
            if self.key.get(side) != (price, quote.size):
                self.key[side] = (price, quote.size)
                self.left[side] = float("inf") if quote.size is None else quote.size
            while (best := self.best(side)) is not None and (amount := self.there(self.resting[best])):
                trades.append(self.take(best, self.resting[best], amount))
        return trades

    def come(self, rank: int, order: Arrives) -> list[TradesListed]:
        amount = self.there(order)
        if order.time_in_force is FOK and amount < order.amount:
            return []
        trades = [self.take(rank, order, amount)] if amount else []
        if order.time_in_force is GTC and order.price is not None and amount < order.amount:
            self.resting[rank] = order._replace(amount=order.amount - amount)
        return trades

    def best(self, side: Side) -> int | None:
        sign = -1 if side is BUY else 1
        there = [(sign * (one.price or 0), rank) for rank, one in self.resting.items() if one.side is side]
        return min(there)[1] if there else None

    def there(self, order: Arrives) -> int:
        """Return how much the order can trade now."""
        if not self.fresh:
            return 0
        price = self.key[order.side][0]
        sign = 1 if order.side is BUY else -1
        if order.price is not None and sign * price > sign * order.price:
            return 0
        return int(min(order.amount, self.left[order.side]))

    def take(self, rank: int, order: Arrives, amount: int) -> TradesListed:
        self.left[order.side] -= amount
        if rank in self.resting:
            self.resting[rank] = order._replace(amount=order.amount - amount)
            if amount == order.amount:
                del self.resting[rank]
        return rank, amount, self.key[order.side][0]


@given(STEPS)
def test_it_does_what_the_simplest_market_does(steps: list[Arrives | Shows | Ends]) -> None:
    """After any steps: the same trades, in the same order, as by searching lists."""
    market, reference, orders = Market(), Reference(), dict[int, ActiveOrder]()
    for rank, step in enumerate(steps):
        fills, expected = list[Fill](), list[TradesListed]()
        if isinstance(step, Shows):
            size = None if step.size is None else str(step.size)
            quote = a_quote(
                bid=str(step.bid), ask=str(step.ask), bid_size=size, ask_size=size, stale=step.stale
            )
            fills, expected = market.quoted(quote), reference.show(step)
        elif isinstance(step, Arrives):
            price = None if step.price is None else str(step.price)
            orders[rank] = active(rank, step.side, str(step.amount), price, step.time_in_force)
            fills, expected = market.arrive(orders[rank]).fills, reference.come(rank, step)
        elif (order := orders.get(step.step)) is not None:
            market.remove(order)
            reference.resting.pop(step.step, None)

        assert [(fill.active.order.rank, int(fill.amount), int(fill.price)) for fill in fills] == expected
        assert market.resting() == len(reference.resting)
