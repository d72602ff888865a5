"""Topics: live streams of changes that gateways watch, each with its own keys."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from msgspec.structs import replace

from crypto_stream.bus.codec import encode_value
from crypto_stream.bus.interface import WATCH_EXPIRES_S
from crypto_stream.bus.messages import TopicUpdate, Watched
from crypto_stream.errors import RefusedError
from crypto_stream.log_throttle import LogThrottle

log = logging.getLogger(__name__)

# Different keys that all gateways together may watch: five topics of 2,000 instruments. Each costs 2 kB, and
# up to 5 µs each `every_s` of its topic to find out that nothing has changed.
MAX_WATCHED = 10_000
# New keys of one request, each of which takes up to 0.2 ms; nothing else is done meanwhile.
MAX_NEW = 500
# A round leaves out what was sent more recently than this part of `every_s`; rounds are further apart.
_SPACING = 0.9

Key = tuple[str, str]


class Topic(Protocol):
    """One live stream, identified by `name`; its updates can be anything that msgpack encodes.

    Changes are sent each `every_s` seconds, at most.
    """

    name: str
    every_s: float

    def has(self, key: str) -> bool:
        """Return whether this key exists."""

    def current(self, key: str) -> object:
        """Return the current state of a key."""

    def asked(self, key: str) -> object:
        """Return, or return an awaitable of, the state of a key for somebody who does not watch it."""

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
        # The same by topic and key: the gateways that watch it, at least one. A round reads nothing else.
        self._watchers: dict[str, dict[str, list[str]]] = {name: {} for name in self._topics}
        self._refreshed_s: dict[str, float] = {}
        self._sent_s: dict[Key, float] = {}
        self._hurried: set[Key] = set()
        self._throttle = LogThrottle()

    def get(self, topic: str, key: str) -> object:
        """Return the current state of a key, or an awaitable of it; RefusedError if it does not exist."""
        if not self._has(topic, key):
            raise RefusedError("unknown_key", f"there is no {topic} of {key!r}")
        return self._topics[topic].asked(key)

    def watch(self, gateway: str, keys: Mapping[str, Sequence[str]]) -> Watched:
        """Replace what `gateway` watches; return the current state of the keys that are new for it.

        If there are more keys than may be watched, those that are watched already stay.
        """
        requested = {(topic, key): None for topic, each in keys.items() for key in each}
        self._refreshed_s[gateway] = self._clock()
        watched = self._watched.setdefault(gateway, set())
        for key in watched - requested.keys():
            self._leave(gateway, key)
        answer = Watched([], [])
        for key in [key for key in requested if key not in watched]:
            if not self._has(*key):
                answer.unknown.append(key)
            elif not self._has_room(*key):
                answer.no_room.append(key)
            elif len(answer.now) < MAX_NEW:
                answer.now.append(self._join(gateway, key))
            else:
                answer = replace(answer, more=True)
                break
        if answer.no_room and self._throttle.due("no room"):
            log.warning(
                "more topics are watched than is allowed; if by few addresses, lower max_per_address",
                extra={"gateway": gateway, "left_out": len(answer.no_room), "limit": MAX_WATCHED},
            )
        return answer

    def remove(self, gateway: str) -> None:
        """Forget what this gateway watched."""
        self._refreshed_s.pop(gateway, None)
        for key in list(self._watched.get(gateway, ())):
            self._leave(gateway, key)
        self._watched.pop(gateway, None)

    def happened(self, topic: str, key: str) -> None:
        """Send the changes of a key in this iteration of the event loop, unless some were just sent.

        What is not sent now is sent by the next round.
        """
        changed = (topic, key)
        if changed in self._hurried or key not in self._watchers[topic]:
            return
        if self._clock() - self._sent_s.get(changed, 0.0) >= self._topics[topic].every_s:
            self._hurried.add(changed)
            asyncio.get_running_loop().call_soon(self._send_hurried, changed)

    def drop_unknown(self) -> None:
        """Stop watching the keys of instruments that were removed."""
        for topic, watchers in self._watchers.items():
            for key in [key for key in watchers if not self._has(topic, key)]:
                for gateway in list(watchers[key]):
                    self._leave(gateway, (topic, key))

    async def run(self) -> None:
        """Send changes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for every_s in {topic.every_s for topic in self._topics.values()}:
                tasks.create_task(self._run(every_s))

    async def _run(self, every_s: float) -> None:
        topics = [name for name, topic in self._topics.items() if topic.every_s == every_s]
        while True:
            await asyncio.sleep(every_s)
            self.send_changes(topics, every_s * _SPACING)

    def send_changes(self, topics: Collection[str] | None = None, spacing_s: float = 0.0) -> None:
        """Send all watching gateways what changed since the last call, of these topics (None: of all).

        Keys of which something was sent less than `spacing_s` ago wait for the next call.
        """
        due = self._clock() - WATCH_EXPIRES_S
        for gateway in [gateway for gateway, at_s in self._refreshed_s.items() if at_s < due]:
            log.warning("a gateway no longer refreshes what it watches", extra={"gateway": gateway})
            self.remove(gateway)
        before_s = self._clock() - spacing_s
        for topic in self._topics if topics is None else topics:
            for key in [(topic, key) for key in self._watchers[topic]]:
                if self._sent_s.get(key, 0.0) <= before_s:
                    self._send_changes_of(key)

    def _has(self, topic: str, key: str) -> bool:
        return topic in self._topics and self._topics[topic].has(key)

    def _has_room(self, topic: str, key: str) -> bool:
        """Return whether a key may be watched; one that other gateways watch costs next to nothing."""
        return key in self._watchers[topic] or sum(map(len, self._watchers.values())) < MAX_WATCHED

    def _send_hurried(self, key: Key) -> None:
        self._hurried.discard(key)
        if key[1] in self._watchers[key[0]]:
            self._sent_s[key] = self._clock()  # also if nothing has changed, which took time to find out
            self._send_changes_of(key)

    def _send_changes_of(self, key: Key) -> None:
        topic, name = key
        watchers = self._watchers[topic].get(name)
        if watchers and (changes := self._topics[topic].changes(name)) is not None:
            self._sent_s[key] = self._clock()
            self._send(list(watchers), self._update(key, changes))

    def _update(self, key: Key, payload: object) -> TopicUpdate:
        """Number an update; numbers follow the clock, so that they increase over restarts, too."""
        self._version = max(self._version + 1, time.time_ns() // 1000)
        return TopicUpdate(*key, self._version, encode_value(payload))

    def _join(self, gateway: str, key: Key) -> TopicUpdate:
        """Let a gateway watch a key that it did not watch; return the current state."""
        topic, name = self._topics[key[0]], key[1]
        watchers = self._watchers[topic.name]
        if name in watchers:
            self._send_changes_of(key)  # bring present watchers to the state that the new one gets
        state = topic.current(name) if name in watchers else topic.start(name)
        watchers.setdefault(name, []).append(gateway)
        self._watched[gateway].add(key)
        return self._update(key, state)

    def _leave(self, gateway: str, key: Key) -> None:
        """Let a gateway no longer watch a key that it watches."""
        topic, name = self._topics[key[0]], key[1]
        watchers = self._watchers[topic.name]
        self._watched[gateway].remove(key)
        watchers[name].remove(gateway)
        if not watchers[name]:
            del watchers[name]
            topic.stop(name)
            self._sent_s.pop(key, None)
