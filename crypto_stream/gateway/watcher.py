"""Which topics the engine must send, because viewers are subscribed to them."""

from __future__ import annotations

import logging
import threading
import time

import msgspec

from crypto_stream.bus.interface import WATCH_REFRESH_S, GatewayPort
from crypto_stream.bus.messages import Watch, Watched
from crypto_stream.errors import BusError, RefusedError
from crypto_stream.gateway.delivery.delivery import Delivery
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.topics import AsOf
from crypto_stream.wall_clock import wall_ms

log = logging.getLogger(__name__)

# Seconds between two requests for each key in them: however many viewers come and go, requests cost gateway
# and engine a few per cent of a core at most. A few keys are requested at once, 2,000 ten times a second.
_PAUSE_S = 50e-6


class Watcher:
    """Keeps the engine informed of the topics that this gateway's viewers are subscribed to."""

    def __init__(self, delivery: Delivery, mirror: Mirror, port: GatewayPort) -> None:
        """`run` sends the requests, one at a time; one is `due` when topics have changed."""
        self.due = threading.Event()
        self._delivery = delivery
        self._mirror = mirror
        self._port = port
        self._keys: dict[tuple[str, str], None] = {}
        self._watching_changes = 0

    def refresh(self) -> None:
        """Send the topics soon; also needed after every reconnect, because the engine has forgotten them."""
        self.due.set()

    def refresh_if_changed(self) -> None:
        """Send the topics soon if viewers may want others than those sent last."""
        if self._delivery.channels.watching_changes != self._watching_changes:
            self.refresh()

    def run(self) -> None:
        """Send the topics after each `refresh`, and regularly while there are any, for ever."""
        while True:
            self.due.wait(WATCH_REFRESH_S if self._keys else None)
            self.send()
            time.sleep(len(self._keys) * _PAUSE_S)

    def send(self) -> None:
        """Send the topics, unless there are none and were none."""
        self.due.clear()
        before, self._keys = self._keys, self._wanted()
        more = bool(self._keys or before)
        while more:
            more = self._request()
        self._mirror.topics.keep(self._keys.keys())

    def _request(self) -> bool:
        """Send one request; return whether the engine left some of its keys for another one."""
        by_topic: dict[str, list[str]] = {}
        for topic, key in self._keys:
            by_topic.setdefault(topic, []).append(key)
        try:
            watched = msgspec.msgpack.decode(self._port.request(Watch(by_topic)), type=Watched)
        except (BusError, RefusedError) as error:
            log.warning("watch request failed", extra={"reason": str(error)})
            return False
        if watched.unknown:
            log.info("the engine has no such keys", extra={"keys": str(watched.unknown[:10])})
        if watched.now or watched.no_room:
            self._show(watched)
        return watched.more

    def _show(self, watched: Watched) -> None:
        mirror = self._mirror
        mirror.version += 1
        now = AsOf(mirror.epoch or "", mirror.seq, wall_ms())
        mirror.topics.no_room(watched.no_room, now, mirror.version)
        for update in watched.now:
            mirror.receive(update, time.monotonic())
        self._delivery.flush(0)

    def _wanted(self) -> dict[tuple[str, str], None]:
        """Return the keys, those of the oldest channels first, in case there is no room for all."""
        channels = self._delivery.channels
        self._watching_changes = channels.watching_changes
        positions = self._mirror.catalogue.positions  # the quote of an added one may come later
        return {
            key: None
            for channel in channels
            if channel.subscription.watches
            for key in channel.subscription.keys(positions)
        }
