"""What a gateway takes of what it hears, over one connection to a relay. Pure: callers pass the time (s).

A gateway *joins* the engine under a random id of this connection, and is *whole* once it has a snapshot. A
hole in the numbers of the state makes it partial until the next snapshot; anything else that is missing ends
the connection, and the gateway joins anew under another id.
"""

from __future__ import annotations

from crypto_stream.bus.interface import SILENCE_S
from crypto_stream.bus.redis.envelope import (
    MARK,
    SNAPSHOT,
    UNKNOWN,
    Channels,
    Down,
    Mark,
    unpack_down,
    unpack_mark,
)
from crypto_stream.errors import BusError


class Terms:
    """The greatest term that a gateway has heard of, whatever the connection.

    A smaller one is refused, because that engine was replaced and does not know it, unless the greater one
    has been silent for as long as prices stay live.
    """

    def __init__(self) -> None:
        self._greatest = 0
        self._heard_s = 0.0

    def accept(self, term: int, now_s: float) -> bool:
        """Return whether to follow an engine of this `term`."""
        if term < self._greatest and now_s - self._heard_s <= SILENCE_S:
            return False
        self._greatest, self._heard_s = term, now_s
        return True


class Membership:
    """One gateway's membership with the engine over one connection.

    `stream` is the engine's term and link that it has joined, None before; `whole` whether it has all of the
    state; `holes` how often it did not. `mark` is the newest of the engine.
    """

    def __init__(self, channels: Channels, gateway: bytes, terms: Terms, now_s: float) -> None:
        self.gateway = gateway
        self.stream: tuple[int, int] | None = None
        self.whole = False
        self.holes = 0
        self.mark: Mark | None = None
        self._state_s = now_s
        self._terms = terms
        self._state = channels.state
        self._partial_s = now_s
        self._own = channels.to(gateway)
        self._next_state = 0
        self._topics: set[bytes] = set()
        # The next number by channel; None before the first message. Other channels are ignored.
        self._next: dict[bytes, int | None] = {}

    def listen(self, channel: bytes) -> None:
        """Take what is published to a topic's channel once the subscription is confirmed."""
        self._topics.add(channel)

    def ignore(self, channel: bytes) -> None:
        """Take nothing of a topic's channel any more."""
        self._topics.discard(channel)
        self._next.pop(channel, None)

    def subscribed(self, channel: bytes) -> None:
        """Take messages of a channel from here on: those before belong to an earlier subscription."""
        if channel in self._topics:
            self._next[channel] = None

    def silent_s(self, now_s: float) -> float:
        """Return for how long the engine has sent nothing about the state, or nothing that could be used."""
        return max(now_s - self._state_s, 0.0 if self.whole else now_s - self._partial_s)

    def take(self, channel: bytes, payload: bytes, now_s: float) -> bytes | None:
        """Return the encoded message to pass on, None if there is none.

        Raises BusError if messages were lost that no snapshot replaces: this connection must end.
        """
        down = unpack_down(payload)
        stream = (down.term, down.link)
        if self.stream is None:
            if channel == self._own and down.kind == MARK and self._terms.accept(down.term, now_s):
                self.stream, self._state_s, self._partial_s = stream, now_s, now_s
                self.mark = unpack_mark(down.body)
                self._next[channel] = down.number + 1
            return None
        if stream < self.stream:
            return None
        if stream > self.stream:
            raise BusError("the engine has connected anew, or another one has taken over")
        self._terms.accept(down.term, now_s)
        if channel == self._state:
            self._state_s = now_s
            return self._take_state(down, now_s)
        return self._take_numbered(channel, down)

    def _take_state(self, down: Down, now_s: float) -> bytes | None:
        complete = self.whole and down.number == self._next_state
        self._next_state = down.number + 1
        if self.whole and not complete:
            self.whole, self._partial_s = False, now_s
            self.holes += 1
        if down.kind == SNAPSHOT:
            self.whole = True
            return None if complete else down.body
        return down.body if self.whole else None

    def _take_numbered(self, channel: bytes, down: Down) -> bytes | None:
        if down.kind == UNKNOWN:
            raise BusError("the engine has forgotten this gateway")
        if channel not in self._next:  # of a subscription that has ended
            return None
        if self._next[channel] not in (None, down.number):
            raise BusError("messages of the engine were lost")
        self._next[channel] = down.number + 1
        if down.kind == MARK:
            self.mark = unpack_mark(down.body)
            return None
        return down.body
