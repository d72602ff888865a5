"""Deadlines of many keys: each at its time, none twice, none early."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.deadlines import Deadlines

KEYS = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), KEYS, st.integers(0, 30)),
        st.tuples(st.just("discard"), KEYS, st.just(0)),
        st.tuples(st.just("due"), st.just(""), st.integers(1, 5)),
    ),
    max_size=60,
)


@given(STEPS)
def test_each_falls_due_at_its_earliest_deadline(steps: list[tuple[str, str, int]]) -> None:
    """Exactly those keys are due whose earliest deadline has passed, in order."""
    deadlines = Deadlines[str]()
    plain: dict[str, int] = {}
    now = 0
    for what, key, number in steps:
        if what == "add":
            deadlines.add(key, now + number)
            plain[key] = min(plain.get(key, now + number), now + number)
        elif what == "discard":
            deadlines.discard(key)
            plain.pop(key, None)
        else:
            now += number
            expected = sorted((at, each) for each, at in plain.items() if at <= now)

            assert deadlines.due(now) == [each for _, each in expected]
            for _, each in expected:
                del plain[each]


def test_a_bounded_number_falls_due_at_once() -> None:
    """The earliest first; the others remain due."""
    deadlines = Deadlines[str]()
    for key, at in (("a", 3), ("b", 1), ("c", 2), ("d", 9)):
        deadlines.add(key, at)

    assert deadlines.due(5, 2) == ["b", "c"]
    assert deadlines.due(5, 2) == ["a"]
    assert deadlines.due(5, 2) == []


def test_a_deadline_is_not_postponed() -> None:
    """A later one changes nothing."""
    deadlines = Deadlines[str]()
    deadlines.add("a", 5)
    deadlines.add("a", 9)

    assert deadlines.due(5) == ["a"]
    assert deadlines.due(9) == []
