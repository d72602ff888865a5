"""The engine's end of the bus over Redis: it publishes to all relays, each gateway listens to one."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from crypto_stream.backoff import Backoff
from crypto_stream.bus.answering import answer
from crypto_stream.bus.codec import decode_to_engine, encode
from crypto_stream.bus.interface import Backend
from crypto_stream.bus.messages import BusRequest, ToGateway, TopicUpdate
from crypto_stream.bus.orders import OrderCommands, OrderMessages
from crypto_stream.bus.redis.engine_link import EngineLink
from crypto_stream.bus.redis.envelope import (
    ALIVE_PARTIAL,
    JOIN,
    MESSAGE,
    Channels,
    Mark,
    Up,
    pack_mark,
    unpack_term,
    unpack_up,
)
from crypto_stream.bus.redis.leadership import Leadership
from crypto_stream.bus.redis.members import Member, Members
from crypto_stream.bus.redis.protocol import Message
from crypto_stream.bus.redis.relays import Relay, Relays
from crypto_stream.bus.redis.tls import make_context
from crypto_stream.errors import BusError
from crypto_stream.log_throttle import LogThrottle, TroubleLog

log = logging.getLogger(__name__)

_RECONNECT_S = (0.05, 1.0)
_CONNECT_S = 2.0
_STABLE_S = 5.0  # a connection that ends earlier counts as a failed attempt
_TICK_S = 0.5
_LATE_S = 1.5  # a tick this long after the last one: the process was stopped or busy
_MAX_UNSENT_ORDERS = 1024 * 1024


class RedisEnginePort:
    """The engine's end. Use as `async with`; nothing is sent or received outside of `run`.

    What is unsent to a relay is bounded: beyond the bound, state is skipped and replaced by one Snapshot once
    the relay has caught up. Answers and order messages are never skipped: beyond `max_unsent` bytes the
    latter are held back by their sender, and a relay that reads nothing at all is given up.
    """

    def __init__(self, relays: Relays, backend: Backend, max_unsent: int = _MAX_UNSENT_ORDERS) -> None:
        """Serve `backend` over `relays`; raise SettingError if a TLS file is unusable."""
        self._relays = [(relay, make_context(relay)) for relay in relays.relays]
        self._channels = Channels(relays.name)
        self._backend = backend
        self._max_unsent = max_unsent
        self._leadership = Leadership(0)
        self._members = Members(self._on_left)
        self._links: dict[int, EngineLink] = {}
        self._number = 0
        self._tasks: dict[int, asyncio.TaskGroup] = {}
        self._ticked_s = 0.0
        self._throttle = LogThrottle()

    async def __aenter__(self) -> Self:
        # The engine's `seq` follows the clock and increases over restarts, and so does this.
        self._leadership = Leadership(max(time.time_ns() // 1000, self._backend.snapshot().seq + 1))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for link in list(self._links.values()):
            link.end("the engine stops")

    async def run(self) -> None:
        """Keep connections to all relays until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for relay, context in self._relays:
                tasks.create_task(self._keep_link(relay, context))
            tasks.create_task(self._tick_forever())

    def publish(self, message: ToGateway) -> None:
        """Queue `message` for all gateways."""
        if links := [link for link in self._links.values() if self._members.has_any(link.number)]:
            body = encode(message)
            for link in links:
                link.publish_state(body)

    def send_topic(self, gateways: Sequence[str], update: TopicUpdate) -> None:
        """Publish an update to those gateways, once for all that have joined over the same relay."""
        members = [member for gateway in gateways if (member := self._members.get(gateway))]
        if links := [link for number in {one.link for one in members} if (link := self._links.get(number))]:
            body = encode(update)
            for link in links:
                link.publish_topic(update.topic, update.key, body)

    def send_orders(self, gateway: str, messages: OrderMessages) -> bool:
        """Queue order messages for one gateway, never skipped; if False, wait for `Backend.drained`."""
        found = self._find(gateway)
        return found is None or found[1].send_orders(found[0], encode(messages))

    # For the links.

    def received(self, link: EngineLink, message: Message) -> None:
        """Take a message of a gateway, or an engine's announcement."""
        try:
            if message.channel == self._channels.term:
                if self._leadership.heard(unpack_term(message.payload), _now_s()):
                    self._yield()
            else:
                self._take(link, unpack_up(message.payload))
        except BusError as error:
            if self._throttle.due(str(error)):
                log.warning(
                    "invalid message on the bus", extra={"relay": link.relay.address, "reason": str(error)}
                )

    def unheard(self, link: EngineLink, gateway: str) -> None:
        """Forget a gateway that no longer listens."""
        member = self._members.get(gateway)
        if member is not None and member.link == link.number:
            self._members.leave(gateway, "it no longer listens")

    def snapshot(self) -> bytes:
        """Return the complete state, encoded."""
        return encode(self._backend.snapshot())

    def drained(self, link: EngineLink) -> None:
        """Let the order messages of all gateways of a link continue."""
        for member in self._members:
            if member.link == link.number:
                self._backend.drained(member.name)

    def _join(self, link: EngineLink, up: Up) -> None:
        known = self._members.get(up.gateway.hex())
        member = self._members.join(up, link.number, _now_s())
        link.send_mark(member, self._mark())
        if member is not known:
            log.info("gateway joined the bus", extra={"link": member.name, "relay": link.relay.address})
            link.want_snapshot()

    def _take(self, link: EngineLink, up: Up) -> None:
        if not self._leadership.leads or up.term > self._leadership.term:
            return  # it is meant for another engine
        if up.kind == JOIN:
            self._join(link, up)
            return
        meant_for_us = up.term == self._leadership.term
        member = self._members.take(up, link.number, _now_s()) if meant_for_us else None
        if member is None:
            link.send_unknown(up.gateway)
        elif up.kind == ALIVE_PARTIAL:
            link.want_snapshot()
        elif up.kind == MESSAGE:
            self._take_message(member, up.body)

    def _take_message(self, member: Member, body: bytes) -> None:
        try:
            message = decode_to_engine(body)
        except BusError:
            self._members.leave(member.name, "it sent an invalid message")
            raise
        if isinstance(message, OrderCommands):
            self._backend.orders(member.name, message.commands)
        elif (tasks := self._tasks.get(member.link)) is not None:
            tasks.create_task(self._answer(member, message))

    async def _answer(self, member: Member, request: BusRequest) -> None:
        member.requests += 1
        try:
            answered = await answer(self._backend, member.name, request, member.requests)
        except BusError as error:
            self._members.leave(member.name, str(error))
            return
        finally:
            member.requests -= 1
        if (found := self._find(member.name)) is not None:
            found[1].send(member, encode(answered))

    def _find(self, gateway: str) -> tuple[Member, EngineLink] | None:
        member = self._members.get(gateway)
        link = self._links.get(member.link) if member else None
        return (member, link) if member and link else None

    def _mark(self) -> bytes:
        return pack_mark(Mark(len(self._relays), len(self._links)))

    def _on_left(self, gateway: str, reason: str) -> None:
        self._backend.left(gateway)
        log.info("gateway left the bus", extra={"link": gateway, "reason": reason})

    def _yield(self) -> None:
        """Be silent: another engine has a greater term. Our gateways are told to join it."""
        log.error(
            "another engine publishes under the same name: this one is silent until that one has ended; "
            "stop one of them, or give it another name in `bus`"
        )
        for member in self._members:
            if found := self._find(member.name):
                found[1].send_unknown(member.gateway)
            self._members.leave(member.name, "another engine leads")

    # Connections.

    async def _keep_link(self, relay: Relay, context: ssl.SSLContext | None) -> None:
        """Connect to a relay again and again, for ever."""
        backoff = Backoff(*_RECONNECT_S)
        trouble = TroubleLog(log, "a relay of the bus is lost", each_reason=True)
        while True:
            began_s = _now_s()
            try:
                link = await self._connect(relay, context)
                log.info("a relay of the bus is connected", extra={"relay": relay.address})
                reason = await self._serve(link)
            except (OSError, BusError) as error:
                reason = str(error) or type(error).__name__
            if _now_s() - began_s > _STABLE_S:
                backoff.reset()
                trouble.works()
            trouble.fails(f"{relay.address}: {reason}")
            await asyncio.sleep(backoff.next_delay())

    async def _connect(self, relay: Relay, context: ssl.SSLContext | None) -> EngineLink:
        """Return a link that the relay has accepted; raise OSError or BusError."""
        self._number += 1
        link = EngineLink(relay, self._channels, self._leadership.term, self._number, self, self._max_unsent)
        try:
            async with asyncio.timeout(_CONNECT_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: link, relay.host, relay.port, ssl=context
                )
                await link.welcomed
        except TimeoutError:
            link.end("it does not answer")
            raise BusError("it does not answer") from None
        except BaseException:
            link.end("it could not be connected")
            raise
        return link

    async def _serve(self, link: EngineLink) -> str:
        """Use a link until it ends; return the reason."""
        self._links[link.number] = link
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks[link.number] = tasks
                reason = await link.ended
                raise _EndedError(reason)  # cancels the requests that are still being answered
        except* _EndedError as group:
            reason = str(group.exceptions[0])
        finally:
            link.end("the engine stops")
            del self._links[link.number], self._tasks[link.number]
            self._members.leave_link(link.number, "its relay was lost")
        return reason

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self._tick(_now_s())

    def _tick(self, now_s: float) -> None:
        """Show all ends that we are alive, and notice who is not."""
        late, self._ticked_s = now_s - self._ticked_s > _LATE_S, now_s  # what came meanwhile is not read yet
        if self._leadership.check(now_s):
            log.warning("the other engine of the same name is gone: this one publishes again")
        if not late:
            self._members.leave_silent(now_s)
        mark = self._mark()
        for link in list(self._links.values()):
            link.ping(now_s, may_end=not late)
            if self._leadership.leads:
                link.announce()
        for member in self._members:
            if found := self._find(member.name):
                found[1].send_mark(member, mark)


class _EndedError(Exception):
    """A link has ended."""


def _now_s() -> float:
    return asyncio.get_running_loop().time()
