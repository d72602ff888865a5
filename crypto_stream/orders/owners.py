"""Owners and their sessions, as far as they are in memory: what is open, and what is sent in which order."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from crypto_stream.bus.orders import Cancel, Failed, ListOrders, ListTrades, Place, Told
from crypto_stream.orders.matching import Live
from crypto_stream.orders.outbox import Outbox

Ask = Place | Cancel | ListOrders | ListTrades


class Owner:
    """One owner with something open: a session, or an order.

    `live` are its active orders by order_id, on disk all of them; `open` counts these and those on their way
    there, `address` and `gateway` say where its newest session came from. `received` is the newest report
    that a client has read in this life of the engine; at `expires_s` the orders of an anonymous owner without
    a session are cancelled.
    """

    __slots__ = (
        *("address", "anonymous", "expires_s", "gateway", "live", "name", "open", "received", "sessions"),
    )

    def __init__(self, name: str, *, anonymous: bool) -> None:
        self.name = name
        self.anonymous = anonymous
        self.live: dict[str, Live] = {}
        self.open = 0
        self.address = ""
        self.gateway = ""
        self.received = 0
        self.expires_s: float | None = None
        self.sessions: set[Session] = set()


class Session:
    """One connection of an owner.

    Until it is `attached` what it asks waits in `waiting`, which the service bounds. What it missed in a long
    absence it is sent in pieces: the next one when it has read up to `piece_end` (0: this is the last).
    `owner` is set anew each time the orders are loaded. `owed` is what it has not been sent yet, in bytes.
    """

    __slots__ = (
        *("_line", "_outbox", "address", "attached", "gateway", "gone", "number", "owed", "owner"),
        *("piece_end", "promises", "waiting"),
    )

    def __init__(self, gateway: str, number: int, owner: Owner, outbox: Outbox, address: str = "") -> None:
        self.address = address
        self.owed = 0
        self.gateway = gateway
        self.number = number
        self.owner = owner
        self.attached = False
        self.piece_end = 0
        self.gone = False
        self.waiting: deque[Ask] = deque()
        self.promises = 0
        self._outbox = outbox
        self._line: deque[Told | Promise] = deque()

    def send(self, item: Told, *, promised: bool = False) -> None:
        """Send it now, or after the answers that were promised before."""
        if self.gone:
            return
        self._outbox.charge(self, item)
        if self._line:
            self._line.append(item)
        else:
            self._outbox.add(self, item, promised=promised)

    def keep(self, promise: Promise, answer: Told) -> None:
        """Send a promised answer in its place, if that was taken, and all that waited for it."""
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
        """Be sent nothing more."""
        self.gone, self.attached = True, False
        self._line.clear()
        self._outbox.forget(self)

    def fail(self, ref: int, code: str, reason: str) -> None:
        """Refuse a command."""
        self.send(Failed(self.number, ref, code, reason))

    def hold(self, promise: Promise) -> None:
        """Send nothing more before this promise is kept."""
        self._line.append(promise)

    def _flush(self) -> None:
        """Send what no promise holds up any more."""
        line = self._line
        while line:
            head = line[0]
            promised = isinstance(head, Promise)
            if isinstance(head, Promise):
                if head.answer is None:
                    return
                head = head.answer
            line.popleft()
            self._outbox.add(self, head, promised=promised)


class Promise:
    """An answer that is still being read: from `begin` on, what comes after it waits for it."""

    __slots__ = ("_session", "answer", "begun")

    def __init__(self, session: Session) -> None:
        self._session = session
        self.begun = False
        self.answer: Told | None = None
        session.promises += 1

    def begin(self) -> None:
        """Take the place of the answer."""
        if not self._session.gone:
            self.begun = True
            self._session.hold(self)

    def keep(self, answer: Told) -> None:
        """Give the answer."""
        self._session.keep(self, answer)


class Cause(NamedTuple):
    """The command that made something happen."""

    session: Session
    ref: int
