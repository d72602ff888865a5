"""Trouble that lasts is one line in the log, however often it is met, and its end is another one."""

from __future__ import annotations

import logging

import pytest

from crypto_stream.log_throttle import LineBudget, TroubleLog

log = logging.getLogger("crypto_stream.test")


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str | None]]:
    return [(record.message, vars(record).get("reason")) for record in caplog.records]


def test_trouble_is_logged_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever its reason is meanwhile; where there was none nothing is logged."""
    with caplog.at_level(logging.INFO):
        trouble = TroubleLog(log, "it fails", "it works again")
        trouble.works()
        for reason in ("full", "full", "locked"):
            trouble.fails(reason)
        during = trouble.reason
        trouble.works()
        trouble.works()
        trouble.fails("full")

    assert lines(caplog) == [("it fails", "full"), ("it works again", None), ("it fails", "full")]
    assert during == "locked"


def test_another_reason_can_be_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """But the same one never is."""
    trouble = TroubleLog(log, "it fails", level=logging.ERROR, each_reason=True)
    for reason in ("full", "full", "locked", "locked"):
        trouble.fails(reason)
    trouble.works()

    assert lines(caplog) == [("it fails", "full"), ("it fails", "locked")]
    assert trouble.reason is None


def test_a_budget_of_lines_counts_what_it_leaves_out_and_gives_as_many_again() -> None:
    """By kind, and once; what is allowed and what was left out are renewed apart."""
    budget = LineBudget(2)

    allowed = [budget.allows(kind) for kind in ("came", "left", "came", "left", "left")]
    omitted = budget.omitted()
    still = budget.allows("came")
    budget.renew()
    again = [budget.allows("left") for _ in range(3)]

    assert allowed == [True, True, False, False, False]
    assert omitted == {"came": 1, "left": 2}
    assert not still
    assert again == [True, True, False]
    assert budget.omitted() == {"came": 1, "left": 1}
    assert not budget.omitted()
