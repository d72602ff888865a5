"""A file of open orders as after a long run, for measuring the start and matching."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from crypto_stream.market.orders import ExecType, Order, Report, Ticket
from crypto_stream.storage.interface import OrderBatch
from crypto_stream.storage.sqlite_orders import SqliteOrderWriter

_AT_ONCE = 10_000


def stock(path: Path, tickets: Mapping[str, Sequence[Ticket]]) -> int:
    """Write an active order for each ticket, by owner, its report acknowledged; return how many."""
    writer = SqliteOrderWriter(path)
    writer.open()
    reports = _reports(tickets)
    count = 0
    while part := list(islice(reports, _AT_ONCE)):
        writer.write(OrderBatch(part, _acknowledged(part), frozenset()))
        count += len(part)
    writer.close()
    return count


def open_orders(path: Path) -> int:
    """Return how many active orders a file contains; it must not be in use."""
    writer = SqliteOrderWriter(path)
    try:
        return len(writer.open().active)
    finally:
        writer.close()


def _acknowledged(reports: Iterable[Report]) -> dict[str, int]:
    return {report.order.owner: report.seq for report in reports}


def _reports(tickets: Mapping[str, Sequence[Ticket]]) -> Iterator[Report]:
    now_ms = time.time_ns() // 1_000_000
    rank = 0
    for owner, wanted in tickets.items():
        for seq, ticket in enumerate(wanted, 1):
            rank += 1
            order = Order(str(uuid.uuid4()), owner, rank, ticket, now_ms, now_ms, changed_ms=now_ms)
            yield Report(seq, str(uuid.uuid4()), ExecType.NEW, now_ms, order)
