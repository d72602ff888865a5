"""Redis' protocol (RESP3), without I/O: commands to bytes, bytes to replies. `hiredis` parses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import hiredis

from crypto_stream.bus.interface import MAX_MESSAGE
from crypto_stream.bus.redis.relays import Relay
from crypto_stream.errors import BusError

# Beyond a message: envelope, channel and framing.
_OVERHEAD = 4096
_MESSAGE, _SUBSCRIBED = b"message", b"subscribe"
_INCOMPLETE = object()


class Message(NamedTuple):
    """What was published to a channel that we listen to."""

    channel: bytes
    payload: bytes


class Subscribed(NamedTuple):
    """The confirmation that we listen to a channel: what comes of it from now on was published after that."""

    channel: bytes


class Reply(NamedTuple):
    """The reply to one command of ours, in the order of the commands."""

    value: Any


def hello(relay: Relay, client: str) -> bytes:
    """Return the first command of a connection: RESP3, user and password, and our name for `CLIENT LIST`."""
    words = ["HELLO", "3"]
    if relay.password is not None:
        words += ["AUTH", relay.user or "default", relay.password]
    return _pack(*words, "SETNAME", client)


def subscribe(*channels: bytes) -> bytes:
    """Return the command to listen to channels; each is confirmed by a `Subscribed`."""
    return _pack("SUBSCRIBE", *channels)


def unsubscribe(*channels: bytes) -> bytes:
    """Return the command to no longer listen to channels, which has no reply."""
    return _pack("UNSUBSCRIBE", *channels)


def publish(channel: bytes, payload: bytes) -> bytes:
    """Return the command to publish, whose reply is the number of listeners."""
    return _pack("PUBLISH", channel, payload)


NOT_WELCOME = "the relay does not greet as Redis 6 and later do"
PING: bytes = hiredis.pack_command(("PING",))


def _pack(*words: str | bytes) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub allows a single word
    return packed


class Replies:
    """Parses what a relay sends; buffers at most one message of the greatest length that we send."""

    def __init__(self, limit: int = MAX_MESSAGE + _OVERHEAD) -> None:
        """Raise BusError once more than `limit` bytes make no complete reply."""
        self._limit = limit
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._unparsed = 0

    def feed(self, data: bytes) -> Iterator[Message | Subscribed | Reply]:
        """Add bytes; yield what they complete.

        Raises BusError if the relay reports an error, or if what it sends is not Redis' protocol.
        """
        self._reader.feed(data)
        self._unparsed += len(data)
        while (value := self._next()) is not _INCOMPLETE:
            self._unparsed = 0
            if isinstance(value, hiredis.PushNotification):
                if (pushed := _pushed(value)) is not None:
                    yield pushed
            elif isinstance(value, hiredis.ReplyError):
                raise BusError(f"the relay refuses: {_refusal(value)}")
            else:
                yield Reply(value)
        if self._unparsed > self._limit:
            raise BusError(f"the relay sends a message of more than {self._limit} bytes")

    def _next(self) -> Any:
        try:
            return self._reader.gets()
        except hiredis.ProtocolError as error:
            raise BusError(f"this is no Redis server: {error}") from None


def _refusal(error: hiredis.ReplyError) -> str:
    """Return what an error says without our words: servers repeat those of a command that they do not know.

    Those of the greeting contain the password.
    """
    text, repeated, _ = str(error).partition(", with args beginning with")
    return f"{text}: it must be Redis 6 or later" if repeated else text


def _pushed(push: Sequence[Any]) -> Message | Subscribed | None:
    """Return what the relay pushed; None for what does not matter, such as the end of a subscription."""
    match push:
        case [kind, channel, payload] if kind == _MESSAGE:
            return Message(channel, payload)
        case [kind, channel, _] if kind == _SUBSCRIBED:
            return Subscribed(channel)
    return None


def is_welcome(value: object) -> bool:
    """Return whether a reply is that to HELLO, from a server that speaks RESP3."""
    return isinstance(value, dict)
