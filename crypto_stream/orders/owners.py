"""Owners and their sessions in memory: open orders, and the order in which messages are sent."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from crypto_stream.bus.orders import Cancel, Failed, ListOrders, ListTrades, Place, SessionMessage
from crypto_stream.orders.matching import ActiveOrder
from crypto_stream.orders.outbox import Outbox

SessionCommand = Place | Cancel | ListOrders | ListTrades


class Owner:
    """An owner with an open session or order.

    `active` contains its stored active orders by order_id; `open` counts these and those being written.
    `address` and `gateway` are those of its newest session. `received` is the seq of the newest report that a
    client has read in this run; at `expires_s` the orders of an anonymous owner without a session are
    cancelled.
    """

    __slots__ = (
        "active",
        "address",
        "anonymous",
        "expires_s",
        "gateway",
        "name",
        "open",
        "received",
        "sessions",
    )

    def __init__(self, name: str, *, anonymous: bool) -> None:
        self.name = name
        self.anonymous = anonymous
        self.active: dict[str, ActiveOrder] = {}
        self.open = 0
        self.address = ""
        self.gateway = ""
        self.received = 0
        self.expires_s: float | None = None
        self.sessions: set[OwnerSession] = set()


class OwnerSession:
    """One connection of an owner.

    Until it is `attached` its commands are queued in `waiting`, which the service bounds. Missed reports are
    sent in pieces: the next one when the client has read up to `piece_end` (0: this is the last). `owner` is
    replaced whenever the orders are loaded. `unsent_bytes` is the size of its unsent messages.
    """

    __slots__ = (
        "_outbox",
        "_queue",
        "address",
        "attached",
        "gateway",
        "gone",
        "number",
        "owner",
        "piece_end",
        "promises",
        "unsent_bytes",
        "waiting",
    )

    def __init__(self, gateway: str, number: int, owner: Owner, outbox: Outbox, address: str = "") -> None:
        self.address = address
        self.unsent_bytes = 0
        self.gateway = gateway
        self.number = number
        self.owner = owner
        self.attached = False
        self.piece_end = 0
        self.gone = False
        self.waiting: deque[SessionCommand] = deque()
        self.promises = 0
        self._outbox = outbox
        self._queue: deque[SessionMessage | Promise] = deque()

    def send(self, item: SessionMessage, *, promised: bool = False) -> None:
        """Send an item now, or after the answers that were promised before it."""
        if self.gone:
            return
        self._outbox.charge(self, item)
        if self._queue:
            self._queue.append(item)
        else:
            self._outbox.add(self, item, promised=promised)

    def fulfil(self, promise: Promise, answer: SessionMessage) -> None:
        """Send a promised answer in its place, and all that waited for it."""
        self.promises -= 1
        if self.gone:
            return
        if not promise.begun:
            self.send(answer, promised=True)
            return
        promise.answer = answer
        self._outbox.charge(self, answer)
        self._flush()

    def end(self) -> None:
        """Send nothing more."""
        self.gone, self.attached = True, False
        self._queue.clear()
        self._outbox.forget(self)

    def fail(self, ref: int, code: str, reason: str) -> None:
        """Refuse a command."""
        self.send(Failed(self.number, ref, code, reason))

    def wait_for(self, promise: Promise) -> None:
        """Send nothing more before this promise is fulfilled."""
        self._queue.append(promise)

    def _flush(self) -> None:
        """Send everything up to the next unfulfilled promise."""
        queue = self._queue
        while queue:
            head = queue[0]
            promised = isinstance(head, Promise)
            if isinstance(head, Promise):
                if head.answer is None:
                    return
                head = head.answer
            queue.popleft()
            self._outbox.add(self, head, promised=promised)


class Promise:
    """An answer that is still being read: from `begin` on, later messages wait for it."""

    __slots__ = ("_session", "answer", "begun")

    def __init__(self, session: OwnerSession) -> None:
        self._session = session
        self.begun = False
        self.answer: SessionMessage | None = None
        session.promises += 1

    def begin(self) -> None:
        """Reserve the place of the answer."""
        if not self._session.gone:
            self.begun = True
            self._session.wait_for(self)

    def fulfil(self, answer: SessionMessage) -> None:
        """Send the answer."""
        self._session.fulfil(self, answer)


class Cause(NamedTuple):
    """The command that caused a result."""

    session: OwnerSession
    ref: int
