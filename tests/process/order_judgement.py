"""What the traders were told beside what is stored: nothing missing, nothing twice, nothing otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from tests.process.traders import ACTIVE, BUY, FILLED, Trader

Row = dict[str, Any]

_OF = "JOIN owners ON owners.id = {0}.owner JOIN names ON names.id = {0}.symbol"
_ORDERS = (
    "SELECT owners.name AS owner, names.text AS symbol, order_id, rank, side, amount, price, kind, "
    "client_order_id, status AS order_status, cum_amount FROM orders " + _OF.format("orders")
)
_REPORTS = (
    "SELECT owners.name AS owner, names.text AS symbol, seq, reports.rank, order_id, side, "
    "exec_id, exec_type, time, reports.status AS order_status, "
    "reports.cum_amount, last_amount, last_price, reason "
    f"FROM reports JOIN orders ON orders.rank = reports.rank {_OF.format('reports')} ORDER BY owner, seq"
)
_POSITIONS = (
    "SELECT owners.name AS owner, names.text AS symbol, bought_amount, bought_value, sold_amount, sold_value "
    "FROM positions " + _OF.format("positions")
)
# The same in what is told and in what is stored.
_TOLD = (
    *("order_id", "exec_id", "exec_type", "time", "order_status"),
    *("cum_amount", "last_amount", "last_price", "reason"),
)
_SUMS = ("bought_amount", "bought_value", "sold_amount", "sold_value")


class Report(NamedTuple):
    """What was found; `faults` must be empty."""

    kills: int
    orders: int
    trades: int
    reports: int
    resent: int
    faults: list[str]

    def __str__(self) -> str:
        return (
            f"{self.kills} kills; {self.orders} orders, {self.trades} trades, {self.reports} reports, "
            f"{self.resent} of them told again"
        )


def judged(read: Callable[[str], list[Row]], traders: Sequence[Trader], kills: int) -> Report:
    """Compare what the traders were told with what is stored; `read` returns the rows of a query."""
    orders, reports, positions = read(_ORDERS), read(_REPORTS), read(_POSITIONS)
    faults = [fault for trader in traders for fault in trader.faults]
    for trader in traders:
        faults += _told_otherwise(trader, [one for one in reports if one["owner"] == trader.owner])
        faults += _forgotten(trader, [one for one in orders if one["owner"] == trader.owner])
    faults += _filled_wrongly(orders, reports)
    faults += _other_positions(reports, positions)
    trades = sum(report["exec_type"] == "trade" for report in reports)
    return Report(kills, len(orders), trades, len(reports), sum(one.resent for one in traders), faults)


def _told_otherwise(trader: Trader, stored: Sequence[Row]) -> Iterator[str]:
    """Every report that is stored was told as it is, their numbers have no hole, and no other was told."""
    for number, report in enumerate(stored, 1):
        told = trader.reports.get(number)
        if report["seq"] != number:
            yield f"{trader.owner}: stored {report['seq']} as the {number}th"
        if told is None:
            yield f"never told: {report}"
        elif any(told[name] != report[name] for name in _TOLD):
            yield f"told {told}, stored {report}"
    for number in trader.reports:
        if number > len(stored):
            yield f"told and not stored: {trader.reports[number]}"


def _forgotten(trader: Trader, stored: Sequence[Row]) -> Iterator[str]:
    """There is one order of each ticket, whatever was sent however often, and it is as was told last."""
    names = sorted(order["client_order_id"] for order in stored)
    if names != sorted(trader.tickets):
        yield f"{trader.owner}: {len(trader.tickets)} asked for, {len(names)} stored"
    for order in stored:
        told = trader.orders.get(order["order_id"])
        if told is None or told["order_status"] != order["order_status"]:
            yield f"stored {order}, told {told}"
        ticket = trader.tickets[order["client_order_id"]]
        if _numbers(order) != _numbers(ticket):
            yield f"stored {order}, asked for {ticket}"


def _numbers(asked: Row) -> tuple[object, ...]:
    return (asked["side"], Decimal(asked["amount"]), Decimal(asked.get("price") or 0))


def _filled_wrongly(orders: Sequence[Row], reports: Sequence[Row]) -> Iterator[str]:
    """Each order lives once: new, then trades that add up, none above its amount or beyond its price."""
    if len({report["exec_id"] for report in reports}) != len(reports):
        yield "an exec_id was given twice"
    lives: dict[int, list[Row]] = {order["rank"]: [] for order in orders}
    for report in reports:
        lives[report["rank"]].append(report)
    for order in orders:
        life = lives[order["rank"]]
        yield from (f"{fault}: {order}, {life}" for fault in _life_faults(order, life))


def _life_faults(order: Row, life: Sequence[Row]) -> Iterator[str]:
    """Judge one order by its reports, at least one, oldest first."""
    done = Decimal(0)
    if [report["exec_type"] == "new" for report in life] != [True] + [False] * (len(life) - 1):
        yield "was not new once, at the beginning"
    if any(before["order_status"] != ACTIVE for before in life[:-1]):
        yield "went on after its end"
    for report in life:
        if report["exec_type"] == "trade":
            done += Decimal(report["last_amount"])
            if order["price"] and _beyond(order, report):
                yield "traded beyond its price"
        if Decimal(report["cum_amount"]) != done:
            yield "its sum is not that of its trades"
        if (report["order_status"] == FILLED) != (done == Decimal(order["amount"])):
            yield "filled without being so"
    if done > Decimal(order["amount"]):
        yield "filled more than its amount"
    if (life[-1]["order_status"], life[-1]["cum_amount"]) != (order["order_status"], order["cum_amount"]):
        yield "is not as its last report says"


def _beyond(order: Row, trade: Row) -> bool:
    got, limit = Decimal(trade["last_price"]), Decimal(order["price"])
    return got > limit if order["side"] == BUY else got < limit


def _other_positions(reports: Sequence[Row], positions: Sequence[Row]) -> Iterator[str]:
    """An owner's position is what its trades come to."""
    sums: dict[tuple[str, str], list[Decimal]] = {}
    for report in reports:
        if report["exec_type"] == "trade":
            amount, price = Decimal(report["last_amount"]), Decimal(report["last_price"])
            sums_of = sums.setdefault((report["owner"], report["symbol"]), [Decimal(0)] * 4)
            at = 0 if report["side"] == BUY else 2
            sums_of[at] += amount
            sums_of[at + 1] += amount * price
    stored = {(one["owner"], one["symbol"]): [Decimal(one[name]) for name in _SUMS] for one in positions}
    if stored != sums:
        yield f"positions {stored}, trades {sums}"
