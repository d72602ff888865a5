"""Topics: live streams of changes that gateways watch, each with its own keys."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from crypto_stream.bus.codec import encode_value
from crypto_stream.bus.interface import WATCH_EXPIRES_S
from crypto_stream.bus.messages import TopicUpdate, Watched
from crypto_stream.errors import RefusedError

log = logging.getLogger(__name__)

_INTERVAL_S = 0.25
# Keys that one gateway may watch; each causes at most four messages per second.
MAX_WATCHED = 2_000

Key = tuple[str, str]


class Topic(Protocol):
    """One live stream, identified by `name`; its updates can be anything that msgpack encodes."""

    name: str

    def has(self, key: str) -> bool:
        """Return whether this key exists."""

    def current(self, key: str) -> object:
        """Return the current state of a key."""

    def start(self, key: str) -> object:
        """Begin to watch a key and return its current state, to which `changes` then refers."""

    def changes(self, key: str) -> object | None:
        """Return what changed since the last call, or None if nothing did; for watched keys only."""

    def stop(self, key: str) -> None:
        """Stop watching a key."""


class Topics:
    """Send each gateway the changes of the keys it watches, several times a second."""

    def __init__(
        self,
        topics: Iterable[Topic],
        send: Callable[[Sequence[str], TopicUpdate], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Offer `topics`; `send` passes a message to the gateways that watch its key."""
        self._topics = {topic.name: topic for topic in topics}
        self._send = send
        self._clock = clock
        self._version = 0
        self._watched: dict[str, set[Key]] = {}
        self._refreshed_s: dict[str, float] = {}

    def get(self, topic: str, key: str) -> object:
        """Return the current state of a key; raise RefusedError if it does not exist."""
        if not self._has(topic, key):
            raise RefusedError("unknown_key", f"there is no {topic} of {key!r}")
        return self._topics[topic].current(key)

    def watch(self, gateway: str, keys: Mapping[str, Sequence[str]]) -> Watched:
        """Replace what `gateway` watches; return the current state of the keys that are new for it."""
        requested = {(topic, key): None for topic, each in keys.items() for key in each}
        if len(requested) > MAX_WATCHED:
            raise RefusedError("too_many_keys", f"a gateway watches at most {MAX_WATCHED} keys")
        known = [key for key in requested if self._has(*key)]
        before = self._watched.get(gateway, set())
        states = [self._start(key) for key in known if key not in before]
        self._watched[gateway] = set(known)
        self._refreshed_s[gateway] = self._clock()
        self._stop_unwatched(before)
        return Watched(states, [key for key in requested if not self._has(*key)])

    def remove(self, gateway: str) -> None:
        """Forget what this gateway watched."""
        self._refreshed_s.pop(gateway, None)
        self._stop_unwatched(self._watched.pop(gateway, set()))

    def drop_unknown(self) -> None:
        """Stop watching the keys of instruments that were removed."""
        gone = {key for keys in self._watched.values() for key in keys if not self._has(*key)}
        for keys in self._watched.values():
            keys.difference_update(gone)
        for topic, key in gone:
            self._topics[topic].stop(key)

    async def run(self) -> None:
        """Send changes until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_S)
            self.send_changes()

    def send_changes(self) -> None:
        """Send all watching gateways what changed since the last call."""
        due = self._clock() - WATCH_EXPIRES_S
        for gateway in [gateway for gateway, at_s in self._refreshed_s.items() if at_s < due]:
            log.warning("a gateway no longer refreshes what it watches", extra={"gateway": gateway})
            self.remove(gateway)
        for key in set[Key]().union(*self._watched.values()):
            self._send_changes_of(key)

    def _has(self, topic: str, key: str) -> bool:
        return topic in self._topics and self._topics[topic].has(key)

    def _send_changes_of(self, key: Key) -> None:
        watchers = [gateway for gateway, keys in self._watched.items() if key in keys]
        if watchers and (changes := self._topics[key[0]].changes(key[1])) is not None:
            self._send(watchers, self._update(key, changes))

    def _update(self, key: Key, payload: object) -> TopicUpdate:
        """Number an update; numbers follow the clock, so that they increase over restarts, too."""
        self._version = max(self._version + 1, time.time_ns() // 1000)
        return TopicUpdate(*key, self._version, encode_value(payload))

    def _start(self, key: Key) -> TopicUpdate:
        topic = self._topics[key[0]]
        if any(key in keys for keys in self._watched.values()):
            self._send_changes_of(key)  # bring present watchers to the state that the new one gets
            return self._update(key, topic.current(key[1]))
        return self._update(key, topic.start(key[1]))

    def _stop_unwatched(self, before: Iterable[Key]) -> None:
        watched = set[Key]().union(*self._watched.values())
        for topic, key in set(before) - watched:
            self._topics[topic].stop(key)
