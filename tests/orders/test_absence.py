"""Who comes back after so long that a thousand things and more have happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto_stream.bus.orders import Happened, Place
from crypto_stream.market.orders import ExecType, Side
from crypto_stream.orders.limits import OrderLimits
from crypto_stream.orders.validation import OrderSettings
from crypto_stream.storage.interface import MAX_UNREAD
from tests.orders.house import House, a_quote, house, limit

MISSED = 2 * MAX_UNREAD + 10


@pytest.fixture
def absent(tmp_path: Path) -> Iterator[House]:
    """Run a service whose owner Ann has open orders, of which no report was read, and is away."""
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
    """List which reports a session was told."""
    return [report.seq for report in one.reports(session)]


def test_a_long_absence_is_told_in_pieces_as_the_client_reads_them(absent: House) -> None:
    """A thousand at once, the next when these were read; nothing is missing and nothing comes twice."""
    absent.attach(2, "ann")
    told = [len(seqs(absent, 2))]
    for read in (MAX_UNREAD - 1, MAX_UNREAD, 2 * MAX_UNREAD):
        absent.receive(2, read)
        told.append(len(seqs(absent, 2)))

    assert told == [MAX_UNREAD, MAX_UNREAD, 2 * MAX_UNREAD, MISSED]
    assert seqs(absent, 2) == list(range(1, MISSED + 1))


def test_what_happens_meanwhile_comes_in_its_turn(absent: House) -> None:
    """A fill waits behind what is older; so does what the client asks."""
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
    assert isinstance(absent.told["one", 2][-1], Happened)


def test_two_sessions_of_one_owner_read_each_at_its_own_pace(absent: House) -> None:
    """The slow one is told what the fast one has not read yet, and both all that happens then."""
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


def test_after_a_failure_of_the_disk_the_pieces_begin_where_the_client_has_read_to(absent: House) -> None:
    """What was read and written down is not told again; what was not, is."""
    absent.attach(2, "ann")
    absent.receive(2, MAX_UNREAD)
    absent.advance(1_000)
    absent.disk.refuses = OSError("disk full")
    absent.receive(2, 2 * MAX_UNREAD)
    absent.place(2, limit(Side.BUY, "1", "40"))
    absent.mend()
    again = seqs(absent, 2)[2 * MAX_UNREAD :]
    absent.receive(2, again[-1])

    assert again[0] in {MAX_UNREAD + 1, 2 * MAX_UNREAD + 1}
    assert again == list(range(again[0], again[-1] + 1))
    assert seqs(absent, 2)[-1] == MISSED
