"""When the engine is asked for topics, for which ones, and what viewers get of its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from crypto_stream.bus.codec import encode_value
from crypto_stream.bus.interface import BusFigures
from crypto_stream.bus.messages import RequestBody, ToGateway, Watch
from crypto_stream.bus.orders import OrderCommands
from crypto_stream.engine import topics
from crypto_stream.engine.whole_topic import WholeTopic
from crypto_stream.errors import BusError
from crypto_stream.gateway.subscriptions import Subscription, Symbols
from crypto_stream.gateway.topics import NO_ROOM
from crypto_stream.gateway.watcher import Watcher
from crypto_stream.market.status import Venues
from tests.gateway.engine import INSTRUMENTS
from tests.gateway.test_delivery import Harness

SYMBOLS = [one.symbol for one in INSTRUMENTS]


def venues_of(symbol: str) -> Subscription:
    """Subscribe to the quotes of all sources of one instrument."""
    return Subscription(Symbols(False, frozenset({symbol})), 0, topics=(("venues", ""),))


class Bus:
    """A bus of one gateway, directly to the topics of an engine; it can be cut."""

    def __init__(self) -> None:
        self.topics = topics.Topics([_venues()], lambda _, update: None)
        self.asked: list[list[str]] = []
        self.cut = False

    def run(self, receive: Callable[[Sequence[ToGateway]], None], reset: Callable[[], None]) -> None:
        """Receive nothing but answers."""

    def request(self, body: RequestBody, timeout_s: float = 5.0) -> bytes:
        """Let the topics answer."""
        assert isinstance(body, Watch)
        self.asked.append(body.keys.get("venues", []))
        if self.cut:
            raise BusError("cut by a test")
        return encode_value(self.topics.watch("gateway", body.keys))

    def send(self, commands: OrderCommands) -> None:
        """Take no orders."""

    def figures(self) -> BusFigures:
        """Count nothing."""
        return BusFigures(None, 0)

    def close(self) -> None:
        """Do nothing."""


def _venues() -> WholeTopic[Venues]:
    def current(symbol: str) -> Venues:
        return Venues(symbol, "okx", False, None, "1", "okx", "2", "okx", [])

    def same(value: Venues) -> Venues:
        return value

    return WholeTopic("venues", SYMBOLS, current=current, number=lambda _: 0, without_ages=same)


class Desk(Harness):
    """A gateway's delivery whose watcher is run by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.bus = Bus()
        self.watcher = Watcher(self.delivery, self.mirror, self.bus)

    def send_if_due(self) -> None:
        """Do what `run` does, if it would do it now."""
        self.watcher.refresh_if_changed()
        if self.watcher.due.is_set():
            self.watcher.send()


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_engine_is_asked_only_when_other_topics_are_wanted(desk: Desk) -> None:
    """Not for each viewer that joins others, leaves them, or wants no topics."""
    desk.viewer("one", venues_of("btcusdt"))
    desk.send_if_due()
    for name in ("two", "three"):
        desk.viewer(name, venues_of("btcusdt"))
        desk.send_if_due()
    desk.viewer("four", Subscription(Symbols(True)))
    desk.send_if_due()
    desk.delivery.remove("two")
    desk.send_if_due()
    joined = list(desk.bus.asked)
    desk.viewer("five", venues_of("ethusdt"))
    desk.send_if_due()
    desk.delivery.remove("one")
    desk.delivery.remove("three")
    desk.send_if_due()

    assert joined == [["btcusdt"]]
    assert desk.bus.asked[1:] == [["btcusdt", "ethusdt"], ["ethusdt"]]


def test_a_lost_request_is_made_up_for_by_the_next_one(desk: Desk) -> None:
    """Each names all topics, so whatever was lost, or whoever forgot them, they are watched again."""
    _, pipe = desk.viewer("one", venues_of("btcusdt"))
    desk.bus.cut = True
    desk.send_if_due()
    lost = pipe.take()
    desk.bus.cut = False
    desk.watcher.send()

    assert lost == []
    assert [(name, payload["symbol"]) for name, payload in pipe.take()] == [("venues", "btcusdt")]


def test_viewers_are_told_of_what_there_is_no_room_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once each, those who come later, too; it is served as soon as there is room."""
    monkeypatch.setattr(topics, "MAX_WATCHED", 1)
    desk.viewer("one", venues_of("btcusdt"))
    desk.send_if_due()
    _, pipe = desk.viewer("two", venues_of("ethusdt"))
    desk.send_if_due()
    told = pipe.take()
    desk.watcher.send()
    told_again = pipe.take()
    _, later = desk.viewer("three")
    desk.delivery.subscribe(desk.delivery.viewers["three"], venues_of("ethusdt"))
    told_later = later.take()
    desk.delivery.remove("one")
    desk.send_if_due()

    assert [(name, payload["stale"], payload["reason"]) for name, payload in told] == [
        ("venues", True, NO_ROOM)
    ]
    assert told_again == []
    assert told_later[1:] == told
    for [(name, payload)] in (pipe.take(), later.take()):
        assert (name, payload["symbol"], payload["stale"]) == ("venues", "ethusdt", False)


def test_what_finds_no_room_in_a_restarted_engine_is_not_shown_as_it_was(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Viewers would take the last state for a live one."""
    _, pipe = desk.viewer("one", venues_of("btcusdt"))
    desk.send_if_due()
    before = pipe.take()
    monkeypatch.setattr(topics, "MAX_WATCHED", 0)
    desk.bus.topics.remove("gateway")
    desk.watcher.send()

    assert [payload["stale"] for _, payload in before] == [False]
    assert [(payload["stale"], payload["reason"]) for _, payload in pipe.take()] == [(True, NO_ROOM)]


def test_the_rest_of_a_large_request_is_asked_for_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the engine has come to all of it."""
    monkeypatch.setattr(topics, "MAX_NEW", 1)
    pipes = [desk.viewer(symbol, venues_of(symbol))[1] for symbol in SYMBOLS]
    desk.send_if_due()

    assert [payload["symbol"] for pipe in pipes for _, payload in pipe.take()] == SYMBOLS
    assert desk.bus.asked == [SYMBOLS] * len(SYMBOLS)
