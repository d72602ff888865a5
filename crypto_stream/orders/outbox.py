"""The messages about orders to gateways: batched per iteration of the event loop, bounded in total.

A slow gateway delays no other: its messages are queued here. Beyond the bound, the sessions with the most
queued data are disconnected; no report is lost, because it is sent again when the owner reconnects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from crypto_stream.bus.orders import Cut, OrderMessages, OrdersListed, Reported, SessionMessage, TradesListed

# The maximum number of items in one message to a gateway.
_MAX_AT_ONCE = 1_000
# Estimated bytes queued for all sessions, and for one session.
MAX_WAITING = 32 * 1024 * 1024
MAX_PER_SESSION = 8 * 1024 * 1024
_MESSAGE_BYTES = 300
_ROW_BYTES = 700  # an order, a trade or a position


class Recipient(Protocol):
    """A session as a recipient; `unsent_bytes` is what is queued for it."""

    gateway: str
    number: int
    gone: bool
    unsent_bytes: int


def estimated_bytes(item: SessionMessage) -> int:
    """Estimate an item's size in memory."""
    if isinstance(item, Reported):
        return _MESSAGE_BYTES + _ROW_BYTES
    if isinstance(item, OrdersListed):
        return _MESSAGE_BYTES + _ROW_BYTES * len(item.orders)
    if isinstance(item, TradesListed):
        return _MESSAGE_BYTES + _ROW_BYTES * (len(item.trades) + len(item.positions))
    return _MESSAGE_BYTES


_Entry = tuple[Recipient | None, SessionMessage, bool]


class Outbox:
    """Collect what each gateway is sent in one iteration of the event loop, in order.

    `send` returns whether the gateway accepts more now; if not, `drained` is called when it does.
    """

    def __init__(
        self,
        send: Callable[[str, OrderMessages], bool],
        soon: Callable[[Callable[[], None]], None],
        cut: Callable[[Recipient], None],
        answered: Callable[[Recipient], None],
        max_total: int = MAX_WAITING,
        max_per_session: int = MAX_PER_SESSION,
    ) -> None:
        """Send with `send` when `soon` calls back; `cut` disconnects a session with too much queued.

        `answered` is called when a promised answer was sent.
        """
        self.waiting = 0
        self.cuts = 0
        self._send = send
        self._soon = soon
        self._cut = cut
        self._answered = answered
        self._max_total = max_total
        self._max_per_session = max_per_session
        self._queues: dict[str, deque[_Entry]] = {}
        self._behind: set[str] = set()
        self._with_unsent: set[Recipient] = set()
        self._called = False
        self._dropped = 0

    def charge(self, recipient: Recipient, item: SessionMessage) -> None:
        """Count an item against a session until it is sent or the session ends."""
        size = estimated_bytes(item)
        recipient.unsent_bytes += size
        self.waiting += size
        self._with_unsent.add(recipient)
        if self.waiting > self._max_total or recipient.unsent_bytes > self._max_per_session:
            self._call()

    def add(self, recipient: Recipient, item: SessionMessage, *, promised: bool = False) -> None:
        """Queue a charged item; it is sent in this iteration or when the gateway accepts it."""
        self._queue(recipient.gateway, (recipient, item, promised))

    def end(self, recipient: Recipient, code: str, reason: str) -> None:
        """Send a session only the reason for its end from now on."""
        self.forget(recipient)
        self._queue(recipient.gateway, (None, Cut(recipient.number, code, reason), False))

    def forget(self, recipient: Recipient) -> None:
        """Drop what is queued for a session that is `gone`."""
        self.waiting -= recipient.unsent_bytes
        self._dropped += recipient.unsent_bytes
        recipient.unsent_bytes = 0
        self._with_unsent.discard(recipient)
        if self._dropped > self._max_total // 4:
            self._dropped = 0
            for gateway, queue in self._queues.items():
                self._queues[gateway] = deque(entry for entry in queue if not (entry[0] and entry[0].gone))

    def drained(self, gateway: str) -> None:
        """Continue sending to a gateway."""
        self._behind.discard(gateway)
        if self._queues.get(gateway):
            self._call()

    def left(self, gateway: str) -> None:
        """Drop what is queued for a gateway that is gone."""
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
                if (messages := self._next_messages(queue)) and not self._send(
                    gateway, OrderMessages(messages)
                ):
                    self._behind.add(gateway)
            if not queue:
                del self._queues[gateway]
        self._cut_slow()

    def _next_messages(self, queue: deque[_Entry]) -> list[SessionMessage]:
        """Return, and remove, the items for one message."""
        messages: list[SessionMessage] = []
        while queue and len(messages) < _MAX_AT_ONCE:
            recipient, item, promised = queue.popleft()
            if recipient is None:
                messages.append(item)
            elif not recipient.gone:
                messages.append(item)
                size = estimated_bytes(item)
                recipient.unsent_bytes -= size
                self.waiting -= size
                if not recipient.unsent_bytes:
                    self._with_unsent.discard(recipient)
                if promised:
                    self._answered(recipient)
                if size > _MESSAGE_BYTES + _ROW_BYTES:
                    break  # a long list: check first whether the gateway accepts more
        return messages

    def _cut_slow(self) -> None:
        """Disconnect sessions with too much queued, largest first."""
        for recipient in [one for one in self._with_unsent if one.unsent_bytes > self._max_per_session]:
            self.cuts += 1
            self._cut(recipient)
        if self.waiting > self._max_total:
            for recipient in sorted(self._with_unsent, key=lambda one: one.unsent_bytes, reverse=True):
                if self.waiting <= self._max_total // 2:
                    return
                self.cuts += 1
                self._cut(recipient)
