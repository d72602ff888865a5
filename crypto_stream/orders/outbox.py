"""What gateways are sent about orders: batched per turn of the event loop, bounded in all.

A gateway that reads slowly holds up nobody else: what it is to be sent waits here. Past the bound those
sessions are cut for which most waits; nothing is lost, their reports are sent when their owners are back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from crypto_stream.bus.orders import Cut, Happened, Listed, OrderNews, Told, Traded

# What one message to a gateway holds at most; reports of a long absence are cut into such pieces.
_MOST_AT_ONCE = 1_000
# Bytes, estimated, of all that waits for sessions, and for one of them.
MOST_WAITING = 32 * 1024 * 1024
MOST_OF_ONE = 8 * 1024 * 1024
_ONE = 300
_ROW = 700  # an order, a trade or a position


class Reader(Protocol):
    """A session as far as it is sent something; `owed` is what waits for it, in bytes."""

    gateway: str
    number: int
    gone: bool
    owed: int


def weight(item: Told) -> int:
    """Estimate the bytes of memory that it takes."""
    if isinstance(item, Happened):
        return _ONE + _ROW
    if isinstance(item, Listed):
        return _ONE + _ROW * len(item.orders)
    if isinstance(item, Traded):
        return _ONE + _ROW * (len(item.trades) + len(item.positions))
    return _ONE


_Entry = tuple[Reader | None, Told, bool]


class Outbox:
    """Gather what gateways are sent in one turn of the event loop, in its order.

    `send` says whether the gateway takes more at once; if not, `drained` is called when it does.
    """

    def __init__(
        self,
        send: Callable[[str, OrderNews], bool],
        soon: Callable[[Callable[[], None]], None],
        cut: Callable[[Reader], None],
        answered: Callable[[Reader], None],
        most: int = MOST_WAITING,
        most_of_one: int = MOST_OF_ONE,
    ) -> None:
        """Hand it to `send` when `soon` calls back; `cut` ends a session for which too much waits.

        `answered` hears of each promised answer that a gateway took.
        """
        self.waiting = 0
        self.cuts = 0
        self._send = send
        self._soon = soon
        self._cut = cut
        self._answered = answered
        self._most = most
        self._most_of_one = most_of_one
        self._queues: dict[str, deque[_Entry]] = {}
        self._behind: set[str] = set()
        self._owing: set[Reader] = set()
        self._called = False
        self._dropped = 0

    def charge(self, reader: Reader, item: Told) -> None:
        """Count what is to be sent to a session, from now until it is sent or the session ends."""
        size = weight(item)
        reader.owed += size
        self.waiting += size
        self._owing.add(reader)
        if self.waiting > self._most or reader.owed > self._most_of_one:
            self._call()

    def add(self, reader: Reader, item: Told, *, promised: bool = False) -> None:
        """Send a session what was charged before, in this turn or when its gateway takes it."""
        self._queue(reader.gateway, (reader, item, promised))

    def end(self, reader: Reader, code: str, reason: str) -> None:
        """Send nothing more to a session but why it has ended."""
        self.forget(reader)
        self._queue(reader.gateway, (None, Cut(reader.number, code, reason), False))

    def forget(self, reader: Reader) -> None:
        """Drop what waits for a session that is `gone`."""
        self.waiting -= reader.owed
        self._dropped += reader.owed
        reader.owed = 0
        self._owing.discard(reader)
        if self._dropped > self._most // 4:
            self._dropped = 0
            for gateway, queue in self._queues.items():
                self._queues[gateway] = deque(entry for entry in queue if not (entry[0] and entry[0].gone))

    def drained(self, gateway: str) -> None:
        """Go on to send to a gateway."""
        self._behind.discard(gateway)
        if self._queues.get(gateway):
            self._call()

    def left(self, gateway: str) -> None:
        """Drop what waits for a gateway that is gone."""
        self._queues.pop(gateway, None)
        self._behind.discard(gateway)

    def _queue(self, gateway: str, entry: _Entry) -> None:
        self._queues.setdefault(gateway, deque()).append(entry)
        self._call()

    def _call(self) -> None:
        if not self._called:
            self._called = True
            self._soon(self._flush)

    def _flush(self) -> None:
        self._called = False
        for gateway in [one for one in self._queues if one not in self._behind]:
            queue = self._queues[gateway]
            while queue and gateway not in self._behind:
                if (news := self._taken(queue)) and not self._send(gateway, OrderNews(news)):
                    self._behind.add(gateway)
            if not queue:
                del self._queues[gateway]
        self._relieve()

    def _taken(self, queue: deque[_Entry]) -> list[Told]:
        """Take out what one message may hold."""
        taken: list[Told] = []
        while queue and len(taken) < _MOST_AT_ONCE:
            reader, item, promised = queue.popleft()
            if reader is None:
                taken.append(item)
            elif not reader.gone:
                taken.append(item)
                size = weight(item)
                reader.owed -= size
                self.waiting -= size
                if not reader.owed:
                    self._owing.discard(reader)
                if promised:
                    self._answered(reader)
                if size > _ONE + _ROW:
                    break  # a list: the gateway's own room is asked before the next one
        return taken

    def _relieve(self) -> None:
        """Cut the sessions for which too much waits, those with most first."""
        for reader in [one for one in self._owing if one.owed > self._most_of_one]:
            self.cuts += 1
            self._cut(reader)
        if self.waiting > self._most:
            for reader in sorted(self._owing, key=lambda one: one.owed, reverse=True):
                if self.waiting <= self._most // 2:
                    return
                self.cuts += 1
                self._cut(reader)
