"""The service on a real orders.db: what sessions are told, when, and what they are refused."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from crypto_stream.bus.orders import Attach, Failed, Happened, ListOrders, Place
from crypto_stream.market.orders import ExecType, Kind, Outcome, Rules, Side, Status, Ticket, TimeInForce
from crypto_stream.orders.limits import Terms
from crypto_stream.orders.owners import Ask
from tests.orders.house import TERMS, House, a_quote, house, limit

BUY, SELL = Side.BUY, Side.SELL
LATEST_MS = 150  # the longest latency of an order
LIVE = a_quote(bid="99", ask="101")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.db"


def said(one: House, session: int = 1) -> list[tuple[int, ExecType, Status]]:
    return [(report.seq, report.exec_type, report.order.status) for report in one.reports(session)]


NEW = (1, ExecType.NEW, Status.ACTIVE)


def test_an_order_is_told_when_it_is_on_disk_and_not_before(path: Path) -> None:
    """While the disk stands still nothing is acknowledged; what is acknowledged is stored."""
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
    """Not before its time is over, at the ask, once, and told without being asked."""
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


def test_a_resting_order_fills_bit_by_bit(path: Path) -> None:
    """Each change of the quote offers its size; amount is what traded and what is left."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.placed(1, limit(SELL, "5", "100"))
        one.advance(LATEST_MS)
        for size in ("2", "1.5", "9"):
            one.quote(a_quote(bid="100.25", bid_size=size, ask="101"))

        assert [report.last_amount for report in one.reports(1)] == [None, "2", "1.5", "1.5"]
        assert [report.order.cum_amount for report in one.reports(1)] == ["0", "2", "3.5", "5.0"]
        assert one.reports(1)[-1].order.cum_value == "501.250"
        assert one.trades(1).positions[0].sold_amount == "5"


def test_only_its_owner_sees_or_cancels_an_order(path: Path) -> None:
    """To others it is unknown."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.attach(2, "you")
        order = one.placed(1, limit(BUY, "1", "90"))
        refused = one.cancel(2, order.order_id)

        assert isinstance(refused, Failed)
        assert refused.code == "unknown_order"
        assert one.listed(2) == []
        assert one.reports(2) == []
        assert one.listed(1)[0].status is Status.ACTIVE


def test_every_session_of_an_owner_is_told_everything(path: Path) -> None:
    """The one that asked has its ref in the answer, the others 0."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.attach(2, "me")
        order = one.placed(1, limit(BUY, "1", "90"))
        one.cancel(2, order.order_id)

        told = [[(one_of.ref > 0) for one_of in one.told[1, number]] for number in (1, 2)]
        assert told == [[True, False], [False, True]]
        assert one.reports(1) == one.reports(2)


def test_what_is_over_cannot_be_cancelled(path: Path) -> None:
    """The refusal names the state."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        order = one.placed(1, limit(BUY, "1", "90"))
        first = one.cancel(1, order.order_id)
        again = one.cancel(1, order.order_id)

        assert isinstance(first, Happened)
        assert isinstance(again, Failed)
        assert (again.code, "cancelled" in again.reason) == ("not_active", True)
        assert len(one.reports(1)) == 2


def test_reports_wait_for_their_owner(path: Path) -> None:
    """What happened while nobody was there comes first, once received never again."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.placed(1, limit(BUY, "3", "100"))
        one.receive(1, 1)
        one.detach(1)
        one.advance(LATEST_MS)
        one.quote(a_quote(bid="99", ask="100", ask_size="1"))
        one.quote(a_quote(bid="99", ask="99.5", ask_size="1"))
        one.attach(2, "me")
        missed = [report.seq for report in one.reports(2)]
        one.receive(2, 3)
        one.detach(2)
        one.attach(3, "me")

        assert missed == [2, 3]
        assert one.reports(3) == []


def test_orders_survive_a_kill(path: Path) -> None:
    """Restarted, everything acknowledged is there and trades on; nothing trades twice."""
    first = House(path)
    first.start()
    first.quote(LIVE)
    first.attach(1, "me")
    order = first.placed(1, limit(BUY, "3", "100"))
    first.placed(1, limit(SELL, "3", "200"))
    first.advance(LATEST_MS)
    first.quote(a_quote(bid="99", ask="100", ask_size="1"))
    first.kill()
    with house(path) as second:
        second.advance(LATEST_MS)
        second.attach(1, "me")
        missed = [report.seq for report in second.reports(1)]
        second.quote(a_quote(bid="99", ask="100", ask_size="9"))

        assert missed == [1, 2, 3]
        trade = second.reports(1)[-1]
        assert (trade.seq, trade.order.order_id, trade.last_amount) == (4, order.order_id, "2")
        assert [one.status for one in second.listed(1)] == [Status.FILLED, Status.ACTIVE]


def test_a_name_makes_resending_safe(path: Path) -> None:
    """The same order again is answered by its newest report, another one of that name is refused."""
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

        assert isinstance(again, Happened)
        assert (again.report.seq, again.report.order.status) == (2, Status.FILLED)
        assert isinstance(other, Failed)
        assert other.code == "duplicate_client_order_id"
        assert one.placed(2, ticket).order_id != order.order_id
        assert len(one.listed(1)) == 1


def test_a_name_given_twice_at_once_is_one_order(path: Path) -> None:
    """Two orders of one name in one batch: the second is answered by the first."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        ticket = Ticket("btcusdt", BUY, "1", "90", client_order_id="mine")
        one.orders.commands(1, [Place(1, 901, ticket), Place(1, 902, ticket)])
        one.settle()

        assert [
            (told.ref, report.seq) for told, report in zip(one.told[1, 1], one.reports(1), strict=True)
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
    """The code says why; no order comes of it."""
    rules = Rules(tick="0.1", lot="0.1", min_amount="0.2", min_notional="10")
    with house(path, rules=rules) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        answer = one.place(1, ticket)

        assert isinstance(answer, Failed)
        assert answer.code == code
        assert one.listed(1) == []
        assert one.orders.counts().active == 0


def test_an_owner_has_so_many_active_orders(path: Path) -> None:
    """One more is refused with the limit, those on their way to the disk count; an end makes room."""
    with house(path, TERMS._replace(max_open=2)) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.attach(2, "you")
        one.orders.commands(1, [Place(1, ref, limit(BUY, "1", "90")) for ref in (901, 902, 903)])
        one.settle()
        refused = [told for told in one.told[1, 1] if isinstance(told, Failed)]
        one.cancel(1, one.reports(1)[0].order.order_id)

        assert [(told.ref, told.code, "2" in told.reason) for told in refused] == [
            (903, "too_many_orders", True)
        ]
        assert isinstance(one.place(1, limit(BUY, "1", "90")), Happened)
        assert isinstance(one.place(2, limit(BUY, "1", "90")), Happened)


@pytest.mark.parametrize("time_in_force", [TimeInForce.IOC, TimeInForce.FOK])
def test_what_does_not_wait_ends_when_it_reaches_the_market(path: Path, time_in_force: TimeInForce) -> None:
    """The cancelling report says why, and nobody had to ask for it."""
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
    """Whatever the market does, also without one; a fill is at the order's own price and from no source."""
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
    with house(path, TERMS._replace(outcomes=False)) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        answer = one.place(1, Ticket("btcusdt", BUY, "1", "80", outcome=Outcome.FILL))

        assert isinstance(answer, Failed)
        assert answer.code == "outcome_not_allowed"


def test_latencies_repeat_with_the_seed(path: Path, tmp_path: Path) -> None:
    """Each order has its own between half and one and a half of the middle one; a seed makes them repeat."""
    lives = []
    for number, seed in enumerate((7, 7, 8)):
        with house(tmp_path / f"{number}.db", Terms(100, seed, outcomes=False, max_open=50)) as one:
            one.quote(LIVE)
            one.attach(1, "me")
            orders = [one.placed(1, limit(BUY, "1", "90")) for _ in range(20)]
            lives.append([order.due_ms - order.created_ms for order in orders])

    assert lives[0] == lives[1] != lives[2]
    assert all(50 <= latency <= 150 for latency in lives[0])
    assert len(set(lives[0])) > 5


def test_an_anonymous_owners_orders_end_60_s_after_its_last_session(path: Path) -> None:
    """Not earlier, and not while another session of it is there; a named owner's stay."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "nobody", anonymous=True)
        one.attach(2, "nobody", anonymous=True)
        one.attach(3, "me")
        one.placed(1, limit(BUY, "1", "90"))
        one.placed(3, limit(BUY, "1", "90"))
        one.detach(1)
        one.advance(100_000)
        one.detach(2)
        one.detach(3)
        one.advance(59_999)
        before = one.orders.counts().active
        one.advance(1)

        assert before == 2
        assert one.orders.counts().active == 1
        report = one.disk.batches[-1].reports[-1]
        assert (report.exec_type, report.reason) == (
            ExecType.CANCELED,
            "its connection had been gone for 60 s",
        )


def test_an_anonymous_owners_orders_end_after_a_restart_too(path: Path) -> None:
    """60 s after the new start nobody has come back for them."""
    first = House(path)
    first.start()
    first.quote(LIVE)
    first.attach(1, "nobody", anonymous=True)
    first.attach(2, "me")
    first.placed(1, limit(BUY, "1", "90"))
    first.placed(2, limit(BUY, "1", "90"))
    first.kill()
    with house(path) as second:
        second.advance(59_999)
        before = second.orders.counts().active
        second.advance(1)

        assert (before, second.orders.counts().active) == (2, 1)


def test_a_gateway_that_leaves_takes_its_sessions_along(path: Path) -> None:
    """Those of others stay, also under the same number."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me", gateway=1)
        one.attach(1, "me", gateway=2)
        one.orders.left(1)
        one.placed(1, limit(BUY, "1", "90"), gateway=2)

        assert one.reports(1, gateway=1) == []
        assert [report.seq for report in one.reports(1, gateway=2)] == [1]


def test_a_disk_that_refuses_takes_no_order_and_loses_none(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused with the reason; mended, sessions go on where they were, with nothing half done."""
    with house(path) as one, caplog.at_level(logging.INFO, "crypto_stream"):
        one.quote(LIVE)
        one.attach(1, "me")
        kept = one.placed(1, limit(BUY, "1", "100"))
        one.advance(LATEST_MS)
        one.receive(1, 1)
        one.disk.refuses = OSError("disk full")
        refused = [one.place(1, limit(BUY, "1", "90")), one.cancel(1, kept.order_id)]
        one.quote(a_quote(bid="99", ask="100", ask_size="1"))
        trouble, during = one.orders.trouble, len(one.reports(1))
        one.mend()
        cancelled = one.cancel(1, kept.order_id)

        assert [(told.code, told.reason) for told in refused if isinstance(told, Failed)] == [
            ("store_unavailable", "disk full")
        ] * 2
        assert (trouble, during) == ("disk full", 1)
        assert isinstance(cancelled, Failed)  # the quote of then was still there: it filled
        assert [report.exec_type for report in one.reports(1)] == [ExecType.NEW, ExecType.TRADE]
        assert one.orders.trouble is None
        said = [record.message for record in caplog.records]
        assert said.count("orders are not accepted, prices go on") == 1
        assert said.count("orders are accepted again") == 1


def test_a_fill_that_could_not_be_stored_never_was(path: Path) -> None:
    """Nobody is told of it; what it took from the quote is not offered again, the next change is."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.placed(1, limit(BUY, "3", "100"))
        one.advance(LATEST_MS)
        one.disk.refuses = OSError("disk full")
        one.quote(a_quote(bid="99", ask="100", ask_size="2"))
        one.mend()
        after = said(one)
        one.quote(a_quote(bid="99", ask="100", ask_size="3"))

        assert after == [NEW, NEW]  # not received, so told again
        assert said(one)[-1] == (2, ExecType.TRADE, Status.FILLED)
        assert one.listed(1)[0].cum_amount == "3"


def test_a_corrupt_file_stops_orders_and_is_left_alone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log tells a person what to do; commands are refused; not a byte of it changes."""
    path.write_bytes(b"this is no database, but it is somebody's" * 100)
    content = path.read_bytes()
    with house(path) as one, caplog.at_level(logging.ERROR, "crypto_stream"):
        one.quote(LIVE)
        one.attach(1, "me")
        answer = one.place(1, limit(BUY, "1", "90"))
        trouble = one.orders.trouble

        assert isinstance(answer, Failed)
        assert answer.code == "store_unavailable"
        assert one.failures(1) == ["store_unavailable"] * 2
        assert trouble is not None
        assert "restart the engine" in trouble
        assert [vars(record)["reason"] for record in caplog.records] == [trouble]
    assert path.read_bytes() == content


def test_answers_and_reports_keep_their_order(path: Path) -> None:
    """A list holds what was told before it; what it does not hold is told after it."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        asks: list[Ask] = []
        for number in range(20):
            asks += [Place(1, 900 + number, limit(BUY, "1", "90")), ListOrders(1, 500 + number)]
        for ask in asks:
            one.orders.commands(1, [ask])
        one.settle()

        told_before = 0
        for told in one.told[1, 1]:
            if isinstance(told, Happened):
                told_before += 1
            elif not isinstance(told, Failed):
                assert len(getattr(told, "orders", [])) >= told_before
        assert told_before == 20


def test_nobody_reads_without_an_end(path: Path) -> None:
    """Past 64 answers that are read from the disk, one more is refused."""
    with house(path) as one:
        one.attach(1, "me")
        one.disk.free.clear()
        one.orders.commands(1, [ListOrders(1, 500 + number) for number in range(65)])
        one.disk.free.set()
        one.settle()

        assert one.failures(1) == ["rate_limited"]
        assert len(one.told[1, 1]) == 65


def test_what_is_asked_before_the_orders_are_loaded_waits(path: Path) -> None:
    """A session may come and ask while the engine still starts."""
    one = House(path)
    one.quotes["btcusdt"] = LIVE
    one.told[1, 1] = []
    with_attach = [*[Place(1, ref, limit(BUY, "1", "90")) for ref in range(1, 31)]]
    one.orders.commands(1, [Attach(1, "me", False)])
    one.orders.commands(1, with_attach)
    one.start()
    try:
        assert [report.seq for report in one.reports(1)] == list(range(1, 31))
    finally:
        one.stop()
