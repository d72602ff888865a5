"""The states of a source: the table is complete, and the documentation shows the same table."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.errors import ImpossibleEventError
from crypto_stream.feed.states import (
    INITIAL_SESSION_STATE,
    INITIAL_SOURCE_STATE,
    TABLE,
    StateEvent,
    after,
    source_state,
    worst_state,
)
from crypto_stream.market.status import SourceState

STATES: tuple[SourceState, ...] = get_args(SourceState)
EVENTS: tuple[StateEvent, ...] = get_args(StateEvent)
DOCUMENT = Path(__file__).parents[2] / "docs" / "architecture.md"


def test_every_state_has_a_row_and_every_event_a_place() -> None:
    """The table contains all states and events, and no others."""
    assert set(TABLE) == set(STATES)
    assert {event for row in TABLE.values() for event in row} == set(EVENTS)
    assert {state for row in TABLE.values() for state in row.values()} == set(STATES)


def test_every_state_can_be_reached_and_left() -> None:
    """Events lead from the initial state to every other; only `ended` is final."""
    reached, found = set[SourceState](), {INITIAL_SOURCE_STATE}
    while found != reached:
        reached = found
        found = reached | {state for before in reached for state in TABLE[before].values()}
    final = {state for state, row in TABLE.items() if set(row.values()) <= {state}}

    assert reached == set(STATES)
    assert final == {"ended"}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(STATES, EVENTS)))
def test_other_transitions_are_errors(state: SourceState, event: StateEvent) -> None:
    """Every pair of state and event either leads to a state or is reported as impossible."""
    if event in TABLE[state]:
        assert after(state, event) == TABLE[state][event]
    else:
        with pytest.raises(
            ImpossibleEventError, match=f"'{event}' cannot happen to a source that is '{state}'"
        ):
            after(state, event)


@given(st.data())
def test_a_state_tells_what_happened(data: st.DataObject) -> None:
    """After any history, each state has the meaning in the documentation."""
    state, happened = INITIAL_SOURCE_STATE, list[StateEvent]()
    for _ in range(data.draw(st.integers(0, 40))):
        happened.append(data.draw(st.sampled_from(sorted(TABLE[state]))))
        state = after(state, happened[-1])
    # What decides: acknowledgements come late or twice, and an end is no news once a source was turned off.
    telling = [each for each in happened if each != "acknowledged"]
    last = telling[-1] if telling else "unwanted"
    wishes = [each for each in happened if each in ("wanted", "postponed", "unwanted")]
    begun = max((at for at, each in enumerate(happened) if each in ("wanted", "attempt")), default=0)

    if state == "off":
        assert not wishes or wishes[-1] == "unwanted"
    else:
        assert state == "ended" or wishes[-1] != "unwanted"
    assert (state == "live") == (last == "data")
    assert (state == "stale") == (last == "silence")
    assert (state == "ended") <= ("finished" in happened)
    assert (state == "lost") <= (last in ("failed", "postponed"))
    assert (state == "connected") <= ("acknowledged" in happened[begun:])
    assert (state in ("connecting", "connected")) <= (last in ("wanted", "attempt"))


@given(st.sampled_from(STATES), st.none() | st.sampled_from(STATES))
def test_a_connecting_source_has_the_state_of_its_session(
    own: SourceState, session: SourceState | None
) -> None:
    """A session counts only while its source is connecting: off, lost and ended are the source's own."""
    combined = source_state(own, session)

    assert combined == (session if own == "connecting" and session is not None else own)
    assert source_state("connecting", INITIAL_SESSION_STATE) == "connecting"


@given(st.lists(st.sampled_from(STATES), min_size=1))
def test_of_several_connections_the_worst_counts(states: list[SourceState]) -> None:
    """A source is live only if none of its connections is connecting, and lost once one of them is."""
    combined = worst_state(states)

    assert combined in states
    assert (combined == "live") <= (set(states) <= {"live", "ended", "off"})
    assert ("lost" in states) == (combined == "lost")


def test_the_documentation_shows_this_table() -> None:
    """The table in docs/architecture.md is the one in the code; empty cells are impossible."""
    text = DOCUMENT.read_text().partition("## The states of a source")[2].partition("\n## ")[0]
    rows = [
        [cell.strip(" *`") for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    head, body = rows[0][1:], rows[2:]
    shown = {row[0]: {event: to for event, to in zip(head, row[1:], strict=True) if to} for row in body}

    assert shown == TABLE
