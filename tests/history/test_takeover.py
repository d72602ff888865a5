"""An engine that takes over: the bars of another one, and the trades that it has heard meanwhile."""

from __future__ import annotations

from pathlib import Path

from crypto_stream.engine.history import open_history
from crypto_stream.engine.timekeeping import MachineClocks
from crypto_stream.history.history import History
from crypto_stream.market.clock import EngineClock
from crypto_stream.market.events import Trade
from crypto_stream.settings import Settings
from tests.history.test_history import SYMBOL, ask, gaps, run_engine, running, serve, wall_ms
from tests.history.trading import expected_bars, numbers, trade

SECOND = 1_000


def taken_over(folder: Path, since_ms: int, *heard: Trade) -> History:
    """Open the history as an engine that has heard these trades, the first possible one at `since_ms`."""
    settings = Settings(data_dir=folder, keep_1s=0, keep_1m=0)
    clock = EngineClock(MachineClocks())
    history = open_history(settings, [SYMBOL], clock, covered={SYMBOL: since_ms})
    serve(history)
    history.replay(("binance", one) for one in heard)
    return history


def test_bars_are_those_of_an_engine_that_ran_through(tmp_path: Path) -> None:
    """The first engine's open bar, and all later ones, are made of what the second one heard; no gap."""
    begin = wall_ms() // SECOND * SECOND - 8 * SECOND  # the first engine ends now
    trades = [trade(begin + 400 * number, str(number + 1)) for number in range(40)]
    run_engine(tmp_path, *trades[:20])
    with running(taken_over(tmp_path, begin - 60 * SECOND, *trades)) as history:
        bars, found = ask(history), gaps(history)

    assert [numbers(bar) for bar in bars] == expected_bars(trades, SECOND)
    assert found == []
    assert history.late_trades == 0


def test_stored_bars_do_not_change(tmp_path: Path) -> None:
    """The second engine has heard other trades in the seconds that are stored: they are not added."""
    begin = wall_ms() // SECOND * SECOND - 5 * SECOND
    run_engine(tmp_path, *(trade(begin + SECOND * number) for number in range(5)))
    others = [trade(begin + SECOND * number + 500, "7") for number in range(6)]
    with running(taken_over(tmp_path, begin - 60 * SECOND, *others)) as history:
        prices = [bar.close for bar in ask(history)]

    assert prices == ["1"] * 4 + ["7", "7"]


def test_what_nobody_heard_is_a_gap(tmp_path: Path) -> None:
    """The second engine was started after the first one had ended: the gap ends where its trades begin."""
    begin = wall_ms() // SECOND * SECOND - 3 * SECOND
    run_engine(tmp_path, *(trade(begin + SECOND * number) for number in range(3)))
    since = begin + 10 * SECOND
    heard = [trade(since + SECOND * number) for number in range(3)]
    with running(taken_over(tmp_path, since, *heard)) as history:
        times, (gap,) = [bar.time - begin for bar in ask(history)], gaps(history)

    assert times == [0, 1_000, 10_000, 11_000, 12_000]
    # It begins when the first engine ended, by the venue's clock, which goes on while that engine works.
    assert 2_000 <= gap.from_ - begin < 3_000
    assert gap.to == since
