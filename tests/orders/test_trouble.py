"""Kills, disk failures, a corrupt file: nothing acknowledged is lost, and nothing else exists."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from crypto_stream.bus.orders import Attach, Failed, ListOrders, Place
from crypto_stream.market.orders import ExecType, Status, Ticket, TimeInForce
from tests.orders.house import BUY, LATEST_MS, LIVE, NEW, SELL, House, a_quote, house, limit, said
from tests.waiting import DEADLINE_S


def test_orders_survive_a_kill(path: Path) -> None:
    """After a restart everything acknowledged is there and continues to trade; nothing trades twice."""
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


def test_a_failing_disk_accepts_no_order_and_loses_none(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Orders are refused with the reason; afterwards sessions continue where they were."""
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
        one.repair()
        cancelled = one.cancel(1, kept.order_id)

        assert [(told.code, told.reason) for told in refused if isinstance(told, Failed)] == [
            ("store_unavailable", "disk full")
        ] * 2
        assert (trouble, during) == ("disk full", 1)
        assert isinstance(cancelled, Failed)  # the quote of then was still there: it filled
        assert [report.exec_type for report in one.reports(1)] == [ExecType.NEW, ExecType.TRADE]
        assert one.orders.trouble is None
        said = [record.message for record in caplog.records]
        assert said.count("orders are not accepted, prices continue") == 1
        assert said.count("orders are accepted again") == 1


def test_a_fill_that_could_not_be_stored_did_not_happen(path: Path) -> None:
    """It is not reported; what it took from the quote is not offered again, the next change is."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.placed(1, limit(BUY, "3", "100"))
        one.advance(LATEST_MS)
        one.disk.refuses = OSError("disk full")
        one.quote(a_quote(bid="99", ask="100", ask_size="2"))
        one.repair()
        after = said(one)
        one.quote(a_quote(bid="99", ask="100", ask_size="3"))

        assert after == [NEW, NEW]  # not received, so told again
        assert said(one)[-1] == (2, ExecType.TRADE, Status.FILLED)
        assert one.listed(1)[0].cum_amount == "3"


def test_a_corrupt_file_stops_orders_and_is_not_changed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says what to do; commands are refused; not a byte of it changes."""
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


def test_commands_before_the_orders_are_loaded_wait(path: Path) -> None:
    """A session may send commands while the engine is starting."""
    one = House(path)
    one.quotes["btcusdt"] = LIVE
    one.told["one", 1] = []
    with_attach = [*[Place(1, ref, limit(BUY, "1", "90")) for ref in range(1, 31)]]
    one.orders.commands("one", [Attach(1, "me", False)])
    one.orders.commands("one", with_attach)
    one.start()
    try:
        assert [report.seq for report in one.reports(1)] == list(range(1, 31))
    finally:
        one.stop()


def test_too_many_commands_before_the_orders_are_loaded_are_refused(path: Path) -> None:
    """1,000 commands of a session are queued; more are refused with `starting`."""
    one = House(path)
    one.told["one", 1] = []
    one.orders.commands("one", [Attach(1, "me", anonymous=False)])
    one.orders.commands("one", [ListOrders(1, ref) for ref in range(1, 1_003)])
    one.start()
    try:
        assert one.failures(1).count("starting") == 2
    finally:
        one.stop()


def test_orders_of_a_removed_instrument_remain(path: Path) -> None:
    """A resting order continues to rest and can be cancelled; others are cancelled."""
    first = House(path)
    first.start()
    first.quote(LIVE)
    first.attach(1, "me")
    waits = first.placed(1, limit(BUY, "1", "100"))
    first.placed(1, Ticket("btcusdt", BUY, "1", "100", time_in_force=TimeInForce.IOC))
    first.kill()
    second = House(path)
    del second.quotes["btcusdt"]
    second.start()
    try:
        second.advance(LATEST_MS)
        second.attach(1, "me")
        states = [order.status for order in second.listed(1)]
        second.cancel(1, waits.order_id)

        assert states == [Status.ACTIVE, Status.CANCELLED]
        assert second.reports(1)[-1].order.status is Status.CANCELLED
    finally:
        second.stop()


def test_a_hanging_disk_is_reported(path: Path) -> None:
    """With its duration, until it answers."""
    with house(path, slow_s=0.0) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.disk.free.clear()
        one.place(1, limit(BUY, "1", "90"))
        deadline = time.monotonic() + DEADLINE_S
        while one.orders.trouble is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        during = one.orders.trouble
        one.disk.free.set()
        one.settle()

        assert "has not answered" in during
        assert one.orders.trouble is None
        assert said(one) == [NEW]


def test_the_queue_for_the_disk_is_bounded(path: Path) -> None:
    """Beyond the bound orders are refused, and earlier ones are stored."""
    with house(path, max_queued=3) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.disk.free.clear()
        for _ in range(10):
            one.place(1, limit(BUY, "1", "90"))
        one.disk.free.set()
        one.settle()

        assert set(one.failures(1)) == {"store_unavailable"}
        assert 4 <= len(one.reports(1)) <= 5  # the first one may have been taken up already
        assert len(one.listed(1)) == len(one.reports(1))


def test_what_was_taken_of_a_displayed_size_stays_taken_over_a_kill(path: Path) -> None:
    """If a venue still shows the same quote after a restart, only the rest is offered."""
    shown = a_quote(bid="99", ask="101", ask_size="5")
    with house(path) as one:
        one.quote(shown)
        one.attach(1, "me")
        one.placed(1, limit(BUY, "3", "101"))
        one.advance(LATEST_MS)
        one.kill()
    with house(path) as one:
        one.quote(shown)
        one.attach(1, "me")
        one.placed(1, limit(BUY, "3", "101"))
        one.advance(LATEST_MS)
        again = one.listed(1)[-1].cum_amount
        one.quote(a_quote(bid="99", ask="101", ask_size="6"))
        changed = one.listed(1)[-1].cum_amount

    assert (again, changed) == ("2", "3")
