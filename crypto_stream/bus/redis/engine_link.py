"""One connection of the engine to a relay, from its opening to its end."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, Protocol, cast

from crypto_stream.bus.redis.envelope import (
    MARK,
    MESSAGE,
    SNAPSHOT,
    UNKNOWN,
    Channels,
    pack_down,
    pack_term,
)
from crypto_stream.bus.redis.members import Member
from crypto_stream.bus.redis.protocol import (
    NOT_WELCOME,
    PING,
    Message,
    Replies,
    Reply,
    Subscribed,
    hello,
    is_welcome,
    publish,
    subscribe,
)
from crypto_stream.bus.redis.relays import Relay
from crypto_stream.errors import BusError

log = logging.getLogger(__name__)

# Beyond either, the relay is behind: until it has caught up the state is skipped, then sent as a Snapshot,
# followed by the newest skipped update of each key of a topic.
_MAX_UNSENT_STATE = 4 * 1024 * 1024
_MAX_UNANSWERED = 20_000
# A relay that lets this much wait is given up; what cannot be skipped would otherwise fill our memory.
_MAX_UNSENT = 64 * 1024 * 1024
_SILENCE_S = 3.0
_SNAPSHOT_S = 0.1  # at most one snapshot in this time, for all gateways that need one


class LinkOwner(Protocol):
    """Whom a link tells what happens; all is called on the event loop."""

    def received(self, link: EngineLink, message: Message) -> None:
        """Take a message of a gateway, or an engine's announcement."""

    def unheard(self, link: EngineLink, gateway: str) -> None:
        """Take note that a gateway no longer listens."""

    def drained(self, link: EngineLink) -> None:
        """Continue sending order messages over this link."""

    def snapshot(self) -> bytes:
        """Return the complete state, encoded."""


class EngineLink(asyncio.Protocol):
    """One connection, the `number`-th of this engine; `ended` becomes the reason of its end.

    `welcomed` is set once the relay has accepted us, and passes messages on; earlier ones are ignored.
    """

    def __init__(
        self, relay: Relay, channels: Channels, term: int, number: int, owner: LinkOwner, max_unsent: int
    ) -> None:
        """Prepare for a transport; order messages are held back beyond `max_unsent` bytes."""
        self.relay = relay
        self.number = number
        loop = asyncio.get_running_loop()
        self.welcomed: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self.behind = False
        self._channels = channels
        self._term = term
        self._owner = owner
        self._max_unsent = max_unsent
        self._holding_orders = False
        self._paused = False
        self._replies = Replies()
        # The gateway of a PUBLISH to a single one; of HELLO and the first announcement there is none.
        self._unanswered: deque[str | None] = deque([None, None])
        self._greeted = False
        self._states = 0
        self._pacing: asyncio.TimerHandle | None = None  # after a snapshot, until the next one
        self._wanted = False
        self._topics: dict[bytes, int] = {}
        self._skipped: dict[bytes, bytes] = {}  # the newest update of each channel
        self._heard_s = loop.time()
        self._transport: asyncio.Transport | None = None

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the relay and begin to listen."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=64 * 1024)
        channels = subscribe(self._channels.engine, self._channels.term)
        # To hear ourselves proves that we may publish and listen.
        announcement = publish(self._channels.term, pack_term(self._term))
        self._transport.write(hello(self.relay, "crypto-stream-engine") + channels + announcement)

    def data_received(self, data: bytes) -> None:
        """Take replies and messages."""
        self._heard_s = asyncio.get_running_loop().time()
        try:
            for each in self._replies.feed(data):
                if self.ended.done():
                    return
                if isinstance(each, Reply):
                    self._replied(each.value)
                elif isinstance(each, Subscribed):
                    continue
                elif self.welcomed.done():
                    self._owner.received(self, each)
                elif each.channel == self._channels.term:
                    self.welcomed.set_result(None)
        except BusError as error:
            self.end(str(error))
            return
        self._check_caught_up()

    def pause_writing(self) -> None:
        """Take note that the relay does not read fast enough."""
        self._paused = True

    def resume_writing(self) -> None:
        """Continue with what was held back or skipped."""
        self._paused = False
        if self._holding_orders:
            self._holding_orders = False
            self._owner.drained(self)
        self._check_caught_up()

    def connection_lost(self, error: Exception | None) -> None:
        """End at once: a write to a closed transport would raise an exception."""
        self.end(str(error) if error else "the relay has closed the connection")

    # Called by the port.

    def end(self, reason: str) -> None:
        """End the connection; the first reason counts."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if self._pacing is not None:
            self._pacing.cancel()
        if not self.ended.done():
            self.ended.set_result(reason)
        if not self.welcomed.done():
            self.welcomed.set_exception(BusError(reason))
            self.welcomed.exception()  # somebody may wait for it, but need not

    def publish_state(self, body: bytes) -> None:
        """Publish a change of the state to all gateways, or skip it if the relay is behind."""
        self._states += 1
        if not self._skips():
            self._publish(self._channels.state, self._states, MESSAGE, body)

    def want_snapshot(self) -> None:
        """Publish the complete state, which gateways that miss nothing ignore."""
        if self._pacing is not None:
            self._wanted = True
        elif not self.behind and self._transport is not None:
            self._pacing = asyncio.get_running_loop().call_later(_SNAPSHOT_S, self._end_pacing)
            self._states += 1
            self._publish(self._channels.state, self._states, SNAPSHOT, self._owner.snapshot())

    def _end_pacing(self) -> None:
        self._pacing = None
        if self._wanted:
            self._wanted = False
            self.want_snapshot()

    def publish_topic(self, topic: str, key: str, body: bytes) -> None:
        """Publish an update to the gateways that watch a key, or skip it if the relay is behind."""
        channel = self._channels.topic(topic, key)
        if self._skips():
            self._skipped[channel] = body
        else:
            self._publish_topic(channel, body)

    def send(self, member: Member, body: bytes) -> None:
        """Send a message to one gateway, never skipped."""
        member.sent += 1
        self._publish(self._channels.to(member.gateway), member.sent, MESSAGE, body, member.name)

    def send_orders(self, member: Member, body: bytes) -> bool:
        """Likewise; if False, no further ones until `LinkOwner.drained`."""
        self.send(member, body)
        if self._paused and self._unsent() > self._max_unsent:
            self._holding_orders = True
        return not self._holding_orders

    def send_mark(self, member: Member, body: bytes) -> None:
        """Show a gateway that all earlier messages to it have arrived."""
        member.sent += 1
        self._publish(self._channels.to(member.gateway), member.sent, MARK, body, member.name)

    def send_unknown(self, gateway: bytes) -> None:
        """Tell a gateway that it must join."""
        self._publish(self._channels.to(gateway), 0, UNKNOWN, b"")

    def announce(self) -> None:
        """Tell other engines of the same name that this one leads."""
        self._write(publish(self._channels.term, pack_term(self._term)))

    def ping(self, now_s: float, *, may_end: bool) -> None:
        """Ask the relay for a sign of life; end the connection, if it may, when there was none for long."""
        if may_end and now_s - self._heard_s > _SILENCE_S:
            self.end(f"the relay has been silent for {_SILENCE_S:g} s")
        else:
            self._write(PING)

    def _publish_topic(self, channel: bytes, body: bytes) -> None:
        number = self._topics[channel] = self._topics.get(channel, 0) + 1
        self._publish(channel, number, MESSAGE, body)

    def _publish(
        self, channel: bytes, number: int, kind: int, body: bytes, gateway: str | None = None
    ) -> None:
        payload = pack_down(self._term, self.number, number, kind, body)
        self._write(publish(channel, payload), gateway)

    def _write(self, command: bytes, gateway: str | None = None) -> None:
        """Send a command that has a reply."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._unsent() > _MAX_UNSENT:
            self.end(f"the relay has not read {_MAX_UNSENT} bytes")
            return
        self._unanswered.append(gateway)
        self._transport.write(command)

    def _unsent(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport else 0

    def _skips(self) -> bool:
        """Return whether the state must be skipped now."""
        if not self.behind and (
            len(self._unanswered) > _MAX_UNANSWERED or (self._paused and self._unsent() > _MAX_UNSENT_STATE)
        ):
            self.behind = True
            log.warning("a relay is too slow; a snapshot follows", extra={"relay": self.relay.address})
        return self.behind

    def _check_caught_up(self) -> None:
        if self.behind and not self._paused and len(self._unanswered) < _MAX_UNANSWERED // 2:
            self.behind = False
            self.want_snapshot()
            skipped, self._skipped = self._skipped, {}
            for channel, body in skipped.items():
                self._publish_topic(channel, body)

    def _replied(self, value: Any) -> None:
        if not self._unanswered:
            raise BusError("the relay replies to what was not asked")
        gateway = self._unanswered.popleft()
        if not self._greeted:
            if not is_welcome(value):
                raise BusError(NOT_WELCOME)
            self._greeted = True
        elif value == 0 and gateway is not None:
            self._owner.unheard(self, gateway)
