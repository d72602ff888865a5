"""Orders and reports as rows of a table, which SQLite and PostgreSQL store alike; sums of trades. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from crypto_stream.market.exact import add, multiply, plain
from crypto_stream.market.orders import (
    ExecType,
    Kind,
    Order,
    Outcome,
    Report,
    Side,
    Status,
    Ticket,
    TimeInForce,
)

Row = tuple[Any, ...]
Key = tuple[int, int]  # the ids of an owner and a symbol
Ids = Callable[[str], int]

_TICKET = (
    "order_id, owners.name, orders.rank, symbols.text, side, amount, price, kind, time_in_force, "
    "client_order_id, outcome, created_ms, due_ms"
)
_CURRENT = "orders.status, orders.changed_ms, orders.cum_amount, orders.cum_value"
_AT_REPORT = "reports.status, reports.changed_ms, reports.cum_amount, reports.cum_value"
# What is selected of the tables orders, owners and names (as symbols), and of reports and names (as sources).
ORDER_COLUMNS = f"{_TICKET}, {_CURRENT}"
REPORT_COLUMNS = (
    f"{_TICKET}, {_AT_REPORT}, seq, exec_id, exec_type, time, last_amount, last_price, sources.text, reason"
)


def order_row(report: Report, owner: int, ids: Ids) -> Row:
    """Return the row of an order as of its newest report; `ids` returns the id of a name."""
    # Enums by value: sqlite3 is slow with anything but exact str and int.
    order = report.order
    ticket = order.ticket
    outcome = ticket.outcome and ticket.outcome.value
    return (
        order.rank,
        order.order_id,
        owner,
        ids(ticket.symbol),
        ticket.side.value,
        ticket.amount,
        ticket.price,
        ticket.kind.value,
        ticket.time_in_force.value,
        ticket.client_order_id,
        outcome,
        order.created_ms,
        order.due_ms,
        order.status.value,
        order.changed_ms,
        order.cum_amount,
        order.cum_value,
        report.seq,
    )


def report_row(report: Report, owner: int, ids: Ids) -> Row:
    """Return the row of a report; `ids` returns the id of a name."""
    order = report.order
    return (
        owner,
        report.seq,
        order.rank,
        ids(order.ticket.symbol),
        report.exec_id,
        report.exec_type.value,
        report.time,
        order.status.value,
        order.changed_ms,
        order.cum_amount,
        order.cum_value,
        report.last_amount,
        report.last_price,
        None if report.source is None else ids(report.source),
        report.reason,
    )


def traded_keys(happened: Iterable[Report], owners: Mapping[str, int], ids: Ids) -> dict[Key, list[Report]]:
    """Return the trades among the reports by owner and symbol."""
    trades: dict[Key, list[Report]] = {}
    for report in happened:
        if report.exec_type is ExecType.TRADE:
            key = (owners[report.order.owner], ids(report.order.ticket.symbol))
            trades.setdefault(key, []).append(report)
    return trades


def position_row(key: Key, before: Row | None, trades: Iterable[Report]) -> Row:
    """Return the row of a position after these trades; `before` are its amounts and values until now."""
    sums = [Decimal(each) for each in before or ("0", "0", "0", "0")]
    for report in trades:
        amount, price = Decimal(report.last_amount or 0), Decimal(report.last_price or 0)
        at = 0 if report.order.ticket.side is Side.BUY else 2
        sums[at] = add(sums[at], amount)
        sums[at + 1] = add(multiply(amount, price), sums[at + 1])
    return (*key, *map(plain, sums))


def order_of(row: Row) -> Order:
    """Return the order of a row with ORDER_COLUMNS; raise ValueError if it is invalid."""
    (order_id, owner, rank, symbol, side, amount, price, kind, time_in_force, *more) = row
    (client_order_id, outcome, created_ms, due_ms, status, changed_ms, cum_amount, cum_value) = more
    ticket = Ticket(
        symbol=symbol,
        side=Side(side),
        amount=amount,
        price=price,
        kind=Kind(kind),
        time_in_force=TimeInForce(time_in_force),
        client_order_id=client_order_id,
        outcome=None if outcome is None else Outcome(outcome),
    )
    return Order(
        order_id=order_id,
        owner=owner,
        rank=rank,
        ticket=ticket,
        created_ms=created_ms,
        due_ms=due_ms,
        status=Status(status),
        changed_ms=changed_ms,
        cum_amount=cum_amount,
        cum_value=cum_value,
    )


def report_of(row: Row) -> Report:
    """Return the report of a row with REPORT_COLUMNS; raise ValueError if it is invalid."""
    *order, seq, exec_id, exec_type, time, last_amount, last_price, source, reason = row
    return Report(
        seq=seq,
        exec_id=exec_id,
        exec_type=ExecType(exec_type),
        time=time,
        order=order_of(tuple(order)),
        last_amount=last_amount,
        last_price=last_price,
        source=source,
        reason=reason,
    )
