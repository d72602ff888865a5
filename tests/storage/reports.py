"""Orders and reports for the tests of stores."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

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
from crypto_stream.storage.interface import OrderBatch

ANN, BOB = "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5", "8f9d6c1e-0000-4000-8000-000000000002"


MOST = 10**6


DIGITS = st.text("0123456789", min_size=1, max_size=18)


DECIMALS = st.builds("{}.{}".format, st.integers(0, 10**20 - 1), DIGITS) | st.integers(1, 10**20).map(str)


MS = st.integers(0, 2**50)


def placed(rank: int, owner: str = ANN, symbol: str = "eurrub", **ticket: object) -> Order:
    asked = msgspec.structs.replace(Ticket(symbol, Side.BUY, "10", "87"), **ticket)
    return Order(f"order-{rank}", owner, rank, asked, 1000 + rank, 1200 + rank, changed_ms=1000 + rank)


def told(order: Order, seq: int, exec_type: ExecType = ExecType.NEW, **more: str) -> Report:
    return Report(seq, f"exec {order.owner} {seq}", exec_type, 1000 + seq, order, **more)


def traded(order: Order, seq: int, amount: str = "10", price: str = "87") -> Report:
    state = {"status": Status.FILLED, "cum_amount": amount, "cum_value": "1", "changed_ms": 5000 + seq}
    last = {"last_amount": amount, "last_price": price, "source": "synthetic"}
    return told(msgspec.structs.replace(order, **state), seq, ExecType.TRADE, **last)


def batch(*reports: Report) -> OrderBatch:
    return OrderBatch(reports, {}, frozenset())


LATER = [one for one in ExecType if one is not ExecType.NEW]
REASONS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
TICKETS = st.builds(
    Ticket,
    st.sampled_from(["eurrub", "btcusdt"]),
    st.sampled_from(Side),
    DECIMALS,
    st.none() | DECIMALS,
    st.sampled_from(Kind),
    st.sampled_from(TimeInForce),
    st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=64),
    st.none() | st.sampled_from(Outcome),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Report]:
    """Draw events of some orders of two owners, in any order, with unique client_order_ids per owner."""
    tickets = draw(st.lists(TICKETS, max_size=8, unique_by=lambda one: one.client_order_id or id(one)))
    orders = [
        Order(draw(st.uuids().map(str)), draw(st.sampled_from([ANN, BOB])), rank, ticket, draw(MS), draw(MS))
        for rank, ticket in enumerate(tickets, 1)
    ]
    seqs = {ANN: 0, BOB: 0}
    reports: list[Report] = []
    for order in draw(st.lists(st.sampled_from(orders), max_size=20)) if orders else []:
        seqs[order.owner] += 1
        first = not any(report.order.rank == order.rank for report in reports)
        exec_types = st.just(ExecType.NEW) if first else st.sampled_from(LATER)
        state = [st.sampled_from(Status), MS, DECIMALS, DECIMALS]
        names = ["status", "changed_ms", "cum_amount", "cum_value"]
        now = msgspec.structs.replace(order, **dict(zip(names, map(draw, state), strict=True)))
        happened = st.builds(
            Report,
            *(st.just(seqs[order.owner]), st.uuids().map(str), exec_types, MS, st.just(now)),
            *(DECIMALS, DECIMALS, st.none() | st.just("binance"), st.none() | REASONS),
        )
        reports.append(draw(happened))
    return reports
