"""The table of docs/scale.md and the rehearsal: each row happens there, or is named with where it does."""

from __future__ import annotations

import pytest

from tests.rehearsal import effects
from tests.rehearsal.effects import ELSEWHERE, Effect, codes

EFFECTS = [one for one in vars(effects).values() if isinstance(one, Effect) and one.event]


def test_each_row_is_rehearsed_or_said_to_be_elsewhere() -> None:
    """No other one is expected, and none twice."""
    events = [one.event for one in EFFECTS]

    assert sorted([*events, *ELSEWHERE]) == sorted(codes())


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        (effects.NOTHING, set()),
        (effects.FOLLOWER_DIES, set()),
        (effects.RELAY_HANGS, {"engine_unreachable"}),
        (effects.LEADER_VANISHES, {"engine_unreachable", "starting"}),
        (effects.DATABASE, {"store_unavailable", "rate_limited"}),
    ],
)
def test_codes_are_those_of_the_table(effect: Effect, expected: set[str]) -> None:
    """Where orders are reset, unanswered ones get that code."""
    assert effect.codes == expected
