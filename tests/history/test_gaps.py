"""The gaps of instruments, over the lives of the engine."""

from __future__ import annotations

from crypto_stream.history.gaps import NONE_LIVE, NOT_CONFIGURED, STOPPED, Gaps
from crypto_stream.market.bars import Gap


def test_a_gap_is_written_when_it_begins_and_when_it_ends() -> None:
    """So that one outlives a killed engine."""
    gaps = Gaps()
    gaps.begin("btcusdt", 10, "lost")
    begun = gaps.changed()
    gaps.end("btcusdt", 20)

    assert begun == [("btcusdt", Gap(10, None, "lost"))]
    assert gaps.changed() == [("btcusdt", Gap(10, 20, "lost"))]
    assert gaps.changed() == []
    assert gaps.open == {}


def test_what_is_open_goes_on() -> None:
    """A second reason begins no second gap, and ending nothing is nothing."""
    gaps = Gaps()
    gaps.begin("btcusdt", 10, "lost")
    gaps.begin("btcusdt", 15, "banned")

    assert gaps.open == {"btcusdt": Gap(10, None, "lost")}
    assert gaps.end("ethusdt", 20) is None
    assert len(gaps.changed()) == 1


def test_a_gap_has_a_length() -> None:
    """A clock that was set back does not turn it round."""
    gaps = Gaps()
    gaps.begin("btcusdt", 10, "lost")

    assert gaps.end("btcusdt", 5) == 11


def test_a_life_that_ended_in_a_gap_ends_it() -> None:
    """The stop is a gap of its own, from then on."""
    gaps = Gaps()
    gaps.resume("btcusdt", [Gap(10, None, "lost")], 30, STOPPED)

    assert gaps.changed() == [("btcusdt", Gap(10, 30, "lost")), ("btcusdt", Gap(30, None, STOPPED))]


def test_lives_without_a_price_are_one_stop() -> None:
    """What was open for the same reason goes on: no second row, no overlap."""
    gaps = Gaps()
    gaps.resume("ticker_00", [Gap(10, None, STOPPED)], 30, STOPPED)

    assert gaps.open == {"ticker_00": Gap(10, None, STOPPED)}
    assert gaps.changed() == []


def test_gaps_of_an_earlier_life_never_overlap() -> None:
    """Even if the one that was open began after the engine last said that it lived."""
    gaps = Gaps()
    gaps.resume("btcusdt", [Gap(40, None, "lost")], 30, STOPPED)

    assert gaps.changed() == [("btcusdt", Gap(40, 41, "lost")), ("btcusdt", Gap(41, None, STOPPED))]


def test_once_the_engine_runs_it_is_no_longer_the_stop() -> None:
    """Only gaps of the stop are cut there."""
    gaps = Gaps()
    gaps.resume("btcusdt", [], 30, STOPPED)
    gaps.resume("ethusdt", [], 30, NOT_CONFIGURED)
    gaps.begin("xrpusdt", 50, "lost")
    gaps.changed()
    gaps.started(60)

    assert gaps.changed() == [("btcusdt", Gap(30, 60, STOPPED)), ("btcusdt", Gap(60, None, NONE_LIVE))]
    assert gaps.open["ethusdt"].reason == NOT_CONFIGURED
    assert gaps.open["xrpusdt"] == Gap(50, None, "lost")
