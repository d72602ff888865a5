"""Owners and their sessions: what each is sent, in which order, and what ends with them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from crypto_stream.bus.orders import MAX_PENDING, Cancel, Cut, Failed, ListOrders, Place, Reported
from crypto_stream.market.orders import ExecType, Status
from crypto_stream.orders.limits import OrderLimits
from crypto_stream.orders.owners import SessionCommand
from crypto_stream.storage.interface import OwnerSummary
from tests.orders.house import BUY, LATEST_MS, LIVE, SETTINGS, House, a_quote, house, limit


def test_only_its_owner_sees_or_cancels_an_order(path: Path) -> None:
    """For others it is unknown."""
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


def test_every_session_of_an_owner_is_sent_everything(path: Path) -> None:
    """The one that sent the command has its ref in the answer, the others 0."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.attach(2, "me")
        order = one.placed(1, limit(BUY, "1", "90"))
        one.cancel(2, order.order_id)

        told = [[(one_of.ref > 0) for one_of in one.told["one", number]] for number in (1, 2)]
        assert told == [[True, False], [False, True]]
        assert one.reports(1) == one.reports(2)


def test_reports_wait_for_their_owner(path: Path) -> None:
    """Missed reports are sent first, and not again once received."""
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


def test_the_active_orders_of_an_owner_are_limited(path: Path) -> None:
    """One more is refused with the limit, including those being written; an ended order makes room."""
    with house(path, SETTINGS._replace(max_open=OrderLimits(2))) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.attach(2, "you")
        one.orders.commands("one", [Place(1, ref, limit(BUY, "1", "90")) for ref in (901, 902, 903)])
        one.settle()
        refused = [told for told in one.told["one", 1] if isinstance(told, Failed)]
        one.cancel(1, one.reports(1)[0].order.order_id)

        assert [(told.ref, told.code, "2" in told.reason) for told in refused] == [
            (903, "too_many_orders", True)
        ]
        assert isinstance(one.place(1, limit(BUY, "1", "90")), Reported)
        assert isinstance(one.place(2, limit(BUY, "1", "90")), Reported)


def test_an_anonymous_owners_orders_end_60_s_after_its_last_session(path: Path) -> None:
    """Not earlier, and not while it has another session; a named owner's remain."""
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
            "its connection was closed for 60 s",
        )


def test_an_anonymous_owners_orders_end_after_a_restart_too(path: Path) -> None:
    """60 s after the start, if the owner has not reconnected."""
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


def test_the_sessions_of_a_lost_gateway_end(path: Path) -> None:
    """Those of others remain, even with the same number."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me", gateway="one")
        one.attach(1, "me", gateway="two")
        one.orders.left("one")
        one.placed(1, limit(BUY, "1", "90"), gateway="two")

        assert one.reports(1, gateway="one") == []
        assert [report.seq for report in one.reports(1, gateway="two")] == [1]


def test_answers_and_reports_keep_their_order(path: Path) -> None:
    """A list contains what was sent before it; everything else is sent after it."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        asks: list[SessionCommand] = []
        for number in range(20):
            asks += [Place(1, 900 + number, limit(BUY, "1", "90")), ListOrders(1, 500 + number)]
        for ask in asks:
            one.orders.commands("one", [ask])
        one.settle()

        told_before = 0
        for told in one.told["one", 1]:
            if isinstance(told, Reported):
                told_before += 1
            elif not isinstance(told, Failed):
                assert len(getattr(told, "orders", [])) >= told_before
        assert told_before == 20


def test_pending_lookups_are_limited(path: Path) -> None:
    """A gateway leaves 256 commands unanswered, all of which may be lookups; one more is refused."""
    with house(path) as one:
        one.attach(1, "me")
        one.disk.free.clear()
        cancellations = [Cancel(1, 500 + number, f"ended-{number}") for number in range(MAX_PENDING)]
        one.orders.commands("one", [*cancellations, ListOrders(1, 1000)])
        one.disk.free.set()
        one.settle()

        assert Counter(one.failures(1)) == {"unknown_order": MAX_PENDING, "rate_limited": 1}


def test_an_order_that_is_stored_too_late_ends_at_once(path: Path) -> None:
    """If writing takes longer than the 60 s, the order of a gone owner ends at once."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "nobody", anonymous=True)
        one.disk.free.clear()
        one.place(1, limit(BUY, "1", "90"))
        one.detach(1)
        one.advance(60_000)
        one.disk.free.set()
        one.settle()

        types = [report.exec_type for batch in one.disk.batches for report in batch.reports]
        assert types == [ExecType.NEW, ExecType.CANCELED]
        assert one.orders.counts().active == 0


def test_a_session_that_is_opened_twice_is_sent_everything_once(path: Path) -> None:
    """The number then belongs to the newer owner only."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.attach(1, "you")
        one.attach(2, "me")
        one.placed(2, limit(BUY, "1", "90"))

        assert one.reports(1) == []
        assert [report.seq for report in one.reports(2)] == [1]


HOUR_MS = 3_600_000


def _unused(path: Path, ran_s: int) -> None:
    """Let the store have been in use for so long since its owners were used."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE store SET ran_s = ?", (ran_s,))


def test_an_owner_unused_for_long_is_removed_with_its_orders(path: Path) -> None:
    """Connected ones remain, however long; the wall clock is irrelevant."""
    with house(path, SETTINGS._replace(keep_days=1)) as one:
        one.quote(LIVE)
        for session, owner in enumerate(("gone", "here"), 1):
            one.attach(session, owner)
            one.placed(session, limit(BUY, "1", "90"))
    _unused(path, 2 * 86_400)
    with house(path, SETTINGS._replace(keep_days=1)) as one:
        one.quote(LIVE)
        one.attach(2, "here")
        one.orders.tick()
        one.advance(61_000)
        one.orders.tick()
        one.settle()
        active = one.orders.counts().active
        one.attach(1, "gone")

        assert active == 1
        assert one.listed(1) == []
        assert [order.status for order in one.listed(2)] == [Status.ACTIVE]
        one.placed(1, limit(BUY, "1", "90"))
        assert [report.seq for report in one.reports(1)] == [1]


def test_a_wall_clock_that_jumps_ahead_removes_nobody(path: Path) -> None:
    """Only running time counts, by a monotonic clock."""
    with house(path, SETTINGS._replace(keep_days=1)) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.placed(1, limit(BUY, "1", "90"))
        one.detach(1)
        one.orders.tick()
        one.advance(40 * 24 * HOUR_MS)
        one.orders.tick()
        one.settle()
        one.attach(1, "me")

        assert len(one.listed(1)) == 1


def test_an_operator_can_remove_an_owner(path: Path) -> None:
    """Its sessions are disconnected, its orders removed; others are unaffected, an unknown one is refused."""
    removed: list[int] = []
    refused: list[str] = []
    with house(path) as one:
        one.quote(LIVE)
        for session, owner in enumerate(("me", "you"), 1):
            one.attach(session, owner)
            one.placed(session, limit(BUY, "1", "90"))
        one.orders.remove("me", removed.append, lambda error: refused.append(error.code))
        one.orders.remove("nobody", removed.append, lambda error: refused.append(error.code))
        one.settle()
        cut = one.told["one", 1][-1]
        listed: list[OwnerSummary] = []
        one.orders.owners(listed.extend, lambda error: refused.append(error.code))
        one.settle()
        one.attach(3, "me")

        assert one.listed(3) == []
        assert len(one.listed(2)) == 1
    assert (removed, refused) == ([1], ["unknown_owner"])
    assert isinstance(cut, Cut)
    assert cut.code == "owner_removed"
    assert [(each.owner, each.active) for each in listed] == [("you", 1)]
