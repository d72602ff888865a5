"""Which connection makes room for which, without any socket."""

from __future__ import annotations

import gc
import weakref

import pytest

from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.http.connections import ANSWER_S, ConnectionEntry, Connections


class Harness:
    """A few connections, a clock, and the names of those that were closed."""

    def __init__(self, most: int = 3, max_buffered: int = 100, websockets: int = 0) -> None:
        self.now = 0.0
        self.counters = DeliveryMetrics()
        self.websockets = websockets
        self.all = Connections(most, self.counters, lambda: self.websockets, lambda: self.now, max_buffered)
        self.ended: list[str] = []
        self.used: set[str] = set()

    def add(self, name: str) -> ConnectionEntry:
        """Add a connection that waits."""
        return self.all.add(lambda: self.ended.append(name), lambda: self._recently(name))

    def _recently(self, name: str) -> bool:
        used = name in self.used
        self.used.discard(name)
        return used


def test_the_connection_that_has_waited_longest_makes_room() -> None:
    """Not an active one, nor one used since it began to wait; none is closed twice."""
    harness = Harness()
    answered, useful, idle = harness.add("answered"), harness.add("useful"), harness.add("idle")
    answered.mark_active()
    harness.used.add("useful")

    full = [harness.all.has_room(), harness.all.has_room(), harness.all.has_room()]
    idle.remove()

    assert full == [False, False, False]
    assert harness.ended == ["idle", "useful"]
    assert harness.all.has_room()
    assert harness.counters.ended_connections == {"no_room": 2}
    useful.remove()
    useful.remove()
    assert harness.all.open == 1


def test_websockets_take_room_and_are_never_closed() -> None:
    """If they take all of it, nothing else is accepted."""
    harness = Harness(websockets=3)

    assert not harness.all.has_room()
    assert not harness.all.make_room()
    harness.websockets = 2
    assert harness.all.has_room()


def test_incomplete_requests_are_bounded_together() -> None:
    """The oldest one is closed, and may buffer nothing from then on."""
    harness = Harness()
    entries = [harness.add(name) for name in ("empty", "old", "new")]
    entries[1].set_buffered(60)
    entries[2].set_buffered(60)

    assert harness.ended == ["old"]
    with pytest.raises(ConnectionAbortedError):
        entries[1].set_buffered(61)
    entries[2].set_buffered(100)
    assert harness.ended == ["old"]
    entries[2].set_buffered(101)
    assert harness.ended == ["old", "new"]


def test_a_response_that_is_not_read_times_out() -> None:
    """However slowly it is read; a new request starts the timeout again."""
    harness = Harness()
    slow, quick = harness.add("slow"), harness.add("quick")
    slow.mark_active()
    quick.mark_active()
    harness.now = ANSWER_S - 1
    quick.mark_waiting()
    quick.mark_active()

    harness.all.sweep()
    early = list(harness.ended)
    harness.now = ANSWER_S
    harness.all.sweep()

    assert (early, harness.ended) == ([], ["slow"])


def test_at_shutdown_only_waiting_connections_are_closed() -> None:
    """Responses may be finished, and new connections may send a request; we wait for both."""
    harness = Harness()
    harness.add("working").mark_active()
    waiting = harness.add("waiting")
    waiting.mark_active()
    waiting.mark_waiting()
    new = harness.add("new")

    harness.all.end_waiting()
    ended, busy = [*harness.ended], harness.all.busy
    new.mark_active()
    new.mark_waiting()
    harness.all.end_waiting()

    assert ended == ["waiting"]
    assert busy
    assert harness.ended == ["waiting", "new"]


def test_a_removed_connection_is_freed_at_once() -> None:
    """A connection and its entry refer to each other until it is removed."""

    class Connection:
        def __init__(self, connections: Connections) -> None:
            self.entry = connections.add(self.end, self.end)

        def end(self) -> bool:
            return False

    gc.disable()  # the collector would free them too, but later, and blocks the process meanwhile
    try:
        connection = Connection(Harness().all)
        kept = weakref.ref(connection)
        connection.entry.remove()
        del connection

        assert kept() is None
    finally:
        gc.enable()
