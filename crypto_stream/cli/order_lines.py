"""Orders, reports and positions as lines of text. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Context, Decimal
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

from crypto_stream.market.instruments import fold
from crypto_stream.market.orders import ExecType, Kind

if TYPE_CHECKING:
    from crypto_stream.client import Order, Position, Report
    from crypto_stream.market.quotes import Quote

ORDER_HEADINGS = (
    "ORDER", "TIME (UTC)", "INSTRUMENT", "SIDE", "TYPE", "AMOUNT", "PRICE", "FILLED", "AVERAGE", "STATUS",
)  # fmt: skip
POSITION_HEADINGS = ("INSTRUMENT", "HELD", "BOUGHT", "AT", "SOLD", "AT", "PROFIT")
_CSV_FIELDS = (
    "order_id", "client_order_id", "creation_time", "change_time", "instrument", "side", "type",
    "time_in_force", "status", "amount", "price", "cum_amount", "leaves_amount", "avg_price",
)  # fmt: skip
_NOTHING = "-"
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_EXACT = Context(prec=200)
_AVERAGE_PRECISION = Decimal("0.00000001")  # an average may have infinitely many digits


def text(number: Decimal | None) -> str:
    """Return a decimal without exponent and superfluous zeros."""
    if number is None:
        return _NOTHING
    digits = f"{number:f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def sentence(order: Order, reason: str | None = None) -> str:
    """Return an order as one line that begins with its id."""
    price = "at the market" if order.price is None else f"at {text(order.price)}"
    filled = f"filled {text(order.cum_amount)}"
    if order.avg_price is not None:
        filled += f" at {text(_rounded(order.avg_price))}"
    terms = f"{_word(order.side)} {text(order.amount)} {order.instrument} {price}"
    return f"{order.order_id} {_word(order.status)}: {terms}, {filled}" + (f" ({reason})" if reason else "")


def event(report: Report) -> str:
    """Return a report as a line of a log: the time, then what happened."""
    when = datetime.fromtimestamp(report.time / 1000, UTC).strftime("%H:%M:%S")
    happened = _word(report.status) if report.exec_type is ExecType.CANCELED else report.exec_type
    line = f"{when}  {happened:9}  {sentence(report.order, report.reason)}"
    if report.exec_type is ExecType.TRADE:
        line += (
            f"; {text(report.last_amount)} at {text(report.last_price)} from {report.source or 'a script'}"
        )
    return line


def order_cells(order: Order) -> Sequence[str]:
    """Return an order's row in a table with ORDER_HEADINGS."""
    created = order.creation_time or order.change_time
    kind = order.kind if order.kind is Kind.MARKET else f"{order.kind} {order.time_in_force}"
    return (
        order.order_id,
        datetime.fromtimestamp(created / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        order.instrument,
        _word(order.side),
        kind,
        text(order.amount),
        text(order.price),
        text(order.cum_amount),
        text(_rounded(order.avg_price)),
        _word(order.status),
    )


def orders_csv(orders: Iterable[Order]) -> str:
    """Return orders as CSV with a header line; decimals are exact, times in ms, unknown values empty."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(_CSV_FIELDS)
    for order in orders:
        cells = [getattr(order, "kind" if name == "type" else name) for name in _CSV_FIELDS]
        writer.writerow([_csv_cell(cell) for cell in cells])
    return lines.getvalue()


def position_cells(position: Position, quotes: Mapping[str, Quote]) -> Sequence[str]:
    """Return a position's row in a table with POSITION_HEADINGS; its profit is marked to the live quote.

    The keys of `quotes` are folded symbols.
    """
    return (
        position.instrument,
        text(position.amount),
        text(position.bought_amount),
        _average(position.bought_value, position.bought_amount),
        text(position.sold_amount),
        _average(position.sold_value, position.sold_amount),
        _profit_text(position, quotes.get(fold(position.instrument))),
    )


def _profit_text(position: Position, quote: Quote | None) -> str:
    """Return the profit as the web page shows it; one at a stale price is marked."""
    profit = text(_profit(position, quote))
    stale = position.amount != 0 and (quote is None or quote.stale)
    return f"{profit} STALE" if stale else profit


def _profit(position: Position, quote: Quote | None) -> Decimal | None:
    """Mark the position to the price at which it could be closed; None if that is unknown or not above 0."""
    gained = _EXACT.subtract(position.sold_value, position.bought_value)
    if position.amount == 0:
        return gained
    price = None if quote is None else quote.bid if position.amount > 0 else quote.ask
    if price is None or Decimal(price) <= 0:
        return None
    return _EXACT.add(gained, _EXACT.multiply(position.amount, Decimal(price)))


def _average(value: Decimal, amount: Decimal) -> str:
    return text(_rounded(_EXACT.divide(value, amount)) if amount else None)


def _rounded(number: Decimal | None) -> Decimal | None:
    if number is None or -int(number.as_tuple().exponent) <= 8:
        return number
    return number.quantize(_AVERAGE_PRECISION, context=_EXACT)


def _word(choice: Enum) -> str:
    return choice.name.lower()


def _csv_cell(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, IntEnum):
        return _word(cell)
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    # Clients choose the names of orders; a spreadsheet would execute one that looks like a formula.
    return f"'{cell}" if str(cell).startswith(_FORMULAS) else str(cell)
