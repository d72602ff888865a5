"""Who gets which frame when: delivery with pipes that the test empties by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crypto_stream.bus.codec import encode_value
from crypto_stream.bus.messages import Quotes, TopicUpdate
from crypto_stream.gateway.delivery.delivery import Delivery
from crypto_stream.gateway.delivery.frames import event
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.subscriptions import EVERYTHING, Subscription, Symbols
from crypto_stream.gateway.delivery.viewers import MAX_UNSENT, SLOW_CLIENT_TIMEOUT_S, Viewer
from crypto_stream.market.status import Switch, Venues
from tests.gateway.engine import INSTRUMENTS, quote
from tests.gateway.test_mirror import full, snapshot

BTC = Symbols(False, frozenset({"btcusdt"}))


class Pipe:
    """A pipe whose reader is the test. Frames wait until `take` where it polls, or does not read."""

    def __init__(self, *, polls: bool = False) -> None:
        self.frames: list[Any] = []
        self.polls = polls
        self.reads = True
        self.paused = False
        self.was_cut = False

    def waiting(self) -> int:
        return len(self.frames) if self.polls or not self.reads else 0

    def polling(self) -> bool:
        return self.polls

    def offer(self, frame: Any) -> int:
        return 0 if self.paused or self.waiting() else self.put(frame)

    def put(self, frame: Any) -> int:
        self.frames.append(frame)
        return len(frame.data)

    def drop(self) -> None:
        self.was_cut = True

    def pause_offers(self, paused: bool) -> None:
        self.paused = paused

    def take(self) -> list[tuple[str, Any]]:
        """Read everything that waits, as (event, payload)."""
        taken, self.frames = self.frames, []
        return [tuple(json.loads(frame.data[1:])) for frame in taken]


class House:
    """A mirror with three instruments, its delivery, and a clock set by the test."""

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
        """Connect a viewer, greeted, subscribed and with nothing waiting."""
        pipe = Pipe(polls=polls)
        viewer = Viewer(name, pipe)
        self.delivery.add(viewer)
        self.delivery.send_hello(viewer)
        if subscription:
            self.delivery.subscribe(viewer, subscription)
        pipe.take()
        return viewer, pipe

    def change(self, price: str, at: int = 0) -> None:
        """Give an instrument a new price."""
        self._seq += 1
        self.mirror.receive(Quotes(self._seq, [quote(INSTRUMENTS[at], self._seq, price)]), self.now_s)

    def stuff(self, interval_ms: int = 100) -> None:
        """Change and flush until whoever does not read is behind."""
        for number in range(3):
            self.change(str(200 + number))
            self.delivery.flush(interval_ms)


@pytest.fixture
def house() -> House:
    return House()


def prices(payload: list[dict[str, Any]]) -> dict[str, Any]:
    """Map symbols to prices."""
    return {one["symbol"]: one.get("price") for one in payload}


def test_hello_and_status_come_once_then_a_snapshot_of_what_was_wished(house: House) -> None:
    """A subscription is answered with a whole snapshot of its symbols, after what greets everybody."""
    pipe = Pipe()
    viewer = Viewer("v", pipe)
    house.delivery.add(viewer)
    house.delivery.send_hello(viewer)
    house.delivery.send_hello(viewer)
    house.delivery.subscribe(viewer, Subscription(BTC, 100))

    (hello, payload), (status, states), (name, quotes) = pipe.take()
    assert (hello, payload) == ("hello", {"epoch": "e1"})
    assert (status, states) == ("status", {"sources": {"okx": {"state": "live"}}})
    assert (name, prices(quotes)) == ("snapshot", {"btcusdt": "100.00"})
    assert len(quotes[0]) == 21


def test_one_message_per_interval_with_the_newest_of_each_symbol(house: House) -> None:
    """However often symbols change, a flush sends each once, and the next flush nothing."""
    _, pipe = house.viewer(subscription=Subscription(EVERYTHING, 100))
    for price in ("101", "102", "103"):
        house.change(price)
        house.change(price + "0", at=1)

    house.delivery.flush(100)
    house.delivery.flush(100)

    [(name, quotes)] = pipe.take()
    assert name == "quotes"
    assert prices(quotes) == {"btcusdt": "103", "ethusdt": "1030"}


def test_only_the_interval_that_is_due_is_flushed(house: House) -> None:
    """A viewer of one interval gets nothing on another one's beat."""
    _, pipe = house.viewer(subscription=Subscription(EVERYTHING, 1000))
    house.change("101")

    house.delivery.flush(100)

    assert pipe.take() == []


def test_members_of_a_channel_share_one_encoded_frame(house: House) -> None:
    """The frame is encoded once however many viewers wish the same."""
    pipes = [house.viewer(str(number), Subscription(EVERYTHING, 100))[1] for number in range(5)]
    before = house.counters.encoded
    house.change("101")

    house.delivery.flush(100)

    assert house.counters.encoded == before + 1
    assert len({id(pipe.frames[0]) for pipe in pipes}) == 1


def test_delta_carries_symbol_seq_and_only_what_changed(house: House) -> None:
    """Fields that stayed the same are left out."""
    _, pipe = house.viewer(subscription=Subscription(BTC, 100, delta=True))
    house.change("101")

    house.delivery.flush(100)

    [(_, [one])] = pipe.take()
    assert (one["symbol"], one["seq"], one["price"]) == ("btcusdt", 4, "101")
    assert "bid" not in one
    assert "base" not in one


def test_a_viewer_that_joins_a_delta_channel_in_the_middle_ends_up_with_the_truth(house: House) -> None:
    """A field that went there and back since the channel's last flush is told to the newcomer too."""
    house.viewer("first", Subscription(BTC, 100, delta=True))
    house.change("101")
    newcomer = Pipe()
    viewer = Viewer("second", newcomer)
    house.delivery.add(viewer)
    house.delivery.subscribe(viewer, Subscription(BTC, 100, delta=True))
    house.delivery.send_hello(viewer)
    house.change("100.00")

    house.delivery.flush(100)

    told = newcomer.take()
    assert prices(told[0][1]) == {"btcusdt": "101"}
    assert prices(told[-1][1]) == {"btcusdt": "100.00"}


def test_who_does_not_read_gets_one_snapshot_when_drained(house: House) -> None:
    """At most one frame waits, the others are skipped; drained, it gets one snapshot of the newest."""
    _, pipe = house.viewer(subscription=Subscription(BTC, 100))
    _, other = house.viewer("other", Subscription(BTC, 100))
    pipe.reads = False

    for number in range(5):
        house.change(str(200 + number))
        house.delivery.flush(100)
        other.take()
    waited = pipe.take()
    pipe.reads = True
    house.delivery.flush(100)
    house.change("999")
    house.delivery.flush(100)
    told = pipe.take()

    assert [prices(quotes) for _, quotes in waited] == [{"btcusdt": "200"}]
    assert house.counters.skipped == 4
    assert [name for name, _ in told] == ["snapshot", "quotes"]
    assert prices(told[0][1]) == {"btcusdt": "204"}
    assert [name for name, _ in other.take()] == ["quotes"]
    assert house.counters.caught_up == 1


def test_thirty_seconds_behind_is_the_end(house: House) -> None:
    """Who takes nothing for 30 s is cut and counted, not before."""
    viewer, pipe = house.viewer(subscription=Subscription(BTC, 100))
    pipe.reads = False
    house.stuff()

    house.now_s = SLOW_CLIENT_TIMEOUT_S - 0.1
    early = house.delivery.cut_slow()
    house.now_s = SLOW_CLIENT_TIMEOUT_S
    late = house.delivery.cut_slow()

    assert (early, late) == ([], [viewer.id])
    assert pipe.was_cut
    assert house.counters.disconnected_slow == 1
    assert viewer.id not in house.delivery.viewers


def test_reading_again_ends_the_countdown(house: House) -> None:
    """Thirty seconds count from the last time it was behind."""
    _, pipe = house.viewer(subscription=Subscription(BTC, 100))
    pipe.reads = False
    house.stuff()
    house.now_s = SLOW_CLIENT_TIMEOUT_S - 1
    pipe.take()
    house.delivery.flush(100)

    house.now_s = SLOW_CLIENT_TIMEOUT_S + 1

    assert house.delivery.cut_slow() == []


@pytest.mark.parametrize("delta", [False, True])
def test_a_polling_viewer_gets_one_newest_message_per_poll(house: House, delta: bool) -> None:
    """Between two polls only one `quotes` waits; what changed meanwhile comes with the next, no snapshot."""
    _, pipe = house.viewer(subscription=Subscription(EVERYTHING, 100, delta=delta), polls=True)
    for number, price in enumerate(("101", "102", "103")):
        house.change(price)
        house.change(price + "0", at=1 if number else 2)
        house.delivery.flush(100)

    first = pipe.take()
    house.delivery.flush(100)
    second = pipe.take()

    assert [(name, prices(quotes)) for name, quotes in first] == [
        ("quotes", {"btcusdt": "101", "ticker_00": "1010"})
    ]
    assert [(name, prices(quotes)) for name, quotes in second] == [
        ("quotes", {"btcusdt": "103", "ethusdt": "1030"})
    ]


def test_after_unsubscribing_what_was_still_to_come_of_the_rest_comes(house: House) -> None:
    """Leaving a symbol loses no change of the others, and nothing of it comes any more."""
    viewer, pipe = house.viewer(subscription=Subscription(EVERYTHING, 5000))
    house.change("101")
    house.change("201", at=1)

    house.delivery.unsubscribe(viewer, Subscription(EVERYTHING.minus(BTC), 5000))
    house.change("102")
    house.change("202", at=1)
    house.delivery.flush(5000)

    told = pipe.take()
    assert [(name, prices(quotes)) for name, quotes in told] == [
        ("quotes", {"ethusdt": "201"}),
        ("quotes", {"ethusdt": "202"}),
    ]


def test_a_new_epoch_brings_hello_and_then_a_snapshot_to_everybody(house: House) -> None:
    """Also to who is behind, once it has drained; the unsubscribed get hello alone."""
    _, slow = house.viewer("slow", Subscription(BTC, 100))
    slow.reads = False
    house.stuff()
    _, quick = house.viewer("quick", Subscription(BTC, 100))
    _, idle = house.viewer("idle")

    house.mirror.receive(snapshot("e2", seq=1, price="7"), 0.0)
    house.delivery.restart()
    while_full = [name for name, _ in slow.take()]
    house.delivery.flush(100)

    assert [name for name, _ in quick.take()] == ["hello", "snapshot"]
    assert idle.take() == [("hello", {"epoch": "e2"})]
    assert "hello" not in while_full
    told = slow.take()
    assert [name for name, _ in told] == ["hello", "snapshot"]
    assert prices(told[1][1]) == {"btcusdt": "7"}


def test_a_switch_is_told_to_who_watches_one_of_its_symbols(house: House) -> None:
    """With only the symbols that viewer has."""
    _, btc = house.viewer("btc", Subscription(BTC, 100))
    _, eth = house.viewer("eth", Subscription(Symbols(False, frozenset({"ethusdt"})), 100))

    house.delivery.send_switch(Switch(["btcusdt", "ticker_00"], "binance", None, "lost", 1))

    payload = {"symbols": ["btcusdt"], "from": "binance", "to": None, "reason": "lost", "time": 1}
    assert btc.take() == [("source", payload)]
    assert eth.take() == []


def test_venues_go_to_who_asked_for_them(house: House) -> None:
    """At its interval, the newest per symbol; what is known comes with the subscription."""
    _, plain = house.viewer("plain", Subscription(BTC, 100))
    _, first = house.viewer("first", Subscription(BTC, 100, topics=(("venues", ""),)))
    for number, serving in enumerate(("okx", "binance")):
        rows = Venues("btcusdt", serving, False, None, "1", "okx", "2", "okx", [])
        house.mirror.receive(TopicUpdate("venues", "btcusdt", number, encode_value(rows)), 0.0)

    house.delivery.flush(100)
    second = Pipe()
    viewer = Viewer("second", second)
    house.delivery.add(viewer)
    house.delivery.send_hello(viewer)
    house.delivery.subscribe(viewer, Subscription(BTC, 100, topics=(("venues", ""),)))

    assert [(name, rows["serving"]) for name, rows in first.take()] == [("venues", "binance")]
    assert [name for name, _ in second.take()] == ["hello", "status", "snapshot", "venues"]
    assert plain.take() == []


def test_who_asks_without_reading_answers_is_cut(house: House) -> None:
    """Acknowledgements that are asked for are bounded too."""
    viewer, pipe = house.viewer()
    pipe.reads = False
    for _ in range(MAX_UNSENT):
        pipe.put(event("answer", None))
    assert not house.delivery.cut_if_overloaded(viewer)

    pipe.put(event("answer", None))

    assert house.delivery.cut_if_overloaded(viewer)
    assert pipe.was_cut


def test_who_subscribes_again_and_again_has_one_snapshot_waiting(house: House) -> None:
    """And gets the newest when it has read that, whatever its interval."""
    viewer, pipe = house.viewer()
    pipe.reads = False
    for _ in range(60):
        house.delivery.subscribe(viewer, Subscription(BTC, 5000))
    waiting = [name for name, _ in pipe.take()]
    house.change("101")
    house.delivery.flush(0)

    assert waiting.count("snapshot") == 1
    assert [name for name, _ in pipe.take()] == ["snapshot"]


def test_different_wishes_keep_few_snapshots(house: House) -> None:
    """What each viewer was sent is not kept for everybody."""
    for number in range(200):
        viewer, _ = house.viewer(str(number))
        house.delivery.subscribe(
            viewer, Subscription(Symbols(False, frozenset({"btcusdt", f"other{number}"})), 100)
        )

    assert len(house.delivery._snapshots._cached) <= 32


def test_a_large_flush_lets_others_run(house: House) -> None:
    """The green hub gets a turn every few hundred viewers."""
    for number in range(450):
        house.viewer(str(number), Subscription(BTC, 100))
    house.change("101")

    house.delivery.flush(100)

    assert house.yields == 3
