"""The ack table: nothing that was asked for is forgotten, nothing is asked for without end."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.feed.acknowledgements import Acknowledgements, halves
from crypto_stream.feed.handler import Request, Wanted
from crypto_stream.market.instruments import Instrument

DEADLINE = 100
SYMBOLS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True)


def wanted(*symbols: str) -> tuple[Wanted, ...]:
    """Want the trades of each."""
    return tuple(Wanted(symbol, Instrument(symbol, None, None), "trades") for symbol in symbols)


def request(*symbols: str) -> Request:
    """Make a request whose acknowledgement names each symbol."""
    return Request("text", tuple(f"k:{symbol}" for symbol in symbols), wanted(*symbols))


def ids(of: Iterable[Wanted]) -> list[str]:
    """Name what is wanted."""
    return [each.id for each in of]


def test_acknowledged_requests_are_done() -> None:
    """A request waits until each of its keys was acknowledged; unknown and repeated ones change nothing."""
    table = Acknowledgements(DEADLINE)
    table.sent(request("a", "b"), 0)
    table.acked("k:a")
    table.acked("k:a")
    table.acked("k:x")
    half = len(table)
    table.acked("k:b")

    assert (half, len(table)) == (1, 0)
    assert table.overdue(10 * DEADLINE) == ([], [])


def test_data_is_an_acknowledgement() -> None:
    """A venue may send no ack at all: data of every symbol does as well."""
    table = Acknowledgements(DEADLINE)
    table.sent(request("a", "b"), 0)
    table.seen("a")
    table.seen("x")
    half = len(table)
    table.seen("b")

    assert (half, len(table)) == (1, 0)


def test_only_what_is_missing_is_asked_for_again() -> None:
    """At the deadline, not before, the symbols without data are asked for again."""
    table = Acknowledgements(DEADLINE)
    table.sent(request("a", "b", "c"), 0)
    table.seen("b")

    assert table.overdue(DEADLINE - 1) == ([], [])
    again, given_up = table.overdue(DEADLINE)

    assert (ids(again), given_up) == (["a", "c"], [])
    assert table.overdue(10 * DEADLINE) == ([], [])


def test_a_symbol_is_given_up_after_three_requests() -> None:
    """What was never acknowledged in three requests is given up."""
    table = Acknowledgements(DEADLINE)
    results = []
    for number in range(3):
        table.sent(request("a"), 1000 * number)
        results.append([ids(each) for each in table.overdue(1000 * number + DEADLINE)])

    assert results == [[["a"], []], [["a"], []], [[], ["a"]]]


def test_an_acknowledgement_begins_the_count_anew() -> None:
    """A symbol asked for often and acknowledged each time has three requests again when one gets lost."""
    table = Acknowledgements(DEADLINE)
    for number in range(5):
        table.sent(request("a"), number)
        table.acked("k:a")
    table.sent(request("a"), 1000)

    again, given_up = table.overdue(1000 + DEADLINE)

    assert (ids(again), given_up) == (["a"], [])


def test_refusal_names_its_request() -> None:
    """A refused key gives the symbols of its request; one without key means the oldest that waits."""
    table = Acknowledgements(DEADLINE)
    table.sent(request("a", "b"), 0)
    table.sent(request("c"), 0)

    assert table.refused("k:x") == ()
    assert table.refused("k:c") == wanted("c")
    table.sent(request("d"), 1)
    assert table.refused("") == wanted("a", "b")
    assert table.refused("") == wanted("d")
    assert table.refused("") == ()
    assert len(table) == 0


@given(SYMBOLS, st.lists(st.tuples(st.sampled_from(["acked", "refused", "seen", "late"]), st.integers(0, 7))))
def test_every_symbol_ends_somewhere(symbols: list[str], steps: list[tuple[str, int]]) -> None:
    """Each symbol asked for is acknowledged, refused, seen, asked for again or given up in the end."""
    table = Acknowledgements(DEADLINE)
    table.sent(request(*symbols), 0)
    settled: set[str] = set()
    now = 0
    for step, number in steps:
        symbol = symbols[number % len(symbols)]
        if step == "acked":
            table.acked(f"k:{symbol}")
            settled.add(symbol)
        elif step == "refused":
            table.refused(f"k:{symbol}")
            settled.add(symbol)
        elif step == "seen":
            table.seen(symbol)
            settled.add(symbol)
        else:
            now += DEADLINE
            again, given_up = table.overdue(now)
            settled.update(ids(given_up))
            if again:
                table.sent(request(*ids(again)), now)
    for _ in range(2 * 3 * len(symbols)):
        now += DEADLINE
        again, given_up = table.overdue(now)
        settled.update(ids(given_up))
        if again:
            table.sent(request(*ids(again)), now)

    assert len(table) == 0
    assert settled == set(symbols)


@given(st.lists(st.text(max_size=3), max_size=20, unique=True).map(tuple))
def test_halves_are_all_of_the_batch(symbols: tuple[str, ...]) -> None:
    """Two halves hold every symbol once, none is empty, and halving again and again ends at single ones."""
    parts = [tuple(ids(part)) for part in halves(wanted(*symbols))]

    assert sum(parts, ()) == symbols
    assert all(parts)
    assert len(parts) == min(2, len(symbols))
    assert all(len(part) < len(symbols) for part in parts) or len(symbols) == 1
