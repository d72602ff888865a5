"""The mirror: newest state, stale while the engine is lost, versions that miss no change."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.bus.codec import encode_value
from crypto_stream.bus.messages import Beat, InstrumentsChanged, Quotes, Snapshot, ToGateway, TopicUpdate
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.subscriptions import EVERYTHING, Symbols
from crypto_stream.gateway.verdict import UNREACHABLE
from crypto_stream.market.best import Best, BestSide, Share
from crypto_stream.market.depth import depth
from crypto_stream.market.index import Constituent, Index
from crypto_stream.market.instruments import Instrument
from crypto_stream.market.status import SourceStatus, Switch, VenueRow, Venues
from tests.gateway.engine import INSTRUMENTS, quote

SOURCE = SourceStatus("binance", "live", 0, False, None, None, 100, 0, 2, 2)


def snapshot(epoch: str = "e1", *, seq: int = 3, price: str = "100.00") -> Snapshot:
    """Make a snapshot in which every instrument has the same price."""
    quotes = [quote(one, seq, price) for one in INSTRUMENTS]
    return Snapshot(epoch, seq, INSTRUMENTS, quotes, [SOURCE], None, {})


def full() -> Mirror:
    """Make a mirror that received one snapshot at 0 s."""
    mirror = Mirror()
    mirror.receive(snapshot(), 0.0)
    return mirror


def test_the_first_snapshot_begins_an_epoch_and_the_same_one_again_does_not() -> None:
    """Only a snapshot with another epoch is another data set."""
    mirror = Mirror()

    assert mirror.receive(snapshot("e1"), 0.0)
    assert not mirror.receive(snapshot("e1", seq=4), 1.0)
    assert mirror.receive(snapshot("e2", seq=1), 2.0)
    assert (mirror.epoch, mirror.seq) == ("e2", 1)


def test_quotes_replace_only_what_they_name() -> None:
    """A change raises its symbol's version and no other."""
    mirror = full()
    before = mirror.version
    changed = quote(INSTRUMENTS[0], 4, "101.00")

    mirror.receive(Quotes(4, [changed]), 1.0)

    assert mirror.quotes["btcusdt"] == changed
    assert mirror.seq == 4
    assert mirror.changed(EVERYTHING, before) == ["btcusdt"]


def test_a_lost_engine_makes_every_quote_stale_with_its_seq_unchanged() -> None:
    """While the engine is unreachable the last prices are shown as stale, with that reason."""
    mirror = full()
    before = dict(mirror.quotes)

    news = mirror.engine_lost()

    assert news
    for symbol, shown in mirror.quotes.items():
        assert shown == msgspec.structs.replace(before[symbol], stale=True)
        assert mirror.reason(symbol) == UNREACHABLE
    assert mirror.changed(EVERYTHING, 0) == list(before)
    assert not mirror.engine_lost(), "the second loss is no news"


def test_silence_of_five_seconds_is_a_loss() -> None:
    """The engine is lost after more than 5 s without a message, but not after exactly 5 s."""
    mirror = full()

    assert not mirror.check(5.0)
    assert mirror.check(5.1)
    assert not mirror.alive


def test_any_message_revives_the_quotes() -> None:
    """With the engine's next message, quotes that were not stale before are live again."""
    mirror = full()
    mirror.engine_lost()

    mirror.receive(Beat(0, [SOURCE], None, 0.5), 9.0)

    assert not any(one.stale for one in mirror.listed())
    assert mirror.reason("btcusdt") is None


def test_a_quote_that_is_stale_at_the_engine_stays_stale() -> None:
    """The engine's own reason is shown while it is reachable, and again after a loss."""
    mirror = full()
    stale = quote(INSTRUMENTS[0], 4, stale=True)
    mirror.receive(Quotes(4, [stale], {"btcusdt": "not carried by the pinned source"}), 1.0)
    mirror.engine_lost()
    assert mirror.reason("btcusdt") == UNREACHABLE

    mirror.receive(Beat(0, [SOURCE], None, 0.5), 9.0)

    assert mirror.quotes["btcusdt"] == stale
    assert mirror.reason("btcusdt") == "not carried by the pinned source"


def test_ages_grow_once_a_beat_is_late_and_a_lost_engine_has_lost_sources() -> None:
    """A source's age is as the engine measured it; without the engine no source is live."""
    mirror = full()

    assert mirror.sources(1.0)[0].age_ms == 100
    assert mirror.sources(4.0)[0].age_ms == 2100
    assert mirror.troubles(2.0) == []
    mirror.engine_lost()
    assert mirror.sources(2.0)[0].state == "lost"
    assert mirror.troubles(2.0) == [UNREACHABLE]


def test_without_a_live_source_the_troubles_name_each() -> None:
    """Readiness reports the state of each source."""
    mirror = full()
    dead = msgspec.structs.replace(SOURCE, state="lost", reason="HTTP 451", real=2)
    idle = msgspec.structs.replace(SOURCE, name="synthetic", state="lost")

    mirror.receive(Quotes(5, [quote(one, 5, stale=True) for one in INSTRUMENTS[:2]]), 1.0)
    mirror.receive(Beat(0, [dead, idle], None, 0.5), 1.0)

    dark = "2 of 2 real pairs have no live price: btcusdt, ethusdt"
    assert mirror.troubles(1.0) == [dark, "binance: HTTP 451"]


def test_venues_of_a_lost_engine_are_stale() -> None:
    """Per-source quotes become stale with the engine, too."""
    mirror = full()
    row = VenueRow("binance", "live", True, False, "1", "1", "1", "2", "1", 1, 5)
    venues = Venues("btcusdt", "binance", False, None, "1", "binance", "2", "binance", [row])
    mirror.receive(TopicUpdate("venues", "btcusdt", 1, encode_value(venues)), 1.0)

    mirror.engine_lost()

    shown = mirror.topics.since("venues", "btcusdt", 0)
    assert isinstance(shown, Venues)
    assert (shown.stale, shown.reason, shown.best_bid) == (True, UNREACHABLE, None)
    assert [one.stale for one in shown.sources] == [True]


def test_best_and_index_of_a_lost_engine_are_stale() -> None:
    """An index keeps its last value, a best price would be too old to act on."""
    mirror = full()
    side = BestSide("1", "1", [Share("binance", "1", 5)])
    best = Best("btcusdt", False, None, side, side, "0.00", False, ["binance"], [])
    index = Index("btcusdt", "1", 9, False, None, [Constituent("binance", "1", "mid", "1", 5)], [])
    mirror.receive(TopicUpdate("best", "btcusdt", 1, encode_value(best)), 1.0)
    mirror.receive(TopicUpdate("index", "btcusdt", 1, encode_value(index)), 1.0)

    mirror.engine_lost()

    nothing = Best("btcusdt", True, UNREACHABLE, None, None, None, False, [], [])
    assert mirror.topics.since("best", "btcusdt", 0) == nothing
    assert mirror.topics.since("index", "btcusdt", 0) == Index("btcusdt", "1", 9, True, UNREACHABLE, [], [])


def test_removed_instruments_disappear() -> None:
    """A snapshot with fewer instruments removes the others."""
    mirror = full()
    fewer = Snapshot("e2", 1, INSTRUMENTS[:1], [quote(INSTRUMENTS[0], 1)], [SOURCE], None, {})

    mirror.receive(fewer, 1.0)

    assert [one.symbol for one in mirror.listed()] == ["btcusdt"]
    assert mirror.catalogue.find("ethusdt") is None


PRICES = st.sampled_from(["1", "2", None])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("quote"), st.integers(0, 2), PRICES, st.booleans()),
        st.tuples(st.just("lose")),
        st.tuples(st.just("beat")),
        st.tuples(st.just("look")),
    )
)


SETS = st.builds(Symbols, st.booleans(), st.frozensets(st.sampled_from([one.symbol for one in INSTRUMENTS])))


def quotes_of(mirror: Mirror, symbols: Symbols) -> dict[str, dict[str, object]]:
    """Return the fields of the shown quotes of these symbols."""
    return {one.symbol: msgspec.structs.asdict(one) for one in mirror.listed() if symbols.has(one.symbol)}


@given(STEPS, SETS)
def test_merged_deltas_give_the_shown_quotes(steps: list[tuple[object, ...]], symbols: Symbols) -> None:
    """Whenever a reader of some symbols merges what changed since its last look, it has the shown quotes."""
    mirror = full()
    view = quotes_of(mirror, symbols)
    seen, seq = mirror.version, 3
    for step in [*steps, ("look",)]:
        match step:
            case ("quote", int(at), price, bool(stale)):
                seq += 1
                assert price is None or isinstance(price, str)
                message: ToGateway = Quotes(seq, [quote(INSTRUMENTS[at], seq, price, stale=stale)])
                mirror.receive(message, 1.0)
            case ("lose",):
                mirror.engine_lost()
            case ("beat",):
                mirror.receive(Beat(0, [SOURCE], None, 0.5), 1.0)
            case _:
                for symbol in mirror.changed(symbols, seen):
                    view[symbol].update(mirror.delta(symbol, seen))
                seen = mirror.version

    assert view == quotes_of(mirror, symbols)


def restarted(*, live: bool) -> Snapshot:
    """Make the first snapshot of another run: nothing is served yet, or everything is live again."""
    return msgspec.structs.replace(
        snapshot(seq=10), run="r2", quotes=[quote(one, 9, stale=not live) for one in INSTRUMENTS]
    )


def test_a_restart_of_the_engine_is_a_pause() -> None:
    """Live quotes stay as they are until the new run serves them again: none was stale meanwhile."""
    mirror = full()
    before, version = dict(mirror.quotes), mirror.version
    new_epoch = mirror.receive(restarted(live=False), 3.0)
    shown, settled = dict(mirror.quotes), mirror.end_recovery(3.1)
    changed = mirror.changed(EVERYTHING, version)
    mirror.receive(Quotes(11, [quote(INSTRUMENTS[0], 11, "101.00")]), 3.5)

    assert not new_epoch
    assert not settled
    assert shown == before
    assert changed == []
    assert mirror.verdict().state == "live"
    assert mirror.quotes["btcusdt"].price == "101.00"


def test_no_number_goes_back_when_another_engine_is_followed() -> None:
    """Both published for a while, so the one that leads now may have numbered the same price lower."""
    mirror = full()
    mirror.receive(Quotes(20, [quote(INSTRUMENTS[0], 20, "101.00")]), 1.0)
    mirror.receive(
        msgspec.structs.replace(
            snapshot(seq=18), run="r2", quotes=[quote(one, 18, "102.00") for one in INSTRUMENTS]
        ),
        2.0,
    )
    first, second = (mirror.quotes[one.symbol] for one in INSTRUMENTS[:2])
    mirror.receive(Quotes(19, [quote(INSTRUMENTS[0], 19, stale=True)]), 2.5)
    stale, newest = mirror.quotes["btcusdt"], mirror.seq
    mirror.receive(Quotes(21, [quote(INSTRUMENTS[0], 21)]), 3.0)

    assert [(one.seq, one.price) for one in (first, second)] == [(20, "102.00"), (18, "102.00")]
    assert (stale.seq, stale.stale, newest) == (20, True, 20)
    assert mirror.quotes["btcusdt"] == quote(INSTRUMENTS[0], 21)


def test_another_data_set_has_other_numbers() -> None:
    """They may be lower: viewers start again from a snapshot."""
    mirror = full()
    mirror.receive(snapshot("e2", seq=1), 1.0)

    assert {one.seq for one in mirror.listed()} == {1}
    assert mirror.changed(Symbols(False, frozenset({"btcusdt"})), 0) == ["btcusdt"]


def test_version_changes_with_seq_though_nothing_else_is_shown() -> None:
    """A cached `/courses` has `Stream-Seq`, outdated even while a restart hides the change itself."""
    mirror = full()
    mirror.receive(restarted(live=False), 3.0)
    shown, version = dict(mirror.quotes), mirror.version
    mirror.receive(Quotes(11, [quote(INSTRUMENTS[0], 11, stale=True)]), 3.5)
    later = mirror.version
    mirror.receive(Quotes(11, []), 3.6)

    assert mirror.quotes == shown
    assert mirror.seq == 11
    assert later > version
    assert mirror.version == later


def test_what_a_restarted_engine_does_not_serve_in_time_is_stale() -> None:
    """Five seconds after the previous run's last message; a quote served and lost again, at once."""
    mirror = full()
    mirror.receive(Beat(0, [SOURCE], None, 0.5), 2.0)
    mirror.receive(restarted(live=False), 3.0)
    mirror.receive(Quotes(11, [quote(INSTRUMENTS[0], 11, "101.00")]), 3.5)
    mirror.receive(Quotes(12, [quote(INSTRUMENTS[0], 12, stale=True)]), 3.6)
    first = mirror.quotes["btcusdt"].stale
    early, waiting = mirror.end_recovery(6.9), mirror.quotes["ethusdt"].stale
    late = mirror.end_recovery(7.0)

    assert first
    assert not early
    assert not waiting
    assert late
    assert all(one.stale for one in mirror.quotes.values())


def test_repeated_restarts_do_not_extend_the_pause() -> None:
    """The time runs from the first restart."""
    mirror = full()
    for at in range(1, 5):
        mirror.receive(msgspec.structs.replace(restarted(live=False), run=f"r{at + 1}"), float(at))
    early = mirror.end_recovery(4.9)
    late = mirror.end_recovery(5.0)

    assert (early, late) == (False, True)


def test_changed_instruments_after_a_restart_are_reported() -> None:
    """Although the epoch is the same: viewers must learn of the new instruments."""
    mirror = full()
    fewer = msgspec.structs.replace(snapshot(seq=10), run="r2", instruments=INSTRUMENTS[:2])

    assert mirror.receive(fewer, 1.0)
    assert not mirror.receive(fewer, 2.0)


def test_a_switch_that_changes_nothing_for_viewers_is_left_out() -> None:
    """A new run starts without sources: that it serves from the same source again is no change."""
    mirror = full()
    begun = Switch(["btcusdt", "ethusdt"], None, "binance", "binance is live", 1)
    other = Switch(["btcusdt"], None, "okx", "okx is live", 1)
    lost = Switch(["btcusdt"], "binance", None, "lost", 1)
    mixed = Switch(["btcusdt", "ticker_00"], None, "binance", "binance is live", 1)

    assert mirror.unseen_part(begun) is None
    assert [mirror.unseen_part(one) for one in (other, lost)] == [other, lost]
    assert mirror.unseen_part(mixed) == msgspec.structs.replace(mixed, symbols=["ticker_00"])


def test_instruments_that_come_and_go_are_no_new_start() -> None:
    """Real pairs stand before the others; the next snapshot with the same ones is no news either."""
    mirror, new = full(), Instrument("solusdt", "SOL", "USDT")
    mirror.receive(TopicUpdate("depth", "btcusdt", 1, encode_value(depth("btcusdt", []))), 1.0)
    is_new = mirror.receive(InstrumentsChanged([new], ["btcusdt"]), 1.0)
    mirror.receive(Quotes(9, [quote(new, 9)]), 1.0)
    present = [*INSTRUMENTS[1:], new]
    later = msgspec.structs.replace(
        snapshot(), instruments=present, quotes=[quote(one, 10) for one in present]
    )

    assert not is_new
    assert [one.symbol for one in mirror.catalogue] == ["ethusdt", "solusdt", "ticker_00"]
    assert set(mirror.quotes) == {"ethusdt", "solusdt", "ticker_00"}
    assert mirror.reason("btcusdt") is None
    assert mirror.topics.since("depth", "btcusdt", 0) is None
    assert not mirror.receive(later, 2.0)


def test_instruments_in_another_order_are_no_other_ones() -> None:
    """A restarted engine lists them as it has them now: pages follow, viewers need not start again."""
    mirror, turned = full(), INSTRUMENTS[::-1]

    assert not mirror.receive(msgspec.structs.replace(snapshot(), instruments=turned), 1.0)
    assert list(mirror.catalogue) == turned
    assert mirror.receive(msgspec.structs.replace(snapshot(), instruments=turned[1:]), 2.0)
