"""Owners that return after more than a thousand reports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto_stream.bus.orders import Place, Reported
from crypto_stream.market.orders import ExecType, Side
from crypto_stream.orders.limits import OrderLimits
from crypto_stream.orders.validation import OrderSettings
from crypto_stream.storage.interface import MAX_UNREAD
from tests.orders.house import House, a_quote, house, limit

MISSED = 2 * MAX_UNREAD + 10


@pytest.fixture
def absent(tmp_path: Path) -> Iterator[House]:
    """Run a service whose owner Ann is away, with open orders and unread reports."""
    with house(
        tmp_path / "orders.db",
        OrderSettings(latency_ms=100, seed=1, outcomes=True, max_open=OrderLimits(5_000)),
    ) as one:
        one.quote(a_quote(ask="100", bid="99"))
        one.attach(1, "ann")
        ticket = limit(Side.BUY, "1", "50")
        one.orders.commands("one", [Place(1, ref, ticket) for ref in range(1, MISSED + 1)])
        one.settle()
        assert len(one.reports(1)) == MISSED
        one.detach(1)
        yield one


def seqs(one: House, session: int) -> list[int]:
    """List the seqs of the reports that a session was sent."""
    return [report.seq for report in one.reports(session)]


def test_missed_reports_are_sent_in_pieces_as_the_client_receives_them(absent: House) -> None:
    """A thousand at once, the next after those were received; none is missing or duplicated."""
    absent.attach(2, "ann")
    told = [len(seqs(absent, 2))]
    for read in (MAX_UNREAD - 1, MAX_UNREAD, 2 * MAX_UNREAD):
        absent.receive(2, read)
        told.append(len(seqs(absent, 2)))

    assert told == [MAX_UNREAD, MAX_UNREAD, 2 * MAX_UNREAD, MISSED]
    assert seqs(absent, 2) == list(range(1, MISSED + 1))


def test_new_reports_wait_for_missed_ones(absent: House) -> None:
    """A fill waits behind older reports; so do the client's commands."""
    absent.attach(2, "ann")
    absent.quote(a_quote(ask="50", ask_size="1", bid="49"))
    absent.advance(1_000)
    asked = absent.place(2, limit(Side.BUY, "1", "40"))
    for read in (MAX_UNREAD, 2 * MAX_UNREAD):
        absent.receive(2, read)

    reports = absent.reports(2)
    assert asked is None
    assert [report.seq for report in reports] == list(range(1, MISSED + 3))
    assert [report.exec_type for report in reports[-2:]] == [ExecType.TRADE, ExecType.NEW]
    assert isinstance(absent.told["one", 2][-1], Reported)


def test_two_sessions_of_one_owner_read_each_at_its_own_pace(absent: House) -> None:
    """The slow one is sent what the fast one has received already, and both all that is new."""
    absent.attach(2, "ann")
    absent.attach(3, "ann")
    for read in (MAX_UNREAD, 2 * MAX_UNREAD, MISSED):
        absent.receive(2, read)
    absent.receive(3, MAX_UNREAD)
    absent.attach(4, "ann")
    absent.placed(2, limit(Side.BUY, "1", "40"))

    assert seqs(absent, 2) == list(range(1, MISSED + 2))
    assert seqs(absent, 3) == [*range(1, MAX_UNREAD + 1), MISSED + 1]
    assert seqs(absent, 4) == [MISSED + 1]


def test_after_a_disk_failure_the_pieces_continue(absent: House) -> None:
    """Stored acknowledgements are not repeated; others are."""
    absent.attach(2, "ann")
    absent.receive(2, MAX_UNREAD)
    absent.advance(1_000)
    absent.disk.refuses = OSError("disk full")
    absent.receive(2, 2 * MAX_UNREAD)
    absent.place(2, limit(Side.BUY, "1", "40"))
    absent.repair()
    again = seqs(absent, 2)[2 * MAX_UNREAD :]
    absent.receive(2, again[-1])

    assert again[0] in {MAX_UNREAD + 1, 2 * MAX_UNREAD + 1}
    assert again == list(range(again[0], again[-1] + 1))
    assert seqs(absent, 2)[-1] == MISSED
