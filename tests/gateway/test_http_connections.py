"""Who makes room for whom among the connections, decided without any socket."""

from __future__ import annotations

import gc
import weakref

import pytest

from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.http.connections import ANSWER_S, ConnectionEntry, Connections


class House:
    """A few connections, the time, and who was ended."""

    def __init__(self, most: int = 3, max_buffered: int = 100, websockets: int = 0) -> None:
        self.now = 0.0
        self.counters = DeliveryMetrics()
        self.websockets = websockets
        self.all = Connections(most, self.counters, lambda: self.websockets, lambda: self.now, max_buffered)
        self.ended: list[str] = []
        self.used: set[str] = set()

    def enter(self, name: str) -> ConnectionEntry:
        """Let one in that waits."""
        return self.all.add(lambda: self.ended.append(name), lambda: self._recently(name))

    def _recently(self, name: str) -> bool:
        used = name in self.used
        self.used.discard(name)
        return used


def test_who_has_waited_longest_makes_room() -> None:
    """Not who is answered, nor who was of use since it began to wait; nobody is ended twice."""
    house = House()
    answered, useful, idle = house.enter("answered"), house.enter("useful"), house.enter("idle")
    answered.mark_active()
    house.used.add("useful")

    full = [house.all.has_room(), house.all.has_room(), house.all.has_room()]
    idle.remove()

    assert full == [False, False, False]
    assert house.ended == ["idle", "useful"]
    assert house.all.has_room()
    assert house.counters.ended_connections == {"no_room": 2}
    useful.remove()
    useful.remove()
    assert house.all.open == 1


def test_websockets_take_room_and_are_never_ended() -> None:
    """What is full of them lets nobody in."""
    house = House(websockets=3)

    assert not house.all.has_room()
    assert not house.all.make_room()
    house.websockets = 2
    assert house.all.has_room()


def test_unfinished_requests_are_bounded_together() -> None:
    """The oldest that holds something goes; from then on it may hold nothing."""
    house = House()
    entries = [house.enter(name) for name in ("empty", "old", "new")]
    entries[1].set_buffered(60)
    entries[2].set_buffered(60)

    assert house.ended == ["old"]
    with pytest.raises(ConnectionAbortedError):
        entries[1].set_buffered(61)
    entries[2].set_buffered(100)
    assert house.ended == ["old"]
    entries[2].set_buffered(101)
    assert house.ended == ["old", "new"]


def test_an_answer_that_is_not_taken_ends() -> None:
    """After its time, whatever trickles; a request in time begins it anew."""
    house = House()
    slow, quick = house.enter("slow"), house.enter("quick")
    slow.mark_active()
    quick.mark_active()
    house.now = ANSWER_S - 1
    quick.mark_waiting()
    quick.mark_active()

    house.all.sweep()
    early = list(house.ended)
    house.now = ANSWER_S
    house.all.sweep()

    assert (early, house.ended) == ([], ["slow"])


def test_at_the_end_only_those_that_wait_are_ended() -> None:
    """What is being answered may come to its end, and who is new may ask; both are waited for."""
    house = House()
    house.enter("working").mark_active()
    waiting = house.enter("waiting")
    waiting.mark_active()
    waiting.mark_waiting()
    new = house.enter("new")

    house.all.end_waiting()
    ended, busy = [*house.ended], house.all.busy
    new.mark_active()
    new.mark_waiting()
    house.all.end_waiting()

    assert ended == ["waiting"]
    assert busy
    assert house.ended == ["waiting", "new"]


def test_who_has_left_is_held_by_nobody() -> None:
    """A connection and its entry know each other; once it has left it is freed at once."""

    class Connection:
        def __init__(self, everything: Connections) -> None:
            self.entry = everything.add(self.end, self.end)

        def end(self) -> bool:
            return False

    gc.disable()  # the collector finds them some time, while everybody waits for it
    try:
        connection = Connection(House().all)
        kept = weakref.ref(connection)
        connection.entry.remove()
        del connection

        assert kept() is None
    finally:
        gc.enable()
