"""The gaps of instruments, over restarts of the engine."""

from __future__ import annotations

from crypto_stream.history.gaps import NONE_LIVE, NOT_CONFIGURED, STOPPED, Gaps
from crypto_stream.market.bars import Gap


def test_a_gap_is_written_when_it_begins_and_when_it_ends() -> None:
    """So that it survives a killed engine."""
    gaps = Gaps()
    gaps.begin("btcusdt", 10, "lost")
    begun = gaps.changed()
    gaps.end("btcusdt", 20)

    assert begun == [("btcusdt", Gap(10, None, "lost"))]
    assert gaps.changed() == [("btcusdt", Gap(10, 20, "lost"))]
    assert gaps.changed() == []
    assert gaps.open == {}


def test_an_open_gap_continues() -> None:
    """A second reason begins no second gap, and ending without a gap does nothing."""
    gaps = Gaps()
    gaps.begin("btcusdt", 10, "lost")
    gaps.begin("btcusdt", 15, "banned")

    assert gaps.open == {"btcusdt": Gap(10, None, "lost")}
    assert gaps.end("ethusdt", 20) is None
    assert len(gaps.changed()) == 1


def test_a_gap_has_a_length() -> None:
    """Even if the clock was set back."""
    gaps = Gaps()
    gaps.begin("btcusdt", 10, "lost")

    assert gaps.end("btcusdt", 5) == 11


def test_a_stop_ends_an_open_gap() -> None:
    """From then on there is a gap for the stop."""
    gaps = Gaps()
    gaps.resume("btcusdt", [Gap(10, None, "lost")], 30, STOPPED)

    assert gaps.changed() == [("btcusdt", Gap(10, 30, "lost")), ("btcusdt", Gap(30, None, STOPPED))]


def test_runs_without_a_price_are_one_stop() -> None:
    """A gap for the same reason continues: no second row, no overlap."""
    gaps = Gaps()
    gaps.resume("ticker_00", [Gap(10, None, STOPPED)], 30, STOPPED)

    assert gaps.open == {"ticker_00": Gap(10, None, STOPPED)}
    assert gaps.changed() == []


def test_gaps_of_an_earlier_run_never_overlap() -> None:
    """Even if the open one began after the engine last recorded that it is alive."""
    gaps = Gaps()
    gaps.resume("btcusdt", [Gap(40, None, "lost")], 30, STOPPED)

    assert gaps.changed() == [("btcusdt", Gap(40, 41, "lost")), ("btcusdt", Gap(41, None, STOPPED))]


def test_after_the_start_gaps_are_no_longer_attributed_to_the_stop() -> None:
    """Only gaps of the stop end there."""
    gaps = Gaps()
    gaps.resume("btcusdt", [], 30, STOPPED)
    gaps.resume("ethusdt", [], 30, NOT_CONFIGURED)
    gaps.begin("xrpusdt", 50, "lost")
    gaps.changed()
    gaps.started(60)

    assert gaps.changed() == [("btcusdt", Gap(30, 60, STOPPED)), ("btcusdt", Gap(60, None, NONE_LIVE))]
    assert gaps.open["ethusdt"].reason == NOT_CONFIGURED
    assert gaps.open["xrpusdt"] == Gap(50, None, "lost")


def test_there_is_no_gap_while_another_engine_had_the_trades() -> None:
    """What was open ends where the previous run ended; where its trades begin later, the gap ends there."""
    gaps = Gaps()
    covered = gaps.resume("btcusdt", [], 30, STOPPED, until_ms=20)
    lost = gaps.resume("ethusdt", [Gap(10, None, "lost")], 30, STOPPED, until_ms=20)
    late = gaps.resume("xrpusdt", [], 30, STOPPED, until_ms=50)
    stopped = gaps.resume("ticker_00", [Gap(10, None, STOPPED)], 30, STOPPED, until_ms=50)

    assert gaps.open == {}
    assert gaps.changed() == [
        ("ethusdt", Gap(10, 30, "lost")),
        ("xrpusdt", Gap(30, None, STOPPED)),
        ("xrpusdt", Gap(30, 50, STOPPED)),
        ("ticker_00", Gap(10, 50, STOPPED)),
    ]
    assert (covered, lost, late, stopped) == (30, 30, 50, 50)
