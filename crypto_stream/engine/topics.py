"""Live streams that gateways watch: each is a topic, with keys of its own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from crypto_stream.bus.codec import encode_value
from crypto_stream.bus.interface import WATCH_FORGOTTEN_S
from crypto_stream.bus.messages import TopicUpdate, Watched
from crypto_stream.errors import RefusedError

log = logging.getLogger(__name__)

_EVERY_S = 0.25
# Keys that one gateway may watch: each costs a message four times a second at the most.
MOST_WATCHED = 2_000

Key = tuple[str, str]


class Topic(Protocol):
    """One live stream. Its updates are msgpack of any form; gateways know it by `name`."""

    name: str

    def knows(self, key: str) -> bool:
        """Say whether there is such a key."""

    def now(self, key: str) -> object:
        """Give the present state of a key."""

    def begin(self, key: str) -> object:
        """Give the present state of a key, which is watched from now on: news follow on it."""

    def news(self, key: str) -> object | None:
        """Give what changed since the last news of a watched key; None where nothing did."""

    def end(self, key: str) -> None:
        """Nobody watches this key any more."""


class Topics:
    """Tell each gateway of the keys it watches, several times a second, when something changed."""

    def __init__(
        self,
        topics: Iterable[Topic],
        send: Callable[[str, TopicUpdate], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch nothing yet; `send` hands a message to one gateway."""
        self._topics = {topic.name: topic for topic in topics}
        self._send = send
        self._clock = clock
        self._version = 0
        self._watched: dict[str, set[Key]] = {}
        self._said_s: dict[str, float] = {}

    def get(self, topic: str, key: str) -> object:
        """Give the present state of a key; RefusedError where there is none such."""
        if topic not in self._topics or not self._topics[topic].knows(key):
            raise RefusedError("unknown_key", f"there is no {topic} of {key!r}")
        return self._topics[topic].now(key)

    def watch(self, gateway: str, keys: Mapping[str, Sequence[str]]) -> Watched:
        """Replace what `gateway` watches; return the present state of what is new for it."""
        asked = {(topic, key): None for topic, each in keys.items() for key in each}
        if len(asked) > MOST_WATCHED:
            raise RefusedError("too_many_keys", f"a gateway watches at most {MOST_WATCHED} keys")
        known = [key for key in asked if self._knows(*key)]
        before = self._watched.get(gateway, set())
        now = [self._begin(key) for key in known if key not in before]
        self._watched[gateway] = set(known)
        self._said_s[gateway] = self._clock()
        self._end(before)
        return Watched(now, [key for key in asked if not self._knows(*key)])

    def left(self, gateway: str) -> None:
        """Forget what this gateway watched."""
        self._said_s.pop(gateway, None)
        self._end(self._watched.pop(gateway, set()))

    async def run(self) -> None:
        """Tell of changes, for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            self.tell()

    def tell(self) -> None:
        """Tell everybody of what changed since the last time."""
        due = self._clock() - WATCH_FORGOTTEN_S
        for gateway in [gateway for gateway, said_s in self._said_s.items() if said_s < due]:
            log.warning("a gateway no longer says what it watches", extra={"gateway": gateway})
            self.left(gateway)
        for key in set[Key]().union(*self._watched.values()):
            self._tell(key)

    def _knows(self, topic: str, key: str) -> bool:
        return topic in self._topics and self._topics[topic].knows(key)

    def _tell(self, key: Key) -> None:
        watchers = [gateway for gateway, keys in self._watched.items() if key in keys]
        if watchers and (news := self._topics[key[0]].news(key[1])) is not None:
            update = self._update(key, news)
            for gateway in watchers:
                self._send(gateway, update)

    def _update(self, key: Key, payload: object) -> TopicUpdate:
        """Number an update; the number follows the clock, so that it grows over restarts too."""
        self._version = max(self._version + 1, time.time_ns() // 1000)
        return TopicUpdate(*key, self._version, encode_value(payload))

    def _begin(self, key: Key) -> TopicUpdate:
        topic = self._topics[key[0]]
        if any(key in keys for keys in self._watched.values()):
            self._tell(key)  # else those who watch it already would miss what the new one is told
            return self._update(key, topic.now(key[1]))
        return self._update(key, topic.begin(key[1]))

    def _end(self, before: Iterable[Key]) -> None:
        watched = set[Key]().union(*self._watched.values())
        for topic, key in set(before) - watched:
            self._topics[topic].end(key)
