"""What the faults change in a frame: times of any unit, and the values, whatever is around them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.spoils import payload_of, shifted


@pytest.mark.parametrize(
    ("name", "time", "earlier"),
    [
        ("create_time", 1790359171, 1790355571),
        ("ts", 1790359171119, 1790355571119),
        ("ts", "1790359171119", "1790355571119"),
        ("microtimestamp", "1789457617906487", "1789454017906487"),
        ("M", 1787348155897000000, 1787344555897000000),
        ("create_time_ms", "1790359171119.653000", "1790355571119.653000"),
        ("timestamp", "2026-08-09T21:05:48.229198Z", "2026-08-09T20:05:48.229198+00:00"),
        ("M", True, True),
        ("t", "snapshot", "snapshot"),
        ("t", 7, 7),
        ("E", None, None),
        ("price", 1790359171119, 1790359171119),
    ],
)
def test_times_of_any_unit_are_set_back(name: str, time: object, earlier: object) -> None:
    """Wherever they are; what has the name of a time, but is none, stays as it is."""
    found = shifted({name: time, "data": [{name: time}]}, -3_600)

    assert found == {name: earlier, "data": [{name: earlier}]}


@pytest.mark.parametrize(
    "around",
    [
        lambda values: values,
        lambda values: {"data": values},
        lambda values: {"data": [values, {}]},
        lambda values: {"result": values},
        lambda values: {"d": values, "T": "trade.SPOT"},
        lambda values: {"events": [{"type": "update", "tickers": [values]}]},
        lambda values: {"events": [{"type": "update", "trades": [values]}]},
    ],
)
def test_the_values_are_found_in_any_envelope(around: Any) -> None:
    """Fields of the values may have the names of envelopes; an empty list is none."""
    values = {"price": "1", "d": "2030407068", "trades": 47535}

    assert payload_of(around(values)) is values
    assert payload_of({"data": []}) == {"data": []}
