"""The timeline of switches and starts: bounded, kept over restarts, begun anew where it cannot be read."""

from __future__ import annotations

import pytest

from crypto_stream.engine.timeline import MAX_STARTS, MAX_SWITCHES, MAX_SYMBOLS, TimelineKeeper
from crypto_stream.market.status import Start, Switch


def switch(time: int, *symbols: str) -> Switch:
    """Make a switch."""
    return Switch(list(symbols) or ["btcusdt"], "binance", "okx", "lost", time)


def test_it_goes_on_over_restarts() -> None:
    """The next run knows the switches of the one before, and both starts."""
    first = TimelineKeeper(None, "e1", 100)
    first.note(switch(150))
    second = TimelineKeeper(first.text(), "e2", 200)
    second.note(switch(250))
    timeline = second.timeline()

    assert timeline.since == 100
    assert [one.time for one in timeline.switches] == [150, 250]
    assert timeline.starts == [Start(100, "e1"), Start(200, "e2")]


def test_it_is_bounded() -> None:
    """However often sources switch and the engine starts, only the newest are kept, long lists in sum too."""
    text = None
    for at in range(MAX_STARTS + 5):
        keeper = TimelineKeeper(text, f"e{at}", at)
        text = keeper.text()
    for at in range(MAX_SWITCHES + 5):
        keeper.note(switch(at))
    many = keeper.timeline()
    wide = [f"pair{n}" for n in range(MAX_SYMBOLS // 3)]
    for at in range(8):
        keeper.note(switch(at, *wide))

    assert len(many.switches) == MAX_SWITCHES
    assert len(many.starts) == MAX_STARTS
    assert len(keeper.timeline().switches) == 3


@pytest.mark.parametrize("kept", ["", "null", "[]", '{"since": "x"}', '{"since": 1, "switches": [1]}'])
def test_what_cannot_be_read_is_begun_anew(kept: str) -> None:
    """A damaged text costs the timeline alone, never the start."""
    assert TimelineKeeper(kept, "e1", 100).timeline().starts == [Start(100, "e1")]
