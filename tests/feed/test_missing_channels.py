"""Missing channels: invariants, and the decisive cases."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.feed.missing_channels import OtherSource, missing_channels, recheck_times
from crypto_stream.market.book import Entry
from crypto_stream.market.channels import CHANNELS
from crypto_stream.market.events import Trade, Update
from tests.feed.world import LIMITS, S, World
from tests.instruments import named

STEPS = st.lists(st.tuples(st.sampled_from(["top", "trade", "day"]), st.floats(0.05, 3.0)), max_size=60)


def fed(steps: list[tuple[str, float]], without: str = "") -> tuple[Entry, float]:
    """Create an entry of a market with these steps, of which one channel delivers nothing."""
    entry, now, number = Entry(), 100.0, 0
    for what, pause in steps:
        now += pause
        number += what == "trade"
        event: Trade | Update
        if what == "trade":
            event = Trade(named("x"), "trades", number, 1, str(number), "1")
        elif what == "top":
            event = Update(named("x"), "top", 1, bid=str(now), bid_size="1", ask=str(now + 1), ask_size="1")
        else:
            event = Update(named("x"), "day", 1, price=str(number), volume_24h=str(number), slow=True)
        if what != without:
            entry.channels.observe(event, round(now * S), 1)
    return entry, now


@given(STEPS)
def test_a_channel_with_recent_data_is_never_missing(steps: list[tuple[str, float]]) -> None:
    """Whatever the others show."""
    entry, now = fed([*steps, ("top", 0.1), ("trade", 0.1), ("day", 0.1)])

    assert missing_channels(entry, [], round((now + 4) * S), 0, LIMITS, CHANNELS) == {}


@given(STEPS, st.floats(5.0, 50.0))
def test_silence_alone_is_quiet(steps: list[tuple[str, float]], silence: float) -> None:
    """Without any activity, no channel is missing."""
    entry, now = fed([*steps, ("trade", 1.1), ("day", 0.1), ("top", 0.1)])

    assert missing_channels(entry, [], round((now + silence) * S), 0, LIMITS, CHANNELS) == {}


@given(st.integers(7, 40))
def test_trades_that_the_24h_figures_show_are_missing(seconds: int) -> None:
    """If the last price in the 24 h figures changes each second and no trade arrives, trades are missing."""
    market = [("trade", 0.5), ("day", 0.5)] * seconds
    entry, now = fed(market, without="trade")

    assert "trades" in missing_channels(entry, [], round((now + 1) * S), 0, LIMITS, {"trades"})


@given(st.floats(5.0, 500.0), st.integers(1, 20))
def test_24h_figures_have_time_after_the_first_trade_not_in_them(pause: float, more: int) -> None:
    """However long nothing was traded before, and however many trades follow."""
    entry, now = fed([("day", 0.1), *[("trade", pause)], *[("trade", 0.1)] * more])
    first = now - more * 0.1

    assert missing_channels(entry, [], round((first + 14.9) * S), 0, LIMITS, {"day"}) == {}
    assert "day" in missing_channels(entry, [], round((first + 15.1) * S), 0, LIMITS, {"day"})


@given(st.integers(1, 60), st.floats(1.0, 60.0))
def test_another_venue_is_evidence_only_beyond_coincidence(trades: int, pause: float) -> None:
    """Ten of its usual pauses without one trade here."""
    mine, other = Entry(), Entry()
    for number in range(trades):
        event = Trade(named("x"), "trades", number, 1, str(number), "1")
        at = round((100 + number * pause) * S)
        other.channels.observe(event, at, 1)
        other.moved_ns = at
    now = round((100 + trades * pause) * S)
    found = missing_channels(
        mine, [OtherSource(other, 0, gives_trades=True)], now, 100 * S, LIMITS, {"trades"}
    )

    assert bool(found) <= (trades >= 10)
    assert bool(found) or trades <= 11 or trades * pause <= 5


@given(STEPS, STEPS, st.sampled_from(["", "top", "trade", "day"]))
def test_time_alone_changes_nothing_between_recheck_times(
    steps: list[tuple[str, float]], theirs: list[tuple[str, float]], without: str
) -> None:
    """Between two of these times the same channels are missing if no data arrives."""
    (mine, now), (other, later) = fed(steps, without), fed(theirs)
    mine.moved_ns, other.moved_ns = round(now * S), other.channels.trades_ns
    others = [OtherSource(other, 0, gives_trades=True)]
    pauses = [pause for each in (mine, other) if (pause := each.channels.pause_ns) is not None]
    first = round(max(now, later) * S)
    told = {at for at in recheck_times(mine, pauses, 0, LIMITS, CHANNELS) if at > first}
    times = [first, *sorted(told), first + 10**6 * S]

    for since, until in pairwise(times):
        assert missing_channels(mine, others, since, 0, LIMITS, CHANNELS) == missing_channels(
            mine, others, until - 1, 0, LIMITS, CHANNELS
        )


def test_failover_and_failback_of_an_incomplete_source() -> None:
    """It serves again `failback_after` its trades resumed; until then the complete source serves."""
    world = World({"btcusdt": ("one", "two")})
    world.live("one", "two")
    served = []
    for second in range(120):
        world.now += 1
        for name in ("one", "two"):
            entry, key = world.book.of(name), second
            price = str(second)
            if name == "two" or not 20 <= second < 60:
                entry.apply(Trade(named("btcusdt"), "trades", key, key, price, "1"), world.now_ns)
            entry.apply(
                Update(named("btcusdt"), "day", key, key, price, volume_24h=price, slow=True), world.now_ns
            )
        world.decide()
        served.append(world.serving())

    assert set(served[:20]) == {"one"}
    assert served.index("two") in range(24, 29)
    assert set(served[28:89]) == {"two"}
    assert served[95:] == ["one"] * 25


def test_if_all_are_incomplete_the_most_complete_one_serves() -> None:
    """Missing trades are worse than missing 24 h figures."""
    world = World({"btcusdt": ("one", "two")})
    world.live("one", "two")
    for second in range(60):
        world.now += 1
        for name in ("one", "two"):
            entry, price = world.book.of(name), str(second)
            if name == "two" or second < 20:
                entry.apply(Trade(named("btcusdt"), "trades", second, second, price, "1"), world.now_ns)
            if name == "one" or second < 20:
                day = Update(named("btcusdt"), "day", second, second, price, volume_24h=price, slow=True)
                entry.apply(day, world.now_ns)
        world.decide()

    assert world.serving() == "two"
    assert world.failover.missing_at("two", "btcusdt") == "two: no 24 h figures although it is traded"
