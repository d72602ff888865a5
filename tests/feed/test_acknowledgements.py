"""Replies to subscriptions: no request is forgotten, none is repeated without end."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.feed.acknowledgements import SubscriptionReplies, halves
from crypto_stream.feed.handler import Request, Wanted
from crypto_stream.market.instruments import Instrument

DEADLINE = 100
SYMBOLS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True)


def wanted(*symbols: str) -> tuple[Wanted, ...]:
    """Want the trades of each symbol."""
    return tuple(Wanted(symbol, Instrument(symbol, None, None), "trades") for symbol in symbols)


def request(*symbols: str) -> Request:
    """Create a request whose acknowledgement names each symbol."""
    return Request("text", tuple(f"k:{symbol}" for symbol in symbols), wanted(*symbols))


def ids(of: Iterable[Wanted]) -> list[str]:
    """Return the ids of what is wanted."""
    return [each.id for each in of]


def test_acknowledged_requests_are_done() -> None:
    """A request is pending until each key was acknowledged; unknown and repeated ones change nothing."""
    table = SubscriptionReplies(DEADLINE)
    table.sent(request("a", "b"), 0)
    table.acked("k:a")
    table.acked("k:a")
    table.acked("k:x")
    half = len(table)
    table.acked("k:b")

    assert (half, len(table)) == (1, 0)
    assert table.overdue(10 * DEADLINE) == ([], [])


def test_data_is_an_acknowledgement() -> None:
    """A venue may send no acknowledgement at all: data of every symbol counts as well."""
    table = SubscriptionReplies(DEADLINE)
    table.sent(request("a", "b"), 0)
    table.seen("a")
    table.seen("x")
    half = len(table)
    table.seen("b")

    assert (half, len(table)) == (1, 0)


def test_only_symbols_without_data_are_requested_again() -> None:
    """At the deadline, not before, the symbols without data are requested again."""
    table = SubscriptionReplies(DEADLINE)
    table.sent(request("a", "b", "c"), 0)
    table.seen("b")

    assert table.overdue(DEADLINE - 1) == ([], [])
    again, abandoned = table.overdue(DEADLINE)

    assert (ids(again), abandoned) == (["a", "c"], [])
    assert table.overdue(10 * DEADLINE) == ([], [])


def test_a_symbol_is_abandoned_after_three_requests() -> None:
    """A symbol that was not acknowledged in three requests is abandoned."""
    table = SubscriptionReplies(DEADLINE)
    results = []
    for number in range(3):
        table.sent(request("a"), 1000 * number)
        results.append([ids(each) for each in table.overdue(1000 * number + DEADLINE)])

    assert results == [[["a"], []], [["a"], []], [[], ["a"]]]


def test_an_acknowledgement_resets_the_count() -> None:
    """A symbol requested often and acknowledged each time has three attempts again when one is lost."""
    table = SubscriptionReplies(DEADLINE)
    for number in range(5):
        table.sent(request("a"), number)
        table.acked("k:a")
    table.sent(request("a"), 1000)

    again, abandoned = table.overdue(1000 + DEADLINE)

    assert (ids(again), abandoned) == (["a"], [])


def test_refusal_names_its_request() -> None:
    """A refused key returns its request's symbols; without a key, those of the oldest pending request."""
    table = SubscriptionReplies(DEADLINE)
    table.sent(request("a", "b"), 0)
    table.sent(request("c"), 0)

    assert table.refused("k:x") == ()
    assert table.refused("k:c") == wanted("c")
    table.sent(request("d"), 1)
    assert table.refused("") == wanted("a", "b")
    assert table.refused("") == wanted("d")
    assert table.refused("") == ()
    assert len(table) == 0


def test_a_request_refused_entirely_is_no_longer_pending() -> None:
    """What it wanted is requested again in parts; its other keys would wait for answers that never come."""
    table = SubscriptionReplies(DEADLINE)
    table.sent(request("a", "b"), 0)

    assert table.refused("k:a") == wanted("a", "b")
    assert len(table) == 1
    assert table.refused("k:b", entirely=True) == wanted("a", "b")
    table.sent(request("c", "d"), 0)
    assert table.refused("k:c", entirely=True) == wanted("c", "d")
    assert len(table) == 0


@given(SYMBOLS, st.lists(st.tuples(st.sampled_from(["acked", "refused", "seen", "late"]), st.integers(0, 7))))
def test_every_symbol_ends_somewhere(symbols: list[str], steps: list[tuple[str, int]]) -> None:
    """Each requested symbol is finally acknowledged, refused, seen or abandoned."""
    table = SubscriptionReplies(DEADLINE)
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
            again, abandoned = table.overdue(now)
            settled.update(ids(abandoned))
            if again:
                table.sent(request(*ids(again)), now)
    for _ in range(2 * 3 * len(symbols)):
        now += DEADLINE
        again, abandoned = table.overdue(now)
        settled.update(ids(abandoned))
        if again:
            table.sent(request(*ids(again)), now)

    assert len(table) == 0
    assert settled == set(symbols)


@given(st.lists(st.text(max_size=3), max_size=20, unique=True).map(tuple))
def test_halves_are_all_of_the_batch(symbols: tuple[str, ...]) -> None:
    """Two halves contain every symbol once, none is empty, and repeated halving ends at single symbols."""
    parts = [tuple(ids(part)) for part in halves(wanted(*symbols))]

    assert sum(parts, ()) == symbols
    assert all(parts)
    assert len(parts) == min(2, len(symbols))
    assert all(len(part) < len(symbols) for part in parts) or len(symbols) == 1
