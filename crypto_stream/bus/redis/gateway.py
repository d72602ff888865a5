"""A gateway's end of the bus over Redis: it listens to one relay, and goes to the next when that fails."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence

from crypto_stream.backoff import Backoff
from crypto_stream.bus.interface import SILENCE_S, BusFigures
from crypto_stream.bus.messages import BusRequest, RequestBody, ToEngine, ToGateway, Watch
from crypto_stream.bus.orders import OrderCommands
from crypto_stream.bus.pending import PendingRequests
from crypto_stream.bus.redis.envelope import NOBODY, Channels
from crypto_stream.bus.redis.gateway_link import GatewayLink
from crypto_stream.bus.redis.membership import Terms
from crypto_stream.bus.redis.relays import Relays
from crypto_stream.bus.redis.tls import make_context
from crypto_stream.errors import BusError
from crypto_stream.log_throttle import TroubleLog

log = logging.getLogger(__name__)

_RECONNECT_S = (0.05, 0.5)  # an engine that has taken over is found within half a second
# With another relay to go to, a gateway waits this long for the engine: two of its heartbeats, and a little.
_SILENCE_S = 2.2
_STABLE_S = 5.0  # a connection that ends earlier counts as a failed attempt


class RedisGatewayPort:
    """A gateway's end: blocking sockets and threads, which green servers replace by their own.

    Each connection joins the engine under an id of its own, and `reset` is called whenever one has ended. The
    first relay is chosen at random, so that gateways are spread over all.
    """

    def __init__(self, relays: Relays, first: int | None = None) -> None:
        """Connect to `relays`, beginning with the `first`; raise SettingError if a TLS file is unusable."""
        self._relays = [(relay, make_context(relay)) for relay in relays.relays]
        self._channels = Channels(relays.name)
        self._at = random.randrange(len(self._relays)) if first is None else first
        self._silence_s = _SILENCE_S if len(self._relays) > 1 else SILENCE_S
        self._terms = Terms()
        self._pending = PendingRequests()
        self._link: GatewayLink | None = None
        self._replaces = NOBODY
        self._joined = False
        self._joined_s = 0.0
        self._joins = 0
        self._holes = 0
        self._closed = False
        self._trouble = TroubleLog(log, "the engine cannot be reached", each_reason=True)

    def run(self, receive: Callable[[Sequence[ToGateway]], None], reset: Callable[[], None]) -> None:
        """Connect, receive and reconnect until closed; `reset` is called when requests may have been lost."""
        backoff = Backoff(*_RECONNECT_S, random.random)
        failures = 0
        while not self._closed:
            self._follow(receive)
            if self._closed:
                return
            failures = 1 if self._joined else failures + 1
            if self._joined and time.monotonic() - self._joined_s > _STABLE_S:
                backoff.reset()
            if self._joined or failures >= len(self._relays):
                reset()
            self._joined = False
            self._at = (self._at + 1) % len(self._relays)
            time.sleep(backoff.next_delay())

    def close(self) -> None:
        """Make `run` return soon; pending requests fail."""
        self._closed = True
        if link := self._link:
            link.shut_down()
        self._pending.fail()

    def request(self, body: RequestBody, timeout_s: float = 5.0) -> bytes:
        """Send one request, return the answer as msgpack; raise BusError (no answer) or RefusedError."""
        if isinstance(body, Watch):
            self._connected().watch(body.keys)
        return self._pending.ask(self._send, body, timeout_s)

    def send(self, commands: OrderCommands) -> None:
        """Send order commands of sessions; raise BusError if the engine cannot be reached."""
        self._send(commands)

    def figures(self) -> BusFigures:
        """Return the figures for metrics."""
        link = self._link
        member = link.membership if link else None
        mark = member.mark if member else None
        relay, _ = self._relays[self._at]
        return BusFigures(
            relay=relay.address if self._joined else None,
            joins=self._joins,
            holes=self._holes + (member.holes if member else 0),
            lag_s=link.lag_s if link else None,
            relays=mark.relays if mark else None,
            relays_up=mark.connected if mark else None,
            term=member.stream[0] if member and member.stream else None,
            reason=self._trouble.reason,
        )

    def _follow(self, receive: Callable[[Sequence[ToGateway]], None]) -> None:
        """Follow the engine over one relay until that fails."""
        relay, context = self._relays[self._at]

        def joined(messages: Sequence[ToGateway]) -> None:
            """Pass on the first messages, which begin with a snapshot, and all later ones."""
            if not self._joined:
                self._joined, self._joined_s = True, time.monotonic()
                self._joins += 1
                self._trouble.works()
                log.info("joined the engine", extra={"relay": relay.address, "as": link.gateway.hex()})
            receive(messages)

        try:
            link = GatewayLink(relay, context, self._channels, self._terms, self._pending.answered)
        except (OSError, BusError) as error:
            self._trouble.fails(f"{relay.address}: {_text(error)}")
            return
        self._link = link
        try:
            if not self._closed:
                link.run(self._replaces, self._silence_s, joined)
        except (OSError, BusError) as error:
            self._lost(relay.address, _text(error))
        finally:
            self._link = None
            self._replaces = link.gateway
            self._holes += link.membership.holes
            link.close()
            self._pending.fail()

    def _lost(self, address: str, reason: str) -> None:
        if self._closed:
            return
        if self._joined:
            log.warning("engine lost", extra={"relay": address, "reason": reason})
        else:
            self._trouble.fails(f"{address}: {reason}")

    def _send(self, message: BusRequest | ToEngine) -> None:
        self._connected().send(message)

    def _connected(self) -> GatewayLink:
        if (link := self._link) is None:
            raise BusError("the engine cannot be reached")
        return link


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
