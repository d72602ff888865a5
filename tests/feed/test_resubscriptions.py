"""Resubscription to instruments without data: without end, never in a storm."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.feed.resubscriptions import Resubscriptions

S = 1_000_000_000
SYMBOLS = st.lists(st.integers(0, 60).map(str), min_size=1, max_size=60, unique=True)


@given(SYMBOLS, st.sets(st.integers(0, 60).map(str)))
def test_everything_without_data_is_requested_without_end(symbols: list[str], silent: set[str]) -> None:
    """Each at least every ten minutes; never after data; at most 20 in ten seconds."""
    resubscriptions = Resubscriptions()
    resubscriptions.requested(symbols, 0)
    for symbol in set(symbols) - silent:
        resubscriptions.received(symbol)
    last = dict.fromkeys(set(symbols) & silent, 0)
    for second in range(1, 3000):
        due = resubscriptions.due(second * S)
        resubscriptions.requested(due, second * S)
        assert set(due) <= silent
        assert len(due) <= 20
        last.update(dict.fromkeys(due, second))
        assert all(second - at <= 600 for at in last.values())


def test_the_delays_grow() -> None:
    """30 s, a minute, two, four, then every five minutes."""
    resubscriptions = Resubscriptions()
    resubscriptions.requested(["a"], 0)
    asked = [second for second in range(1500) if resubscriptions.due(second * S)]

    assert asked == [30, 90, 210, 450, 750, 1050, 1350]


def test_a_temporary_refusal_is_retried_soon() -> None:
    """After 2 s, 4 s and so on while it lasts; all of a request at once."""
    resubscriptions = Resubscriptions()
    symbols = [str(number) for number in range(100)]
    asked = []
    for second in range(40):
        if second == 0 or (due := resubscriptions.due(second * S)):
            asked.append(second)
            assert second == 0 or len(due) == 100
            resubscriptions.refused_for_now(symbols, second * S)

    assert asked == [0, 2, 6, 14, 30]


def test_nothing_is_looked_at_before_the_next_is_due() -> None:
    """Thousands of silent pairs cost nothing meanwhile; one that is refused for now ends the rest."""
    plan = Resubscriptions()
    plan.requested(["quiet", "quieter"], 0)
    first_ns = min(plan.due_ns("quiet") or 0, plan.due_ns("quieter") or 0)

    assert plan.due(first_ns - 1) == []
    plan.refused_for_now(["busy"], 0)
    soon_ns = plan.due_ns("busy") or 0
    assert soon_ns < first_ns
    assert plan.due(soon_ns) == ["busy"]
    assert set(plan.due(2 * first_ns)) == {"quiet", "quieter"}
