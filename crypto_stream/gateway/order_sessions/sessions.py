"""All order sessions of this gateway, and their one way to the engine and back."""

from __future__ import annotations

import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence

from crypto_stream.bus.interface import GatewayPort
from crypto_stream.bus.orders import Command, Cut, OrderCommands, Told
from crypto_stream.errors import BusError, RefusedError
from crypto_stream.gateway.delivery.bounds import Bounds
from crypto_stream.gateway.delivery.hub import Hub
from crypto_stream.gateway.delivery.metrics import OrderMetrics
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.opening import Opening
from crypto_stream.gateway.order_sessions.limits import Client, Limits
from crypto_stream.gateway.order_sessions.market_data import INTERVAL_S, MarketData
from crypto_stream.gateway.order_sessions.session import OrderSession
from crypto_stream.gateway.verdict import UNREACHABLE
from crypto_stream.market.instruments import Instrument
from crypto_stream.orders.validation import too_many_sessions

log = logging.getLogger(__name__)

_TICK_S = 0.05
_CHECK_S = 1.0
# Told to sessions, or sessions looked at, before the others of this process get a turn.
_STRIDE = 200
# Bytes that may wait for all clients together; past it those are cut for whom most waits.
MOST_OWED_IN_ALL = 16 * 1024 * 1024


class OrderSessions:
    """Keep the sessions, send what they ask in one message per turn of the hub, hand out what is told.

    While the engine is gone (`up` is False) sessions stay open and are told so; after its next snapshot all
    are attached anew. Bounded by the sessions: each may have 256 commands without an answer.
    """

    def __init__(
        self,
        mirror: Mirror,
        port: GatewayPort,
        hub: Hub,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        most_owed: int = MOST_OWED_IN_ALL,
    ) -> None:
        """Serve nobody yet; `run` does what time brings."""
        self.counters = OrderMetrics()
        self.limits = limits
        self.clock = clock
        self.up = False
        self.market = MarketData(mirror, self.counters, _breathe)
        self._mirror = mirror
        self._port = port
        self._hub = hub
        self._numbers = itertools.count(1)
        self._sessions: dict[int, OrderSession] = {}
        self._unreceipted: dict[int, OrderSession] = {}
        self._commands: list[Command] = []
        self._sending = False
        self._left: dict[int, Callable[[], None]] = {}
        self._owners: Counter[str] = Counter()
        self._most_owed = most_owed
        self._owed: dict[int, int] = {}
        self.opening: Opening | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    # Clients come and go.

    def check(self, owner: str) -> None:
        """Raise RefusedError when an owner has as many sessions as it may have."""
        most = self.limits.sessions
        if self._owners[owner] >= most:
            raise RefusedError("too_many_sessions", too_many_sessions(most))

    def open(self, descriptor: int, bounds: Bounds, client: Client, left: Callable[[], None]) -> OrderSession:
        """Begin a session on a connection; `left` ends it."""
        session = OrderSession(descriptor, self._hub, bounds, next(self._numbers), client, self)
        self._sessions[session.number] = session
        self._left[session.number] = left
        self._owners[client.owner] += 1
        self.counters.sessions += 1
        if self.up:
            session.attach()
        elif self.opening is not None and self.opening.early():
            session.hold(True)  # what it asks waits until the engine is there, or it is too late for that
        return session

    def ended(self, number: int, reason: str) -> None:
        """Forget a session."""
        session = self._sessions.pop(number)
        self._unreceipted.pop(number, None)
        self.owes(number, 0)
        self._count_out(session.client.owner)
        self.counters.sessions -= 1
        self._left.pop(number)()
        log.info("client left", extra={"client": session.name, "reason": reason})

    def become(self, before: str, owner: str) -> None:
        """Count a session for another owner than before; RefusedError when that has too many."""
        self.check(owner)
        self._count_out(before)
        self._owners[owner] += 1

    def _count_out(self, owner: str) -> None:
        self._owners[owner] -= 1
        if not self._owners[owner]:
            del self._owners[owner]

    def close(self) -> None:
        """Tell every client that the gateway goes away."""
        for session in list(self._sessions.values()):
            session.end(1001, "the gateway goes away; connect again")

    # What sessions need.

    def find(self, text: str) -> Instrument | None:
        """Find the instrument that a text spells; RefusedError while none is known."""
        if self._mirror.epoch is None:
            raise RefusedError("engine_unreachable", f"{UNREACHABLE}: no instrument is known yet")
        return self._mirror.catalogue.find(text)

    def name(self, symbol: str) -> str:
        """Return the usual name of an instrument: EUR/RUB, or its symbol where it is no pair."""
        found = self._mirror.catalogue.find(symbol)
        return f"{found.base}/{found.quote}" if found and found.base and found.quote else symbol

    def ask(self, command: Command) -> None:
        """Send a command to the engine with all others of this turn of the hub."""
        self._commands.append(command)
        if not self._sending:
            self._sending = True
            self._hub.spawn(self._send)

    def owes(self, number: int, size: int) -> None:
        """Note how many bytes wait for a session at most; cut those for which most waits past the bound."""
        if number not in self._sessions:  # it was told something while it ended: nobody waits for that
            size = 0
        self.counters.owed += size - self._owed.pop(number, 0)
        if size:
            self._owed[number] = size
        if size and self.counters.owed > self._most_owed and self._counted() > self._most_owed:
            for heaviest in sorted(self._owed, key=lambda each: self._owed[each], reverse=True):
                if self.counters.owed <= self._most_owed // 2:
                    return
                if heaviest in self._sessions:  # others may end meanwhile
                    self._sessions[heaviest].drop("too slow")

    def _counted(self) -> int:
        """Count what really waits now: some may have read since it was noted."""
        sizes = {number: self._sessions[number].owed() for number in self._owed}
        self._owed = {number: size for number, size in sizes.items() if size}
        self.counters.owed = sum(sizes.values())
        return self.counters.owed

    def busy(self) -> bool:
        """Say whether commands are on their way to the engine."""
        return self._sending

    def _send(self) -> None:
        while self._commands:
            commands, self._commands = self._commands, []
            try:
                self._port.send(OrderCommands(commands))
            except BusError as error:  # `lose` tells the clients
                log.warning("order commands are lost with the engine", extra={"reason": str(error)})
        self._sending = False

    # What the engine tells; all of it in the bus's own green thread.

    def tell(self, news: Sequence[Told]) -> None:
        """Give each session what it is told, in one piece per session."""
        for start in range(0, len(news), _STRIDE):
            if start:
                _breathe()
            frames: dict[OrderSession, list[bytes]] = {}
            for told in news[start : start + _STRIDE]:
                session = self._sessions.get(told.session)
                if session is None:
                    continue
                if isinstance(told, Cut):
                    session.dismiss(told.code, told.reason)
                else:
                    frames.setdefault(session, []).append(session.framed(told))
            for session, parts in frames.items():
                session.give_frames(b"".join(parts))
                self._ask_for_receipt(session)

    def attach(self) -> None:
        """Attach every session, now that the engine is there again; a mere newer snapshot changes nothing."""
        if self.up:
            return
        self.up = True
        for session in list(self._sessions.values()):
            session.attach()
            session.hold(False)

    def lose(self) -> None:
        """Take everything without an answer as lost: the connection to the engine is gone."""
        if not self.up:
            return
        self.up = False
        self._commands.clear()
        for session in list(self._sessions.values()):
            session.lose()

    # What time brings.

    def run(self) -> None:
        """Serve market data, ask for receipts, look after the sessions, for ever."""
        next_flush_s = next_check_s = self.clock()
        while True:
            time.sleep(_TICK_S)
            now_s = self.clock()
            for session in list(self._unreceipted.values()):
                self._ask_for_receipt(session)
            if now_s >= next_flush_s:
                next_flush_s = max(next_flush_s + INTERVAL_S, now_s)
                self.market.flush()
            if now_s >= next_check_s:
                next_check_s = now_s + _CHECK_S
                self._check()

    def _ask_for_receipt(self, session: OrderSession) -> None:
        if session.ask_for_receipt(self.clock()):
            self._unreceipted.pop(session.number, None)
        elif session.number in self._sessions:
            self._unreceipted[session.number] = session

    def _check(self) -> None:
        now_s = self.clock()
        self._counted()
        if self.opening is not None and not self.opening.early():
            self.opening = None
            for session in list(self._sessions.values()):
                session.hold(False)
        for at, session in enumerate(list(self._sessions.values()), 1):
            if session.number in self._sessions:
                session.check(now_s)
            if not at % _STRIDE:
                _breathe()


def _breathe() -> None:
    time.sleep(0)
