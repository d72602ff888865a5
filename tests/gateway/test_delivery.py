"""Which viewer gets which frame and when: delivery with pipes that the test empties by hand."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from crypto_stream.bus.codec import encode_value
from crypto_stream.bus.messages import Quotes, Snapshot, TopicUpdate
from crypto_stream.gateway.delivery.delivery import Delivery
from crypto_stream.gateway.delivery.frames import event
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.viewers import MAX_UNSENT, MAX_WAITING, SLOW_CLIENT_TIMEOUT_S, Viewer
from crypto_stream.gateway.subscriptions import EVERYTHING, Subscription, Symbols
from crypto_stream.market.instruments import Instrument
from crypto_stream.market.status import Switch, Venues
from tests.gateway.engine import INSTRUMENTS, quote
from tests.gateway.test_mirror import SOURCE, full, snapshot

BTC = Symbols(False, frozenset({"btcusdt"}))


class Pipe:
    """A pipe that the test reads. Frames are queued until `take` if it polls, or while it does not read."""

    def __init__(self, *, polls: bool = False) -> None:
        self.frames: list[Any] = []
        self.polls = polls
        self.reads = True
        self.paused = False
        self.dropped = False
        self.looks = 0

    def waiting(self) -> int:
        self.looks += 1
        return len(self.frames) if self.polls or not self.reads else 0

    def polling(self) -> bool:
        return self.polls

    def offer(self, frame: Any) -> int:
        return 0 if self.paused or self.waiting() else self.put(frame)

    def put(self, frame: Any) -> int:
        self.frames.append(frame)
        return len(frame.data)

    def drop(self) -> None:
        self.dropped = True

    def pause_offers(self, paused: bool) -> None:
        self.paused = paused

    def take(self) -> list[tuple[str, Any]]:
        """Return everything queued, as (event, payload)."""
        taken, self.frames = self.frames, []
        return [tuple(json.loads(frame.data[1:])) for frame in taken]


class Harness:
    """A mirror with three instruments, its delivery, and a clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.mirror = full()
        self.counters = DeliveryMetrics()
        self.yields = 0
        self.delivery = Delivery(
            self.mirror,
            self.counters,
            lambda: event("hello", {"epoch": self.mirror.epoch}),
            lambda: event("status", {"sources": {"okx": {"state": "live"}}}),
            lambda: self.now_s,
            self._yield_control,
        )
        self._seq = 3

    def _yield_control(self) -> None:
        self.yields += 1

    def viewer(
        self, name: str = "v", subscription: Subscription | None = None, *, polls: bool = False
    ) -> tuple[Viewer, Pipe]:
        """Connect a viewer, with `hello` sent, subscribed, and nothing queued."""
        pipe = Pipe(polls=polls)
        viewer = Viewer(name, pipe)
        self.delivery.add(viewer)
        self.delivery.send_hello(viewer)
        if subscription:
            self.delivery.subscribe(viewer, subscription)
        pipe.take()
        return viewer, pipe

    def change(self, price: str, at: int = 0) -> None:
        """Set a new price."""
        self._seq += 1
        self.mirror.receive(Quotes(self._seq, [quote(INSTRUMENTS[at], self._seq, price)]), self.now_s)

    def fill(self, interval_ms: int = 100) -> None:
        """Change and flush until a viewer that does not read is slow."""
        for number in range(3):
            self.change(str(200 + number))
            self.delivery.flush(interval_ms)


@pytest.fixture
def harness() -> Harness:
    return Harness()


def prices(payload: list[dict[str, Any]]) -> dict[str, Any]:
    """Map symbols to prices."""
    return {one["symbol"]: one.get("price") for one in payload}


def test_hello_and_status_are_sent_once_then_a_snapshot(harness: Harness) -> None:
    """A subscription is followed by a snapshot of its symbols, after the frames that every viewer gets."""
    pipe = Pipe()
    viewer = Viewer("v", pipe)
    harness.delivery.add(viewer)
    harness.delivery.send_hello(viewer)
    harness.delivery.send_hello(viewer)
    harness.delivery.subscribe(viewer, Subscription(BTC, 100))

    (hello, payload), (status, states), (name, quotes) = pipe.take()
    assert (hello, payload) == ("hello", {"epoch": "e1"})
    assert (status, states) == ("status", {"sources": {"okx": {"state": "live"}}})
    assert (name, prices(quotes)) == ("snapshot", {"btcusdt": "100.00"})
    assert len(quotes[0]) == 21


def test_one_message_per_interval_with_the_newest_of_each_symbol(harness: Harness) -> None:
    """However often symbols change, a flush sends each once, and the next flush nothing."""
    _, pipe = harness.viewer(subscription=Subscription(EVERYTHING, 100))
    for price in ("101", "102", "103"):
        harness.change(price)
        harness.change(price + "0", at=1)

    harness.delivery.flush(100)
    harness.delivery.flush(100)

    [(name, quotes)] = pipe.take()
    assert name == "quotes"
    assert prices(quotes) == {"btcusdt": "103", "ethusdt": "1030"}


def test_only_the_interval_that_is_due_is_flushed(harness: Harness) -> None:
    """Viewers of other intervals get nothing."""
    _, pipe = harness.viewer(subscription=Subscription(EVERYTHING, 1000))
    harness.change("101")

    harness.delivery.flush(100)

    assert pipe.take() == []


def test_members_of_a_channel_share_one_encoded_frame(harness: Harness) -> None:
    """It is encoded once, however many viewers have the same subscription."""
    pipes = [harness.viewer(str(number), Subscription(EVERYTHING, 100))[1] for number in range(5)]
    before = harness.counters.encoded
    harness.change("101")

    harness.delivery.flush(100)

    assert harness.counters.encoded == before + 1
    assert len({id(pipe.frames[0]) for pipe in pipes}) == 1


def test_delta_carries_symbol_seq_and_only_what_changed(harness: Harness) -> None:
    """Fields that stayed the same are left out."""
    _, pipe = harness.viewer(subscription=Subscription(BTC, 100, delta=True))
    harness.change("101")

    harness.delivery.flush(100)

    [(_, [one])] = pipe.take()
    assert (one["symbol"], one["seq"], one["price"]) == ("btcusdt", 4, "101")
    assert "bid" not in one
    assert "base" not in one


def test_a_viewer_that_joins_a_delta_channel_misses_no_change(harness: Harness) -> None:
    """Also a field that changed and changed back since the channel's last flush is sent to it."""
    harness.viewer("first", Subscription(BTC, 100, delta=True))
    harness.change("101")
    newcomer = Pipe()
    viewer = Viewer("second", newcomer)
    harness.delivery.add(viewer)
    harness.delivery.subscribe(viewer, Subscription(BTC, 100, delta=True))
    harness.delivery.send_hello(viewer)
    harness.change("100.00")

    harness.delivery.flush(100)

    received = newcomer.take()
    assert prices(received[0][1]) == {"btcusdt": "101"}
    assert prices(received[-1][1]) == {"btcusdt": "100.00"}


@pytest.mark.parametrize("delta", [False, True])
def test_after_a_reused_snapshot_a_viewer_holds_what_the_mirror_shows(harness: Harness, delta: bool) -> None:
    """Whether it has joined or was slow: `quotes` follows the snapshot, and later ones fit to both."""
    board = [Instrument(f"c{number}usdt", f"C{number}", "USDT") for number in range(30)]
    news = Snapshot("e1", 3, board, [quote(one, 3) for one in board], [SOURCE], None, {})
    harness.mirror.receive(news, 0.0)
    _, slow = harness.viewer("slow", Subscription(EVERYTHING, 100, delta=delta))
    slow.reads = False
    for seq, price in ((4, "101"), (5, "102")):
        harness.mirror.receive(Quotes(seq, [quote(board[0], seq, price)]), 0.0)
        harness.delivery.flush(100)
    slow.take()
    joining = Pipe()
    viewer = Viewer("joining", joining)
    harness.delivery.add(viewer)
    harness.delivery.subscribe(viewer, Subscription(EVERYTHING, 100, delta=delta))
    harness.delivery.send_hello(viewer)

    slow.reads = True
    harness.mirror.receive(Quotes(6, [quote(board[1], 6, stale=True)]), 0.0)
    harness.delivery.flush(100)
    harness.mirror.receive(Quotes(7, [quote(board[0], 7, "101")]), 0.0)
    harness.delivery.flush(100)

    for pipe, updates in ((slow, 2), (joining, 3)):
        events = [(name, quotes) for name, quotes in pipe.take() if name in {"snapshot", "quotes"}]
        held: dict[str, Any] = {}
        for _, quotes in events:
            held |= {one["symbol"]: {**held.get(one["symbol"], {}), **one} for one in quotes}
        assert [name for name, _ in events] == ["snapshot"] + ["quotes"] * updates
        assert held == {one.symbol: msgspec.to_builtins(one) for one in harness.mirror.listed()}


def test_a_slow_viewer_gets_one_snapshot_once_it_reads_again(harness: Harness) -> None:
    """At most one frame is queued, the others are skipped; then it gets one snapshot of the newest quotes."""
    _, pipe = harness.viewer(subscription=Subscription(BTC, 100))
    _, other = harness.viewer("other", Subscription(BTC, 100))
    pipe.reads = False

    for number in range(5):
        harness.change(str(200 + number))
        harness.delivery.flush(100)
        other.take()
    waited = pipe.take()
    pipe.reads = True
    harness.delivery.flush(100)
    harness.change("999")
    harness.delivery.flush(100)
    received = pipe.take()

    assert [prices(quotes) for _, quotes in waited] == [{"btcusdt": "200"}]
    assert harness.counters.skipped == 4
    assert [name for name, _ in received] == ["snapshot", "quotes"]
    assert prices(received[0][1]) == {"btcusdt": "204"}
    assert [name for name, _ in other.take()] == ["quotes"]
    assert harness.counters.caught_up == 1


def test_a_viewer_that_is_slow_for_30_s_is_cut_off(harness: Harness) -> None:
    """It is counted; before that it is not cut off."""
    viewer, pipe = harness.viewer(subscription=Subscription(BTC, 100))
    pipe.reads = False
    harness.fill()

    harness.now_s = SLOW_CLIENT_TIMEOUT_S - 0.1
    early = harness.delivery.cut_slow()
    harness.now_s = SLOW_CLIENT_TIMEOUT_S
    late = harness.delivery.cut_slow()

    assert (early, late) == ([], [viewer.id])
    assert pipe.dropped
    assert harness.counters.disconnected_slow == 1
    assert viewer.id not in harness.delivery.viewers


def test_reading_again_resets_the_timeout(harness: Harness) -> None:
    """The 30 s count from when it last became slow."""
    _, pipe = harness.viewer(subscription=Subscription(BTC, 100))
    pipe.reads = False
    harness.fill()
    harness.now_s = SLOW_CLIENT_TIMEOUT_S - 1
    pipe.take()
    harness.delivery.flush(100)

    harness.now_s = SLOW_CLIENT_TIMEOUT_S + 1

    assert harness.delivery.cut_slow() == []


@pytest.mark.parametrize("delta", [False, True])
def test_a_polling_viewer_gets_one_newest_message_per_poll(harness: Harness, delta: bool) -> None:
    """Only one `quotes` is queued between two polls; later changes come with the next poll."""
    _, pipe = harness.viewer(subscription=Subscription(EVERYTHING, 100, delta=delta), polls=True)
    for number, price in enumerate(("101", "102", "103")):
        harness.change(price)
        harness.change(price + "0", at=1 if number else 2)
        harness.delivery.flush(100)

    first = pipe.take()
    harness.delivery.flush(100)
    second = pipe.take()

    assert [(name, prices(quotes)) for name, quotes in first] == [
        ("quotes", {"btcusdt": "101", "ticker_00": "1010"})
    ]
    assert [(name, prices(quotes)) for name, quotes in second] == [
        ("quotes", {"btcusdt": "103", "ethusdt": "1030"})
    ]


def test_unsubscribing_loses_no_change_of_other_symbols(harness: Harness) -> None:
    """And the unsubscribed symbol is not sent any more."""
    viewer, pipe = harness.viewer(subscription=Subscription(EVERYTHING, 5000))
    harness.change("101")
    harness.change("201", at=1)

    harness.delivery.unsubscribe(viewer, Subscription(EVERYTHING.minus(BTC), 5000))
    harness.change("102")
    harness.change("202", at=1)
    harness.delivery.flush(5000)

    received = pipe.take()
    assert [(name, prices(quotes)) for name, quotes in received] == [
        ("quotes", {"ethusdt": "201"}),
        ("quotes", {"ethusdt": "202"}),
    ]


def test_a_new_epoch_sends_hello_and_a_snapshot_to_every_viewer(harness: Harness) -> None:
    """To slow viewers once they read again; viewers without a subscription get only hello."""
    _, slow = harness.viewer("slow", Subscription(BTC, 100))
    slow.reads = False
    harness.fill()
    _, quick = harness.viewer("quick", Subscription(BTC, 100))
    _, idle = harness.viewer("idle")

    harness.mirror.receive(snapshot("e2", seq=1, price="7"), 0.0)
    harness.delivery.restart()
    while_full = [name for name, _ in slow.take()]
    harness.delivery.flush(100)

    assert [name for name, _ in quick.take()] == ["hello", "snapshot"]
    assert idle.take() == [("hello", {"epoch": "e2"})]
    assert "hello" not in while_full
    received = slow.take()
    assert [name for name, _ in received] == ["hello", "snapshot"]
    assert prices(received[1][1]) == {"btcusdt": "7"}


def test_a_switch_is_sent_to_the_viewers_of_its_symbols(harness: Harness) -> None:
    """With only those symbols that the viewer is subscribed to."""
    _, btc = harness.viewer("btc", Subscription(BTC, 100))
    _, eth = harness.viewer("eth", Subscription(Symbols(False, frozenset({"ethusdt"})), 100))

    harness.delivery.send_switch(Switch(["btcusdt", "ticker_00"], "binance", None, "lost", 1))

    payload = {"symbols": ["btcusdt"], "from": "binance", "to": None, "reason": "lost", "time": 1}
    assert btc.take() == [("source", payload)]
    assert eth.take() == []


def test_venues_are_sent_to_viewers_that_requested_them(harness: Harness) -> None:
    """At their interval, the newest per symbol; what is known already comes with the subscription."""
    _, plain = harness.viewer("plain", Subscription(BTC, 100))
    _, first = harness.viewer("first", Subscription(BTC, 100, topics=(("venues", ""),)))
    for number, serving in enumerate(("okx", "binance")):
        rows = Venues("btcusdt", serving, False, None, "1", "okx", "2", "okx", [])
        harness.mirror.receive(TopicUpdate("venues", "btcusdt", number, encode_value(rows)), 0.0)

    harness.delivery.flush(100)
    second = Pipe()
    viewer = Viewer("second", second)
    harness.delivery.add(viewer)
    harness.delivery.send_hello(viewer)
    harness.delivery.subscribe(viewer, Subscription(BTC, 100, topics=(("venues", ""),)))

    assert [(name, rows["serving"]) for name, rows in first.take()] == [("venues", "binance")]
    assert [name for name, _ in second.take()] == ["hello", "status", "snapshot", "venues"]
    assert plain.take() == []


def test_a_viewer_that_sends_requests_without_reading_is_cut_off(harness: Harness) -> None:
    """Queued acknowledgements are bounded, too."""
    viewer, pipe = harness.viewer()
    pipe.reads = False
    for _ in range(MAX_UNSENT):
        pipe.put(event("answer", None))
    assert not harness.delivery.cut_if_overloaded(viewer)

    pipe.put(event("answer", None))

    assert harness.delivery.cut_if_overloaded(viewer)
    assert pipe.dropped


def test_a_flush_looks_at_no_slow_viewer_of_other_intervals(harness: Harness) -> None:
    """A busy bus causes hundreds of flushes a second, and many viewers may be slow."""
    _, slow = harness.viewer("slow", Subscription(BTC, 100))
    slow.reads = False
    harness.fill()
    _, poller = harness.viewer("poller", Subscription(BTC, 0), polls=True)
    harness.fill(0)
    slow.looks = poller.looks = 0

    harness.change("300")
    harness.delivery.flush(0)
    harness.delivery.flush(250)

    assert (slow.looks, poller.looks > 0) == (0, True)


def test_a_slow_viewer_without_a_subscription_is_not_cut_off_once_it_reads(harness: Harness) -> None:
    """No flush of any interval is its own."""
    _, pipe = harness.viewer()
    pipe.reads = False
    for _ in range(MAX_WAITING + 2):
        harness.delivery.send_status()
    slow = harness.delivery.count_slow()
    pipe.take()

    harness.delivery.catch_up()

    assert (slow, harness.delivery.count_slow()) == (1, 0)


def test_repeated_subscriptions_queue_one_snapshot(harness: Harness) -> None:
    """Once it is read, the viewer gets the newest one, whatever its interval."""
    viewer, pipe = harness.viewer()
    pipe.reads = False
    for _ in range(60):
        harness.delivery.subscribe(viewer, Subscription(BTC, 5000))
    waiting = [name for name, _ in pipe.take()]
    harness.change("101")
    harness.delivery.catch_up()

    assert waiting.count("snapshot") == 1
    assert [name for name, _ in pipe.take()] == ["snapshot"]


def test_cached_snapshots_are_bounded(harness: Harness) -> None:
    """However many different subscriptions there are."""
    for number in range(200):
        viewer, _ = harness.viewer(str(number))
        harness.delivery.subscribe(
            viewer, Subscription(Symbols(False, frozenset({"btcusdt", f"other{number}"})), 100)
        )

    assert len(harness.delivery._snapshots._cached) <= 32


def test_a_large_flush_yields(harness: Harness) -> None:
    """Once every few hundred viewers."""
    for number in range(450):
        harness.viewer(str(number), Subscription(BTC, 100))
    harness.change("101")

    harness.delivery.flush(100)

    assert harness.yields == 3
