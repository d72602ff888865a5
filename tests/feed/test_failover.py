"""Which source serves an instrument: facts in, decisions out; no clock, no socket."""

from __future__ import annotations

import pytest

from crypto_stream.feed.chooser import NOT_CARRIED
from tests.feed.world import World

BOTH = {"btcusdt": ("one", "two")}


def both_live() -> World:
    """Create two live sources, the first of which serves."""
    world = World(BOTH)
    world.live("one", "two")
    world.trade("one")
    world.trade("two")
    world.decide()
    return world


def test_first_live_source_of_the_chain_serves() -> None:
    """The first live source of the chain serves, and the reason says so."""
    world = World(BOTH)
    world.live("one", "two")
    world.trade("one")
    world.trade("two")

    assert world.decide() == [("btcusdt", None, "one", "one is live")]
    assert world.decide() == []


def test_connected_without_data_serves_nothing() -> None:
    """A source that has delivered no data of an instrument does not serve it, live or not."""
    world = World(BOTH)
    world.live("one", "two")
    world.trade("two")

    assert world.decide() == [("btcusdt", None, "two", "two is live")]


def test_at_the_start_the_better_source_needs_no_probation() -> None:
    """A better source that comes up a moment later and never failed takes over at once."""
    world = World(BOTH)
    world.live("two")
    world.trade("two")
    world.decide()
    world.live("one")
    world.trade("one")

    assert world.decide() == [("btcusdt", "two", "one", "one is preferred and live")]


@pytest.mark.parametrize("state", ["lost", "stale", "connecting", "connected", "ended", "off"])
def test_every_state_but_live_loses_the_instrument(state: str) -> None:
    """A source in any other state is replaced at once, with its own reason."""
    world = both_live()
    world.lose("one", state, "no data for 5 s")  # type: ignore[arg-type]

    assert world.decide() == [("btcusdt", "one", "two", "one: no data for 5 s")]


@pytest.mark.parametrize(
    ("state", "reason"),
    [("connecting", "one: connecting"), ("connected", "one: connected, but it has sent no data yet")],
)
def test_a_source_without_a_reason_says_what_is_missing(state: str, reason: str) -> None:
    """Being connected is no reason for a stale price."""
    world = both_live()
    world.lose("one", state, None)  # type: ignore[arg-type]

    assert world.decide() == [("btcusdt", "one", "two", reason)]


def test_data_from_before_the_connection_counts_for_nothing() -> None:
    """After a reconnect a source serves an instrument only with data from the new connection."""
    world = both_live()
    world.lose("one")
    world.decide()
    world.now += 100
    world.trade("two")
    world.live("one")
    world.sources["one"].live_since_ns = 0
    without = world.decide()
    world.trade("one")

    assert without == []
    assert world.decide() == [("btcusdt", "two", "one", "one is preferred and live")]


def test_better_source_returns_after_its_probation() -> None:
    """A source that failed serves again once it was live for 30 s, not earlier."""
    world = both_live()
    world.lose("one")
    world.decide()
    world.live("one")
    world.trade("one")
    world.now += 29.999
    world.trade("two")
    early = world.decide()
    world.now += 0.001
    world.trade("one")

    assert early == []
    assert world.decide() == [("btcusdt", "two", "one", "one is preferred and live")]


def test_probation_does_not_leave_an_instrument_unserved() -> None:
    """A source on probation serves at once when nothing else is live."""
    world = both_live()
    world.lose("one")
    world.decide()
    world.live("one")
    world.trade("one")
    world.lose("two", reason="closed by the venue (1012)")

    assert world.decide() == [("btcusdt", "two", "one", "one is preferred and live")]


def test_nothing_live_says_why_for_each_source() -> None:
    """Without a live source nothing serves, and the reason names every source of the chain."""
    world = both_live()
    world.lose("one", reason="connection refused")
    world.lose("two", "stale", "no data for 5 s")
    reason = "one: connection refused; two: no data for 5 s"

    assert world.decide() == [("btcusdt", "one", None, reason)]
    assert world.failover.reasons["btcusdt"] == reason
    assert world.decide() == []


def test_silent_symbol_is_dead_once_another_source_moved_it() -> None:
    """Silent for 5 s while the standby's price moved: it alone is served from there and resubscribed."""
    world = World({"btcusdt": ("one", "two"), "ethusdt": ("one", "two")})
    world.live("one", "two")
    for symbol in ("btcusdt", "ethusdt"):
        world.trade("one", symbol)
        world.trade("two", symbol)
    world.decide()
    world.now += 4
    world.move("two")
    world.now += 0.999
    world.trade("one", "ethusdt")
    early = world.decide()
    world.now += 0.001
    changes = world.decide()

    assert early == []
    assert changes == [
        ("btcusdt", "one", "two", "one: no data of this instrument although the source is live")
    ]
    assert world.resubscribed == [("one", "btcusdt")]
    assert ("one", "btcusdt") in world.failover.silence.dead
    assert ("one", "ethusdt") not in world.failover.silence.dead


@pytest.mark.parametrize(("after_s", "dead"), [(0.5, False), (1.0, False), (1.001, True), (3, True)])
def test_a_move_seen_a_little_later_elsewhere_is_the_same_move(after_s: float, dead: bool) -> None:
    """Only a move later than 1 s after our last data proves that we missed one."""
    world = both_live()
    world.now += 10
    world.trade("one", price="7")
    world.now += after_s
    world.move("two")
    world.now += 10

    assert bool(world.decide()) is dead


def test_no_movement_anywhere_is_no_silence() -> None:
    """If nothing moved anywhere, a source to compare with shows that nothing is wrong."""
    world = both_live()
    for _ in range(100):
        world.now += 10
        world.trade("two")

        assert world.decide() == []


@pytest.mark.parametrize("settled_s", [0.0, 1.0])
def test_first_data_of_a_source_is_no_move(settled_s: float) -> None:
    """A source that comes up while a pair is quiet delivers its state, which nobody missed."""
    world = both_live()
    world.lose("two")
    world.now += 3
    world.trade("one", price="7")
    world.decide()
    world.now += 20
    world.live("two")
    world.now += settled_s
    world.trade("two", price="8")
    world.now += 10

    assert world.decide() == []


def test_without_comparison_silence_is_dead_after_a_minute() -> None:
    """Without a source to compare with, an instrument is dead after 60 s of silence, not before."""
    world = both_live()
    world.lose("two")
    world.now += 59.999
    early = world.decide()
    world.now += 0.001
    changes = world.decide()

    assert early == []
    assert [change[:3] for change in changes] == [("btcusdt", "one", None)]
    assert "no data of this instrument although the source is live" in changes[0][3]


def test_dead_instrument_resumes_with_its_first_data_and_returns_after_probation() -> None:
    """After its first data it is no longer dead; the preferred source serves it again 30 s later."""
    world = both_live()
    world.now += 3
    world.move("two")
    world.now += 3
    world.decide()
    world.now += 1
    world.trade("one")
    resumed = world.decide()
    world.now += 29.9
    world.trade("one")
    early = world.decide()
    world.now += 0.1

    assert resumed == []
    assert early == []
    assert ("one", "btcusdt") not in world.failover.silence.dead
    assert world.decide() == [("btcusdt", "two", "one", "one is preferred and live")]


def test_dead_instrument_is_resubscribed_once_a_minute() -> None:
    """It is resubscribed at once, then every 60 s while it is dead."""
    world = both_live()
    world.now += 3
    world.move("two")
    world.now += 3
    asked = []
    for second in range(125):
        world.decide()
        if world.resubscribed:
            asked.append(second)
        world.now += 1
        world.trade("two")

    assert asked == [0, 60, 120]


def test_pinned_source_serves_although_a_better_one_is_live() -> None:
    """A pin takes effect at once, and so does its removal."""
    world = both_live()

    assert world.decide("two") == [("btcusdt", "one", "two", "pinned to two")]
    assert world.decide("two") == []
    assert world.decide() == [("btcusdt", "two", "one", "one is preferred and live")]


def test_lost_pinned_source_is_replaced_by_none() -> None:
    """With a pin there is no failover: the instrument is unserved, and the reason names the source."""
    world = both_live()
    world.decide("two")
    world.lose("two", reason="connection refused")

    assert world.decide("two") == [("btcusdt", "two", None, "two: connection refused")]


def test_what_the_pinned_source_does_not_carry_says_so() -> None:
    """Instruments that the pinned source does not carry are unserved, for exactly this reason."""
    world = World({"btcusdt": ("one",), "ethusdt": ("one", "two")})
    world.live("one", "two")
    world.trade("one")
    world.trade("one", "ethusdt")
    world.trade("two", "ethusdt")
    world.decide()
    changes = world.decide("two")

    assert ("btcusdt", "one", None, NOT_CARRIED) in changes
    assert ("ethusdt", "one", "two", "pinned to two") in changes
    assert world.failover.reasons["btcusdt"] == NOT_CARRIED


def test_no_pin_excludes_a_synthetic_source() -> None:
    """Synthetic instruments always run, whatever is pinned."""
    world = World({"btcusdt": ("one",), "ticker_00": ("walk",)}, always=("walk",))
    world.live("one", "walk")
    world.trade("one")
    world.trade("walk", "ticker_00")
    world.decide()

    assert world.decide("one") == []
    assert world.decide("walk") == [("btcusdt", "one", None, NOT_CARRIED)]
    assert world.serving("ticker_00") == "walk"


def test_refused_symbol_says_what_the_venue_said() -> None:
    """The refusal of a subscription is the reason why its source does not serve it."""
    world = World({"goneusdt": ("one",)})
    world.live("one")
    world.sources["one"].refused = {"goneusdt": "code 60018: does not exist"}
    world.decide()

    assert world.failover.reasons["goneusdt"] == "one: code 60018: does not exist"


def test_instrument_of_no_source_says_so() -> None:
    """An instrument without sources has its own reason."""
    world = World({"goneusdt": ()})
    world.decide()

    assert world.failover.reasons["goneusdt"] == "no source carries it"


def test_a_planned_move_changes_nothing() -> None:
    """While a source moves to a new connection it stays live for all it served."""
    world = both_live()
    world.now += 3
    world.sources["one"].live_since_ns = world.now_ns

    assert world.decide() == []
    assert world.serving() == "one"


def test_a_halted_instrument_is_unserved_until_it_trades_again() -> None:
    """A source that halted it is skipped; as the only one, its values are shown, stale, with its word."""
    world = both_live()
    world.sources["one"].halted = {"btcusdt": "listed, but HALT"}
    moved = world.decide()
    world.lose("two")
    alone = world.decide()
    halted_source, reason = dict(world.failover.halted_source), world.failover.reasons["btcusdt"]
    world.sources["one"].halted = {}
    again = world.decide()

    assert moved == [("btcusdt", "one", "two", "one: listed, but HALT")]
    assert alone[0][2] is None
    assert halted_source == {"btcusdt": "one"}
    assert reason.startswith("one: listed, but HALT; two: ")
    assert again == [("btcusdt", None, "one", "one is live")]
    assert world.failover.halted_source == {}
