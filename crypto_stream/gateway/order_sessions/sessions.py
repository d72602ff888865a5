"""All order sessions of this gateway, and their shared connection to the engine."""

from __future__ import annotations

import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

from crypto_stream.bus.interface import GatewayPort
from crypto_stream.bus.orders import Command, Cut, OrderCommands, SessionMessage
from crypto_stream.errors import BusError, RefusedError
from crypto_stream.gateway.delivery.bounds import Bounds
from crypto_stream.gateway.delivery.hub import Hub
from crypto_stream.gateway.delivery.metrics import OrderMetrics
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.order_sessions.limits import Client, SessionLimits
from crypto_stream.gateway.order_sessions.market_data import INTERVAL_S, MarketData
from crypto_stream.gateway.order_sessions.session import OrderSession
from crypto_stream.gateway.rate_limit import RateLimit
from crypto_stream.gateway.startup import StartupGrace
from crypto_stream.gateway.verdict import UNREACHABLE
from crypto_stream.market.instruments import Instrument, split_symbol
from crypto_stream.orders.validation import too_many_sessions

log = logging.getLogger(__name__)

_TICK_S = 0.05
_CHECK_S = 1.0
# Sessions that one owner may begin a second, and at once: each loads the owner's orders in the engine.
_BEGIN_RATE = 10
_BEGIN_BURST = 100
# Owners of which this is remembered.
_MAX_BEGUN = 1_000
# Messages sent, or sessions checked, before control is yielded to the other green threads.
_STRIDE = 200
# Bytes queued for all clients together; beyond that, those with the largest backlogs are cut off.
MAX_TOTAL_BACKLOG = 16 * 1024 * 1024


class OrderSessions:
    """All sessions: batches their commands to the engine and distributes its messages.

    While the engine is unreachable (`up` is False) sessions stay open and commands are refused; all are
    attached again after the engine's next snapshot. Memory is bounded by the sessions: each may have 256
    pending commands.
    """

    def __init__(
        self,
        mirror: Mirror,
        port: GatewayPort,
        hub: Hub,
        limits: SessionLimits,
        clock: Callable[[], float] = time.monotonic,
        max_total_backlog: int = MAX_TOTAL_BACKLOG,
    ) -> None:
        """Start without sessions; `run` is the timer loop."""
        self.counters = OrderMetrics()
        self.limits = limits
        self.clock = clock
        self.up = False
        self.market = MarketData(mirror, self.counters, hub.yield_control)
        self._mirror = mirror
        self._port = port
        self._hub = hub
        self._numbers = itertools.count(1)
        self._sessions: dict[int, OrderSession] = {}
        self._unacknowledged: dict[int, OrderSession] = {}
        self._commands: list[Command] = []
        self._sending = False
        self._on_close: dict[int, Callable[[], None]] = {}
        self._owners: Counter[str] = Counter()
        self._begun = lru_cache(_MAX_BEGUN)(lambda _owner: RateLimit(_BEGIN_RATE, clock(), _BEGIN_BURST))
        self._max_total_backlog = max_total_backlog
        self._backlogs: dict[int, int] = {}
        self.startup: StartupGrace | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    # Connecting and leaving.

    def check(self, owner: str) -> None:
        """Raise RefusedError if an owner has reached its limit of sessions, or begins them too fast."""
        most = self.limits.sessions
        if self._owners[owner] >= most:
            raise RefusedError("too_many_sessions", too_many_sessions(most))
        if not self._begun(owner).allows(self.clock()):
            text = f"at most {_BEGIN_RATE} new connections a second of one client_id: keep them open"
            raise RefusedError("too_many_sessions", text)

    def open(
        self, descriptor: int, bounds: Bounds, client: Client, on_close: Callable[[], None]
    ) -> OrderSession:
        """Open a session on a connection; `on_close` is called when it has ended."""
        session = OrderSession(descriptor, self._hub, bounds, next(self._numbers), client, self)
        self._sessions[session.number] = session
        self._on_close[session.number] = on_close
        self._owners[client.owner] += 1
        self.counters.sessions += 1
        if self.up:
            session.attach()
        elif self.startup is not None and self.startup.active():
            session.pause_reading(True)  # until the engine is connected or the grace period is over
        return session

    def ended(self, number: int, reason: str) -> None:
        """Forget a session that has ended."""
        session = self._sessions.pop(number)
        self._unacknowledged.pop(number, None)
        self.note_backlog(number, 0)
        self._release(session.client.owner)
        self.counters.sessions -= 1
        self._on_close.pop(number)()
        log.info("client left", extra={"client": session.name, "reason": reason})

    def change_owner(self, before: str, owner: str) -> None:
        """Move a session to another owner; RefusedError if that one has too many."""
        self.check(owner)
        self._release(before)
        self._owners[owner] += 1

    def _release(self, owner: str) -> None:
        self._owners[owner] -= 1
        if not self._owners[owner]:
            del self._owners[owner]

    def close(self) -> None:
        """Close every session because the gateway is stopping."""
        for session in list(self._sessions.values()):
            session.end(1001, "the gateway is stopping; connect again")

    # For the sessions (`SessionHost`).

    def find(self, text: str) -> Instrument | None:
        """Find an instrument in any spelling; RefusedError before the instruments are known."""
        if self._mirror.epoch is None:
            raise RefusedError("engine_unreachable", f"{UNREACHABLE}: no instrument is known yet")
        return self._mirror.catalogue.find(text)

    def name(self, symbol: str) -> str:
        """Return the display name of an instrument: EUR/RUB, or its symbol if it is not a pair."""
        found = self._mirror.catalogue.find(symbol)
        base, quote = (found.base, found.quote) if found else split_symbol(symbol)  # it may have been removed
        return f"{base}/{quote}" if base and quote else symbol

    def send_command(self, command: Command) -> None:
        """Send a command to the engine, together with all others of this iteration of the hub."""
        self._commands.append(command)
        if not self._sending:
            self._sending = True
            self._hub.spawn(self._send)

    def note_backlog(self, number: int, size: int) -> None:
        """Note an upper bound of the bytes queued for a session; cut the largest if the total is too much."""
        if number not in self._sessions:  # a message was queued while the session ended
            size = 0
        self.counters.backlog += size - self._backlogs.pop(number, 0)
        if size:
            self._backlogs[number] = size
        limit = self._max_total_backlog
        if size and self.counters.backlog > limit and self._recount_backlog() > limit:
            for largest in sorted(self._backlogs, key=lambda each: self._backlogs[each], reverse=True):
                if self.counters.backlog <= limit // 2:
                    return
                if largest in self._sessions:  # cutting one session may end others
                    self._sessions[largest].drop("too slow")

    def _recount_backlog(self) -> int:
        """Count the bytes queued now, since clients may have read some of what was noted."""
        sizes = {number: self._sessions[number].backlog() for number in self._backlogs}
        self._backlogs = {number: size for number, size in sizes.items() if size}
        self.counters.backlog = sum(sizes.values())
        return self.counters.backlog

    def busy(self) -> bool:
        """Return whether commands are being sent to the engine."""
        return self._sending

    def _send(self) -> None:
        while self._commands:
            commands, self._commands = self._commands, []
            try:
                self._port.send(OrderCommands(commands))
            except BusError as error:  # `engine_lost` informs the clients
                log.warning("order commands lost: no connection to the engine", extra={"reason": str(error)})
        self._sending = False

    # From the engine, in the green thread that reads the bus.

    def deliver(self, messages: Sequence[SessionMessage]) -> None:
        """Send messages to their sessions, with one write per session."""
        for start in range(0, len(messages), _STRIDE):
            if start:
                self._hub.yield_control()
            frames: dict[OrderSession, list[bytes]] = {}
            for message in messages[start : start + _STRIDE]:
                session = self._sessions.get(message.session)
                if session is None:
                    continue
                if isinstance(message, Cut):
                    session.close_with_error(message.code, message.reason)
                else:
                    frames.setdefault(session, []).append(session.frame_for(message))
            for session, parts in frames.items():
                session.send_frames(b"".join(parts))
                self._request_ack(session)

    def attach(self) -> None:
        """Attach every session after the engine has connected; do nothing if it was connected already."""
        if self.up:
            return
        self.up = True
        for session in list(self._sessions.values()):
            session.attach()
            session.pause_reading(False)

    def engine_lost(self) -> None:
        """Drop the unsent commands and inform the sessions: the connection to the engine is lost."""
        if not self.up:
            return
        self.up = False
        self._commands.clear()
        for session in list(self._sessions.values()):
            session.engine_lost()

    # On a timer.

    def run(self) -> None:
        """Send market data, request acknowledgements and check the sessions, for ever."""
        next_flush_s = next_check_s = self.clock()
        while True:
            time.sleep(_TICK_S)
            now_s = self.clock()
            for session in list(self._unacknowledged.values()):
                self._request_ack(session)
            if now_s >= next_flush_s:
                next_flush_s = max(next_flush_s + INTERVAL_S, now_s)
                self.market.flush()
            if now_s >= next_check_s:
                next_check_s = now_s + _CHECK_S
                self._check()

    def _request_ack(self, session: OrderSession) -> None:
        if session.request_ack(self.clock()):
            self._unacknowledged.pop(session.number, None)
        elif session.number in self._sessions:
            self._unacknowledged[session.number] = session

    def _check(self) -> None:
        now_s = self.clock()
        self._recount_backlog()
        if self.startup is not None and not self.startup.active():
            self.startup = None
            for session in list(self._sessions.values()):
                session.pause_reading(False)
        for count, session in enumerate(list(self._sessions.values()), 1):
            if session.number in self._sessions:
                session.check(now_s)
            if not count % _STRIDE:
                self._hub.yield_control()
