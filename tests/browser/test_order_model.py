"""The pure parts of the page of orders: merging, sorting, money, CSV, marks; run in the browser."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import pytest

from tests.browser.chromium import Visitor

pytestmark = pytest.mark.browser

Visit = Callable[..., Visitor]
Json = dict[str, Any]


def _run(visit: Visit, module: str, body: str, *given: Any) -> Any:
    """Run code with a module of the page; it sees the module as `m` and what is given as `given`."""
    script = f"""async (given) => {{
        const m = await import('/static/js/{module}.js');
        return JSON.stringify(await (async () => {{ {body} }})());
    }}"""
    return json.loads(visit("/docs").page.evaluate(script, list(given)))


def _order(name: str, **more: Any) -> Json:
    made = {
        "order_id": name,
        "client_order_id": None,
        "instrument": "eurrub",
        "side": 1,
        "type": "limit",
        "time_in_force": "gtc",
        "status": 1,
        "amount": "10",
        "price": "87",
        "cum_amount": "0",
        "leaves_amount": "10",
        "avg_price": None,
        "creation_time": 1_700_000_000_000,
        "change_time": 1_700_000_000_000,
    }
    return made | more


def _report(name: str, status: int, exec_type: str, **more: Any) -> Json:
    order = _order(name, **more)
    del order["creation_time"], order["status"]
    time = order.pop("change_time")
    return order | {
        "order_status": status,
        "exec_type": exec_type,
        "exec_id": "",
        "time": time,
        "reason": None,
    }


def test_products_are_exact(visit: Visit) -> None:
    """Amount times price keeps every digit, whatever the length."""
    chance = random.Random(20_261_121)
    pairs = [
        [
            f"{sign}{chance.randrange(10**20)}.{chance.randrange(10**18):018}",
            str(chance.randrange(10**18)),
        ]
        for sign in ["", "-"] * 50
    ]
    calls = [*pairs, ["0.1", "0.2"], ["-0", "5"], ["1e-8", "1e3"]]

    found = _run(visit, "text/decimal", "return given[0].map((pair) => m.multiply(...pair));", calls)
    nothing = _run(
        visit, "text/decimal", "return [m.multiply(null, '1'), m.multiply('1', 'x'), m.multiply('', '')];"
    )

    with localcontext() as context:
        context.prec = 100
        assert [Decimal(text) for text in found] == [Decimal(a) * Decimal(b) for a, b in calls]
    assert nothing == [None, None, None]


def test_profit_is_exact_and_unknown_where_the_quote_tells_nothing(visit: Visit) -> None:
    """Long at the bid, short at the ask, closed without a quote; no price above zero, no profit."""
    position = {
        "bought_amount": "10.5",
        "bought_value": "913.2345",
        "sold_amount": "4",
        "sold_value": "348.01",
    }
    short = {"bought_amount": "1", "bought_value": "87.5", "sold_amount": "3.25", "sold_value": "290"}
    closed = {"bought_amount": "2", "bought_value": "174.5", "sold_amount": "2.00", "sold_value": "175"}
    book = {"bid": "87.013", "ask": "87.02", "stale": False}
    odd = {"bid": "-3", "ask": "0", "stale": False}
    calls = [[position, book], [short, book], [closed, None], [position, None], [position, odd]]
    calls += [[short, odd], [position, book | {"stale": True}]]

    found = _run(
        visit,
        "orders/positions",
        "return given[0].map(([a, b]) => m.markToMarket(a, b ?? undefined));",
        calls,
    )

    exact = Decimal("6.5") * Decimal("87.013") - (Decimal("913.2345") - Decimal("348.01"))
    assert [one["held"] for one in found[:3]] == ["6.5", "-2.25", "0"]
    assert Decimal(found[0]["profit"]) == exact
    assert Decimal(found[1]["profit"]) == Decimal("-2.25") * Decimal("87.02") - (Decimal("87.5") - 290)
    assert found[2] == {"held": "0", "at": None, "profit": "0.5", "stale": False}
    assert [(one["at"], one["profit"], one["stale"]) for one in found[3:6]] == [
        (None, None, True),
        (None, None, False),
        (None, None, False),
    ]
    assert Decimal(found[6]["profit"]) == exact
    assert found[6]["stale"] is True


def test_an_order_never_goes_back(visit: Visit) -> None:
    """A list that was made before a report does not undo it; a repeated report changes nothing."""
    body = """
        const orders = new m.Orders();
        const [list, traded, filled] = given;
        orders.list(list);
        orders.expect();
        orders.report(filled);
        orders.list(list);
        orders.report(traded);
        orders.report(filled);
        return [orders.get('a'), orders.chosen({ find: '', status: 0, column: '', down: false }).length];
    """
    old = [_order("a"), _order("b")]
    traded = _report("a", 1, "trade", cum_amount="4", leaves_amount="6")
    filled = _report("a", 2, "trade", cum_amount="10", leaves_amount="0")

    order, count = _run(visit, "orders/ordermodel", body, old, traded, filled)

    assert (order["status"], order["cum_amount"], order["creation_time"]) == (2, "10", 1_700_000_000_000)
    assert count == 2


def test_a_list_takes_away_what_is_no_longer_there(visit: Visit) -> None:
    """An order that the server does not list is gone, unless it was reported after the list was asked for."""
    body = """
        const orders = new m.Orders();
        orders.list(given[0]);
        orders.expect();
        orders.report(given[1]);
        orders.list(given[2]);
        const all = { find: '', status: 0, column: 'creation_time', down: true };
        return orders.chosen(all).map((one) => one.order_id);
    """
    new = _report("new", 1, "new", change_time=1_700_000_000_500)

    left = _run(visit, "orders/ordermodel", body, [_order("gone"), _order("kept")], new, [_order("kept")])

    assert left == ["new", "kept"]


def test_order_of_thousands(visit: Visit) -> None:
    """Numbers sort as numbers, what is not known comes last both ways, of equals the newer comes first."""
    chance = random.Random(7)
    amounts = [f"{chance.randrange(10**6)}.{chance.randrange(10**18):018}" for _ in range(5_000)]
    made = [
        _order(f"o{n}", amount=amount, price=None if n % 10 == 0 else str(n % 3))
        for n, amount in enumerate(amounts)
    ]
    body = """
        const orders = new m.Orders();
        orders.list(given[0]);
        return given[1].map(([column, down]) =>
            orders.chosen({ find: '', status: 0, column, down }).map((one) => one.order_id));
    """
    ways = [["amount", False], ["amount", True], ["price", False], ["price", True]]

    up, down, cheap, dear = _run(visit, "orders/ordermodel", body, made, ways)

    by_amount = sorted(range(5_000), key=lambda n: Decimal(amounts[n]))
    assert up == [f"o{n}" for n in by_amount]
    assert down == up[::-1]
    assert cheap[-500:] == dear[-500:] == [f"o{n}" for n in range(4_990, -1, -10)]
    assert cheap[0] == "o4998"
    assert cheap[:4_500] != dear[:4_500]


def test_csv_is_read_back_as_it_was(visit: Visit) -> None:
    """Quotes, commas and line ends inside a value survive; times are ISO, numbers exact."""
    order = _order("a", client_order_id='x,"y"\r\nz', amount="0.000000000000000001", side=2, status=4)

    text = _run(visit, "orders/ordercsv", "return m.csv(given[0]);", [order, _order("b", creation_time=None)])
    first, second = csv.DictReader(io.StringIO(text, newline=""))

    assert first["client_order_id"] == order["client_order_id"]
    assert (first["amount"], first["side"], first["status"]) == (order["amount"], "sell", "cancelled")
    assert first["created"] == "2023-11-14T22:13:20.000Z"
    assert (second["created"], second["avg_price"]) == ("", "")


@pytest.mark.parametrize("name", ["=1+1", '=HYPERLINK("x")', "+1", "-cmd", "@SUM(A1)", "\t=1"])
def test_csv_holds_no_formula_of_a_client(visit: Visit, name: str) -> None:
    """An order's name is whatever its client wrote; a spreadsheet must not run it."""
    text = _run(visit, "orders/ordercsv", "return m.csv(given[0]);", [_order("a", client_order_id=name)])
    (row,) = csv.DictReader(io.StringIO(text, newline=""))

    assert row["client_order_id"] == f"'{name}"


def test_marks_stand_at_their_bars(visit: Visit) -> None:
    """One mark for each side of each bar; what is older than the chart has none."""
    places = [{"time": 60_000}, {"time": 120_000}, {"time": 240_000}]
    trades = [
        {"exec_id": str(n), "side": side, "amount": "2", "price": "87", "time": time}
        for n, (time, side) in enumerate(
            [(59_999, 1), (60_000, 1), (119_999, 1), (119_999, 2), (130_000, 2), (999_000, 1)]
        )
    ]

    marks = _run(visit, "instrument/trades", "return m.marksOf(...given);", trades, places)

    assert marks == [
        {"time": 60_000, "side": 1, "text": "2 buys"},
        {"time": 60_000, "side": 2, "text": "S 2 @ 87"},
        {"time": 120_000, "side": 2, "text": "S 2 @ 87"},
        {"time": 240_000, "side": 1, "text": "B 2 @ 87"},
    ]


def test_ids_are_random_uuids(visit: Visit) -> None:
    """They need no secure context, and no two are alike."""
    body = "return Array.from({ length: 1000 }, () => m.makeId());"

    found = _run(visit, "orders/uuid", body)

    assert len(set(found)) == 1_000
    assert all(one[14] == "4" and one[19] in "89ab" and len(one) == 36 for one in found)
