"""One connection of a gateway to a relay, from its opening to its end."""

from __future__ import annotations

import secrets
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from crypto_stream.bus.codec import decode_to_gateway, encode
from crypto_stream.bus.messages import Answer, ToEngine, ToGateway
from crypto_stream.bus.redis.connection import Connection
from crypto_stream.bus.redis.envelope import (
    ALIVE,
    ALIVE_PARTIAL,
    GATEWAY_BYTES,
    JOIN,
    MESSAGE,
    Channels,
    Up,
    pack_up,
)
from crypto_stream.bus.redis.membership import Membership, Terms
from crypto_stream.bus.redis.protocol import (
    NOT_WELCOME,
    PING,
    Message,
    Replies,
    Reply,
    hello,
    is_welcome,
    publish,
    subscribe,
    unsubscribe,
)
from crypto_stream.bus.redis.relays import Relay
from crypto_stream.errors import BusError

# How often this gateway says that it is alive, and asks the relay for a sign of life.
_BEAT_S = 0.5
# What has arrived is read within this time.
_MOMENT_S = 0.05
_WELCOME_S = 2.0
# The answer to a PING stands behind everything that waits for us, so its age is how far we are behind.
_MAX_LAG_S = 2.5
# Commands without a reply; a relay that replies to nothing is given up.
_MAX_UNANSWERED = 20_000


class GatewayLink:
    """One connection; `gateway` is the id under which it joins the engine, `lag_s` how old messages are."""

    def __init__(
        self,
        relay: Relay,
        context: ssl.SSLContext | None,
        channels: Channels,
        terms: Terms,
        answered: Callable[[Answer], None],
    ) -> None:
        """Connect and begin to listen; raise OSError or BusError if that is impossible."""
        self.gateway = secrets.token_bytes(GATEWAY_BYTES)
        self.lag_s: float | None = None
        self._channels = channels
        self._answered = answered
        self._sending = threading.Lock()
        self._number = 0
        self._unanswered: deque[float | None] = deque()  # the time of a PING, None for a PUBLISH
        self._topics: frozenset[bytes] = frozenset()
        self._replies = Replies()
        self._asked = True  # for a snapshot: joining brings one
        self._over = threading.Event()
        self._trouble = "the relay has closed the connection"
        self._connection = Connection(relay, context)
        try:
            self._listen(relay)
        except BaseException:
            self._connection.close()
            raise
        self.membership = Membership(channels, self.gateway, terms, time.monotonic())

    def _listen(self, relay: Relay) -> None:
        channels = subscribe(self._channels.state, self._channels.to(self.gateway))
        self._connection.send(hello(relay, "crypto-stream-gateway") + channels)
        deadline = time.monotonic() + _WELCOME_S
        while (left_s := deadline - time.monotonic()) > 0:
            self._connection.set_patience(left_s)
            for each in self._replies.feed(self._receive()):
                if isinstance(each, Reply) and is_welcome(each.value):
                    self._connection.set_patience(None)
                    return
                raise BusError(NOT_WELCOME)
        raise BusError("the relay does not reply")

    def run(
        self, replaces: bytes, silence_s: float, receive: Callable[[Sequence[ToGateway]], None]
    ) -> NoReturn:
        """Join in place of an earlier id of this gateway, and pass on what arrives.

        Always ends with OSError or BusError: also when the engine has been silent for `silence_s`.
        """
        keeper = threading.Thread(target=self._keep, args=(replaces, silence_s), daemon=True)
        keeper.start()
        try:
            while True:
                if messages := self._read():
                    receive(messages)
                self._ask()
        finally:
            self._over.set()
            self._connection.shut_down()  # wakes the other thread if it is sending
            keeper.join()

    def _read(self) -> list[ToGateway]:
        """Wait for data; return the messages that it completes."""
        data = self._receive()
        now_s = time.monotonic()
        messages: list[ToGateway] = []
        for each in self._replies.feed(data):
            if isinstance(each, Message):
                if (body := self.membership.take(*each, now_s)) is not None:
                    message = decode_to_gateway(body)
                    if isinstance(message, Answer):
                        self._answered(message)
                    else:
                        messages.append(message)
            elif isinstance(each, Reply):
                self._replied(each.value, now_s)
            else:
                self.membership.subscribed(each.channel)
        return messages

    def _keep(self, replaces: bytes, silence_s: float) -> None:
        """Send heartbeats and look for silence until `run` ends; end it when something is wrong.

        In a thread of its own, so that `run` reads without a timeout: eventlet keeps the timer of each read,
        and wakes the process for it. Silence ends it only if it lasts a moment longer: after a pause of this
        process what has arrived meanwhile is read first.
        """
        silent, beat_s = False, 0.0
        try:
            while not self._over.is_set():
                now_s = time.monotonic()
                if now_s >= beat_s:
                    beat_s = now_s + _BEAT_S
                    self._beat(replaces, now_s)
                left_s = silence_s - self.membership.silent_s(now_s)
                if left_s <= 0 and silent:
                    raise BusError(f"nothing was heard from the engine for {silence_s:g} s")
                silent = left_s <= 0
                self._over.wait(_MOMENT_S if silent else min(left_s, beat_s - now_s))
        except BusError as error:
            self._trouble = str(error)
        finally:
            self._connection.shut_down()

    def send(self, message: ToEngine) -> None:
        """Send a message to the engine; raise BusError if it cannot be reached."""
        if self.membership.stream is None:
            raise BusError("the engine cannot be reached")
        self._publish(MESSAGE, encode(message))

    def watch(self, keys: Mapping[str, Sequence[str]]) -> None:
        """Listen to these keys of topics only; raise BusError if the relay cannot be reached."""
        wanted = frozenset(self._channels.topic(topic, key) for topic, each in keys.items() for key in each)
        with self._sending:
            added, removed = wanted - self._topics, self._topics - wanted
            for channel in added:
                self.membership.listen(channel)
            for channel in removed:
                self.membership.ignore(channel)
            self._topics = wanted
            commands = (subscribe(*added) if added else b"") + (unsubscribe(*removed) if removed else b"")
            if commands:
                self._write(commands)

    def shut_down(self) -> None:
        """Make `run` end."""
        self._connection.shut_down()

    def close(self) -> None:
        """Release the connection."""
        self._connection.shut_down()  # wakes whoever is sending
        with self._sending:
            self._connection.close()

    def _receive(self) -> bytes:
        data = self._connection.receive()
        if data is None:
            raise BusError(self._trouble)
        return data

    def _ask(self) -> None:
        """Ask for a snapshot, once, as soon as something is missing; heartbeats ask again."""
        if self.membership.whole:
            self._asked = False
        elif not self._asked:
            self._asked = True
            self._publish(ALIVE_PARTIAL)

    def _beat(self, replaces: bytes, now_s: float) -> None:
        """Tell the engine that we are alive and what we need, and ask the relay for a sign of life."""
        if self.membership.stream is None:
            self._publish(JOIN, replaces)
        else:
            self._publish(ALIVE if self.membership.whole else ALIVE_PARTIAL)
        with self._sending:
            self._unanswered.append(now_s)
            self._write(PING)

    def _publish(self, kind: int, body: bytes = b"") -> None:
        with self._sending:
            if kind == JOIN:
                up = Up(self.gateway, 0, 0, 0, kind, body)
            else:
                self._number += 1
                term, link = self.membership.stream or (0, 0)
                up = Up(self.gateway, term, link, self._number, kind, body)
            self._unanswered.append(None)
            self._write(publish(self._channels.engine, pack_up(up)))

    def _write(self, data: bytes) -> None:
        """Send; the caller holds the lock, so that replies come in the order of `_unanswered`."""
        if len(self._unanswered) > _MAX_UNANSWERED:
            self._connection.shut_down()
            raise BusError("the relay does not reply")
        try:
            self._connection.send(data)
        except OSError as error:
            raise BusError(f"the engine cannot be reached: {error}") from None

    def _replied(self, value: Any, now_s: float) -> None:
        if not self._unanswered:
            raise BusError("the relay replies to what was not asked")
        sent_s = self._unanswered.popleft()
        if sent_s is None:
            if value == 0:
                raise BusError("no engine listens at this relay")
            return
        self.lag_s = now_s - sent_s
        if self.lag_s > _MAX_LAG_S:
            raise BusError(f"this gateway is {self.lag_s:.1f} s behind")
