"""The state of watched topics in a gateway: bars without a hole, otherwise the newest payload."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.bus.codec import encode_value
from crypto_stream.bus.messages import LiveBars, TopicUpdate
from crypto_stream.errors import BusError
from crypto_stream.gateway.topics import NO_ROOM, TOPICS, AsOf, MergedBars, Topics
from crypto_stream.market import depth
from crypto_stream.market.bars import Bar, Gap


def bar(time: int, close: int = 0, *, closed: bool = True) -> Bar:
    return Bar(time, "0", "9", "0", str(close), None, 1, "synthetic", closed)


def message(seq: int, previous: int | None, *bars: Bar, gap: Gap | None = None) -> LiveBars:
    return LiveBars("e1", "ticker_00", "1s", seq, previous, list(bars), gap)


@st.composite
def updates(draw: st.DrawFn) -> list[LiveBars]:
    """Generate an engine's updates: each has the bars closed since the previous one, and the open bar."""
    made, live = [], 0
    for seq, more in enumerate(draw(st.lists(st.integers(0, 6), min_size=1, max_size=12)), 1):
        times = range(live, live + more + 1)
        bars = [bar(time, seq, closed=time < times[-1]) for time in times]
        made.append(message(seq, live - 1 if live else None, *bars))
        live += more
    return made


@given(updates(), st.data())
def test_a_viewer_gets_everything_or_sees_a_hole(sent: list[LiveBars], data: st.DataObject) -> None:
    """Whatever the gateway and the viewer miss, no hole goes unnoticed, and no old bar is the last."""
    watched, viewer, seen = MergedBars(), dict[int, Bar](), 0
    newest: dict[int, Bar] = {}
    for version, one in enumerate(sent, 1):
        newest |= {each.time: each for each in one.bars}
        if data.draw(st.booleans(), label="the gateway gets it"):
            watched.apply(one, version)
        if not data.draw(st.booleans(), label="the viewer is served"):
            continue
        news = watched.since(seen)
        seen = version
        if news is None:
            continue
        assert [each.time for each in news.bars] == sorted(each.time for each in news.bars)
        last = max(viewer, default=None)
        first = news.bars[0].time
        if last is not None and first > last and news.previous != last:
            viewer.clear()  # it sees that it has missed something, and starts again
        viewer |= {each.time: each for each in news.bars}
        times = sorted(viewer)

        assert times == list(range(times[0], times[-1] + 1))
        assert viewer[times[-1]].time <= max(newest)
    watched.apply(sent[-1], len(sent) + 1)
    final = watched.since(0)
    assert final is not None
    assert final.bars[-1] == newest[max(newest)]


def test_nothing_is_new_without_an_update() -> None:
    """Neither before the first update of a watched series, nor after an update that was sent already."""
    watched = MergedBars()
    before = watched.since(0)
    watched.apply(message(1, None, bar(5)), 7)

    assert before is None
    assert watched.since(7) is None
    assert watched.since(6) == message(1, None, bar(5))


def test_only_changed_bars_are_returned_with_the_time_of_the_bar_before() -> None:
    """A viewer that is current up to a version gets what came after it."""
    watched = MergedBars()
    watched.apply(message(1, 3, bar(4), bar(5, closed=False)), 1)
    watched.apply(message(2, 4, bar(5), bar(6, closed=False)), 2)

    assert watched.since(1) == message(2, 4, bar(5), bar(6, closed=False))
    assert watched.since(0) == message(2, 3, bar(4), bar(5), bar(6, closed=False))


def test_an_update_that_does_not_follow_replaces_all_bars() -> None:
    """The gateway missed one: the bars it had end before a hole."""
    watched = MergedBars()
    watched.apply(message(1, None, bar(1)), 1)
    watched.apply(message(2, 8, bar(9)), 2)

    assert watched.since(0) == message(2, 8, bar(9))


def test_a_gap_alone_is_a_change() -> None:
    """No bar changed, but prices are no longer live."""
    watched = MergedBars()
    watched.apply(message(1, None, bar(1)), 1)
    watched.apply(message(2, 1, gap=Gap(2000, None, "lost")), 2)

    assert watched.since(1) == message(2, 1, gap=Gap(2000, None, "lost"))


def test_the_number_of_bars_is_bounded() -> None:
    """The oldest are removed; the time of the last removed one is kept."""
    watched = MergedBars()
    watched.apply(message(1, None, *(bar(time) for time in range(100))), 1)
    news = watched.since(0)

    assert news is not None
    assert len(news.bars) < 10
    assert news.previous == news.bars[0].time - 1


def test_an_open_bar_of_a_killed_engine_is_removed() -> None:
    """The next run's bars follow the last closed one."""
    watched = MergedBars()
    watched.apply(message(1, 3, bar(4), bar(5, closed=False)), 1)
    watched.apply(message(2, 4, bar(7, closed=False)), 2)

    assert watched.since(0) == message(2, 3, bar(4), bar(7, closed=False))
    assert watched.since(1) == message(2, 4, bar(7, closed=False))


def test_an_older_update_changes_nothing() -> None:
    """A response and a message may overtake each other: the higher version wins."""
    topics = Topics()
    topics.take(TopicUpdate("candles", "ticker_00/1s", 7, encode_value(message(2, 1, bar(2)))), 1)
    topics.take(TopicUpdate("candles", "ticker_00/1s", 6, encode_value(message(1, None, bar(1)))), 2)

    assert topics.since("candles", "ticker_00/1s", 0) == message(2, 1, bar(2))
    assert topics.since("candles", "ticker_00/1s", 1) is None


def test_keys_that_are_no_longer_watched_are_removed() -> None:
    """Their versions, too: a restarted engine may count from a lower one."""
    topics = Topics()
    topics.take(TopicUpdate("candles", "ticker_00/1s", 7, encode_value(message(2, 1, bar(2)))), 1)
    topics.keep(set())
    gone = topics.since("candles", "ticker_00/1s", 0)
    topics.take(TopicUpdate("candles", "ticker_00/1s", 6, encode_value(message(1, None, bar(1)))), 2)

    assert gone is None
    assert topics.since("candles", "ticker_00/1s", 0) == message(1, None, bar(1))


def test_what_was_known_of_removed_instruments_is_forgotten() -> None:
    """Added again, an instrument does not begin with the book that it had."""
    topics, book = Topics(), depth.depth("ethusdt", [])
    topics.take(TopicUpdate("candles", "ticker_00/1s", 7, encode_value(message(2, 1, bar(2)))), 1)
    index = message(2, 1, bar(2))
    topics.take(TopicUpdate("candles", "index:ticker_00/1s", 7, encode_value(index)), 1)
    topics.take(TopicUpdate("depth", "btcusdt", 8, encode_value(depth.depth("btcusdt", []))), 2)
    topics.take(TopicUpdate("depth", "ethusdt", 9, encode_value(book)), 3)
    topics.forget({"btcusdt", "ticker_00"})

    assert topics.since("candles", "ticker_00/1s", 0) is None
    assert topics.since("candles", "index:ticker_00/1s", 0) is None
    assert topics.since("depth", "btcusdt", 0) is None
    assert topics.since("depth", "ethusdt", 0) == book


def test_an_unreadable_update_is_a_bus_error() -> None:
    """The bus connection ends; updates of unknown topics are ignored."""
    topics = Topics()
    topics.take(TopicUpdate("weather", "london", 1, encode_value("rain")), 1)
    with pytest.raises(BusError, match="candles"):
        topics.take(TopicUpdate("candles", "ticker_00/1s", 1, encode_value("rain")), 2)

    assert topics.since("weather", "london", 0) is None


BARS = ("candles", "btcusdt/1s")


def test_bars_that_there_is_no_room_for_have_a_gap() -> None:
    """It begins now and takes the place of what was shown; it ends with the next update."""
    topics = Topics()
    topics.take(TopicUpdate(*BARS, 7, encode_value(message(1, None, bar(1)))), 1)
    topics.no_room([BARS], AsOf("e1", 5, 99), 2)
    shown = topics.since(*BARS, 1)
    topics.no_room([BARS], AsOf("e1", 5, 100), 3)
    again = topics.since(*BARS, 2)
    topics.take(TopicUpdate(*BARS, 8, encode_value(message(6, 4, bar(5)))), 4)

    assert shown == LiveBars("e1", "btcusdt", "1s", 5, None, [], Gap(99, None, NO_ROOM))
    assert again is None
    assert topics.since(*BARS, 3) == message(6, 4, bar(5))


def test_a_key_is_without_room_again_after_an_update_or_a_lost_engine() -> None:
    """What is shown is replaced each time, or it would stand there as if it were live."""
    topics = Topics()
    topics.no_room([BARS], AsOf("e1", 5, 99), 1)
    topics.take(TopicUpdate(*BARS, 8, encode_value(message(6, 4, bar(5)))), 2)
    topics.no_room([BARS], AsOf("e1", 7, 100), 3)
    after_update = topics.since(*BARS, 2)
    topics.engine_lost(4)
    topics.no_room([BARS], AsOf("e1", 9, 101), 5)

    assert after_update == LiveBars("e1", "btcusdt", "1s", 7, None, [], Gap(100, None, NO_ROOM))
    assert topics.since(*BARS, 4) == LiveBars("e1", "btcusdt", "1s", 9, None, [], Gap(101, None, NO_ROOM))


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_says_that_there_is_no_room(topic: str) -> None:
    """In the form of its other updates, so that clients need nothing for it; then it is forgotten."""
    topics = Topics()
    key = (topic, "btcusdt/1m" if TOPICS[topic].variants else "btcusdt")
    topics.no_room([key], AsOf("e1", 5, 99), 1)
    shown = topics.since(*key, 0)
    topics.keep(set())

    assert msgspec.convert(msgspec.to_builtins(shown), TOPICS[topic].payload) == shown
    assert NO_ROOM in str(shown)
    assert "btcusdt" in str(shown)
    assert topics.since(*key, 0) is None
