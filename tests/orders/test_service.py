"""Orders on a real orders.db: what is accepted, what trades, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto_stream.bus.orders import Failed, Place, Reported
from crypto_stream.market.orders import ExecType, Kind, Outcome, Rules, Status, Ticket, TimeInForce
from crypto_stream.orders.limits import OrderLimits
from crypto_stream.orders.validation import OrderSettings
from tests.orders.house import BUY, LATEST_MS, LIVE, NEW, SELL, SETTINGS, a_quote, house, limit, said


def test_an_order_is_acknowledged_once_it_is_stored(path: Path) -> None:
    """While the disk hangs nothing is acknowledged; what is acknowledged is stored."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.disk.free.clear()
        before = one.place(1, limit(BUY, "1", "100"))
        one.disk.free.set()
        one.settle()

        assert before is None
        assert said(one) == [NEW]
        assert [report.order for report in one.disk.batches[0].reports] == one.listed(1)


def test_a_fill_comes_from_the_live_quote_after_the_latency(path: Path) -> None:
    """Not before the latency is over, at the ask, once, and sent without a request."""
    with house(path) as one:
        one.quote(a_quote(bid="99", ask="100", ask_size="5"))
        one.attach(1, "me")
        order = one.placed(1, limit(BUY, "2", "100.5"))
        assert 50 <= order.due_ms - order.created_ms <= LATEST_MS
        one.advance(order.due_ms - order.created_ms - 1)
        early = said(one)
        one.advance(1)

        assert early == [NEW]
        trade = one.reports(1)[1]
        assert (trade.last_amount, trade.last_price, trade.source) == ("2", "100", "one")
        assert (trade.order.status, trade.order.cum_value) == (Status.FILLED, "200")


def test_a_resting_order_fills_partially(path: Path) -> None:
    """Each change of the quote offers its size; traded and remaining amounts add up."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.placed(1, limit(SELL, "5", "100"))
        one.advance(LATEST_MS)
        for size in ("2", "1.5", "9"):
            one.quote(a_quote(bid="100.25", bid_size=size, ask="101"))

        assert [report.last_amount for report in one.reports(1)] == [None, "2", "1.5", "1.5"]
        assert [report.order.cum_amount for report in one.reports(1)] == ["0", "2", "3.5", "5"]
        assert one.reports(1)[-1].order.cum_value == "501.25"
        assert one.trades(1).positions[0].sold_amount == "5"


def test_an_ended_order_cannot_be_cancelled(path: Path) -> None:
    """The refusal names the status."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        order = one.placed(1, limit(BUY, "1", "90"))
        first = one.cancel(1, order.order_id)
        again = one.cancel(1, order.order_id)

        assert isinstance(first, Reported)
        assert isinstance(again, Failed)
        assert (again.code, "cancelled" in again.reason) == ("not_active", True)
        assert len(one.reports(1)) == 2


def test_a_client_order_id_makes_resending_safe(path: Path) -> None:
    """The same order is answered with its newest report, another one with that id is refused."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.attach(2, "you")
        ticket = Ticket("btcusdt", BUY, "1", "100", client_order_id="mine")
        order = one.placed(1, ticket)
        one.advance(LATEST_MS)
        one.quote(a_quote(bid="99", ask="100"))
        again = one.place(1, ticket)
        other = one.place(1, Ticket("btcusdt", BUY, "2", "100", client_order_id="mine"))

        assert isinstance(again, Reported)
        assert (again.report.seq, again.report.order.status) == (2, Status.FILLED)
        assert isinstance(other, Failed)
        assert other.code == "duplicate_client_order_id"
        assert one.placed(2, ticket).order_id != order.order_id
        assert len(one.listed(1)) == 1


def test_a_client_order_id_used_twice_at_once_is_one_order(path: Path) -> None:
    """In one batch, the second order is answered by the first."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        ticket = Ticket("btcusdt", BUY, "1", "90", client_order_id="mine")
        one.orders.commands("one", [Place(1, 901, ticket), Place(1, 902, ticket)])
        one.settle()

        assert [
            (told.ref, report.seq) for told, report in zip(one.told["one", 1], one.reports(1), strict=True)
        ] == [
            (901, 1),
            (902, 1),
        ]
        assert len(one.listed(1)) == 1


@pytest.mark.parametrize(
    ("ticket", "code"),
    [
        (limit(BUY, "1", "100", "nosuch"), "unknown_instrument"),
        (limit(BUY, "1", "100", "ethusdt"), "no_market"),
        (limit(BUY, "0", "100"), "bad_field"),
        (limit(BUY, "1e3", "100"), "bad_field"),
        (limit(BUY, "1", "-1"), "bad_field"),
        (limit(BUY, "1.0000000000000000001", "100"), "bad_field"),
        (limit(BUY, "1", "100000000000000000000"), "bad_field"),
        (Ticket("btcusdt", BUY, "1"), "bad_field"),
        (Ticket("btcusdt", BUY, "1", "5", Kind.MARKET), "bad_field"),
        (Ticket("btcusdt", BUY, "1", None, Kind.MARKET, outcome=Outcome.FILL), "bad_field"),
        (limit(BUY, "1", "100.05"), "rules"),
        (limit(BUY, "1.05", "100"), "rules"),
        (limit(BUY, "0.1", "100"), "rules"),
        (limit(BUY, "1", "9.9"), "rules"),
    ],
)
def test_what_cannot_be_accepted_is_refused_and_changes_nothing(
    path: Path, ticket: Ticket, code: str
) -> None:
    """The code says why; there is no order."""
    rules = Rules(tick="0.1", lot="0.1", min_amount="0.2", min_notional="10")
    with house(path, rules=rules) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        answer = one.place(1, ticket)

        assert isinstance(answer, Failed)
        assert answer.code == code
        assert one.listed(1) == []
        assert one.orders.counts().active == 0


@pytest.mark.parametrize(
    ("ticket", "words"),
    [
        (limit(BUY, "11", "100"), "amount: 11 is above the maximum, 10"),
        (limit(BUY, "1", "49"), "price: 49 is below the minimum, 50"),
        (limit(BUY, "1", "201"), "price: 201 is above the maximum, 200"),
        (limit(BUY, "10", "151"), "amount: times price, 1510 is above the maximum, 1500"),
        (Ticket("btcusdt", BUY, "1.5", None, Kind.MARKET), "lot of market orders"),
        (Ticket("btcusdt", BUY, "1", None, Kind.MARKET), "below the minimum of a market order, 2"),
        (Ticket("btcusdt", BUY, "9", None, Kind.MARKET), "above the maximum of a market order, 8"),
        (Ticket("btcusdt", BUY, "2", None, Kind.MARKET), "202 is below the minimum of a market order, 250"),
        (Ticket("btcusdt", SELL, "8", None, Kind.MARKET), "792 is above the maximum of a market order, 700"),
    ],
)
def test_all_rules_of_the_venue_are_enforced(path: Path, ticket: Ticket, words: str) -> None:
    """Those of limit orders and those of market orders, which are valued at the quote."""
    rules = Rules(
        *("0.1", "0.1", "0.2", "10", "10", "50", "200", "1500"),
        *("1", "2", "8", "250", "700"),
    )
    with house(path, rules=rules) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        refused = one.place(1, ticket)
        one.placed(1, limit(BUY, "10", "150"))
        one.placed(1, Ticket("btcusdt", BUY, "3", None, Kind.MARKET))

        assert isinstance(refused, Failed)
        assert refused.code == "rules"
        assert words in refused.reason


@pytest.mark.parametrize("time_in_force", [TimeInForce.IOC, TimeInForce.FOK])
def test_an_order_that_cannot_rest_ends_when_it_arrives(path: Path, time_in_force: TimeInForce) -> None:
    """The cancelling report says why, and is sent without a request."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.placed(1, Ticket("btcusdt", BUY, "1", "100", time_in_force=time_in_force))
        one.advance(LATEST_MS)

        end = one.reports(1)[-1]
        assert (end.exec_type, end.order.status, bool(end.reason)) == (
            ExecType.CANCELED,
            Status.CANCELLED,
            True,
        )


@pytest.mark.parametrize(
    ("outcome", "end"),
    [
        (Outcome.FILL, (ExecType.TRADE, Status.FILLED, "80")),
        (Outcome.REJECT, (ExecType.REJECTED, Status.REJECTED, None)),
        (Outcome.REST, (ExecType.NEW, Status.ACTIVE, None)),
    ],
)
def test_an_outcome_can_be_scripted_where_that_is_allowed(
    path: Path, outcome: Outcome, end: tuple[ExecType, Status, str | None]
) -> None:
    """Whatever the market does, even without one; a fill is at the order's own price and from no source."""
    with house(path) as one:
        one.attach(1, "me")
        one.placed(1, Ticket("btcusdt", SELL, "1", "80", outcome=outcome))
        one.advance(LATEST_MS)
        one.quote(a_quote(bid="90", ask="91"))

        last = one.reports(1)[-1]
        assert (last.exec_type, last.order.status, last.last_price) == end
        assert last.source is None


def test_an_outcome_is_refused_where_it_is_not_allowed(path: Path) -> None:
    """The setting decides."""
    with house(path, SETTINGS._replace(outcomes=False)) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        answer = one.place(1, Ticket("btcusdt", BUY, "1", "80", outcome=Outcome.FILL))

        assert isinstance(answer, Failed)
        assert answer.code == "outcome_not_allowed"


def test_latencies_repeat_with_the_seed(path: Path, tmp_path: Path) -> None:
    """Each is between half and one and a half of the average; a seed makes them reproducible."""
    lives = []
    for number, seed in enumerate((7, 7, 8)):
        with house(
            tmp_path / f"{number}.db", OrderSettings(100, seed, outcomes=False, max_open=OrderLimits(50))
        ) as one:
            one.quote(LIVE)
            one.attach(1, "me")
            orders = [one.placed(1, limit(BUY, "1", "90")) for _ in range(20)]
            lives.append([order.due_ms - order.created_ms for order in orders])

    assert lives[0] == lives[1] != lives[2]
    assert all(50 <= latency <= 150 for latency in lives[0])
    assert len(set(lives[0])) > 5
