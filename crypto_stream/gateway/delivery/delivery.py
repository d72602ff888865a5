"""Sends the mirror's changes to viewers: one frame per channel and interval; slow viewers catch up later."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from crypto_stream.gateway.delivery.channels import Channel, Channels
from crypto_stream.gateway.delivery.frames import Frame, event
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.snapshots import Snapshots
from crypto_stream.gateway.delivery.viewers import MAX_UNSENT, MAX_WAITING, SLOW_CLIENT_TIMEOUT_S, Viewer
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.subscriptions import Subscription
from crypto_stream.market.status import Switch

# Viewers served, and seconds spent, before control is yielded to the other green threads.
_STRIDE = 200
_SLICE_S = 0.005

# Pairs of an event's name and its frame.
NamedFrames = list[tuple[str, Any]]


class Delivery:
    """Serves all viewers: quotes are conflated per channel, and every queue is bounded.

    One operation runs at a time (under a green lock), so no viewer gets an older frame after a newer one.
    Frames that a slow viewer cannot take are skipped and counted. Once its queue is empty it gets one
    snapshot, or, if it polls, the quotes that changed meanwhile; after 30 s it is cut off.
    """

    def __init__(
        self,
        mirror: Mirror,
        counters: DeliveryMetrics,
        hello: Callable[[], Frame],
        status: Callable[[], Frame],
        clock: Callable[[], float],
        yield_control: Callable[[], None],
        slow_client_timeout_s: float = SLOW_CLIENT_TIMEOUT_S,
    ) -> None:
        """`hello` and `status` make the frames of that name; `yield_control` lets other green threads run."""
        self.viewers: dict[str, Viewer] = {}
        self.channels = Channels()
        self._mirror = mirror
        self._counters = counters
        self._hello = hello
        self._status = status
        self._clock = clock
        self._yield_control = yield_control
        self._slow_client_timeout_s = slow_client_timeout_s
        self._slow: dict[str, Viewer] = {}
        self._snapshots = Snapshots(mirror, counters, clock)
        self._lock = threading.Lock()

    def add(self, viewer: Viewer) -> None:
        """Take a new viewer; it gets nothing before `hello`."""
        self.viewers[viewer.id] = viewer

    def send_hello(self, viewer: Viewer) -> None:
        """Send a new viewer `hello` and `status`; only the first call has an effect."""
        with self._lock:
            if viewer.id in self.viewers and not viewer.hello_sent:
                viewer.hello_sent = True
                viewer.pipe.pause_offers(False)
                self._put(viewer, "hello", self._hello())
                self._put(viewer, "status", self._status())

    def remove(self, viewer_id: str) -> bool:
        """Remove a viewer; False if it was not known."""
        self.channels.remove(viewer_id)
        self._slow.pop(viewer_id, None)
        viewer = self.viewers.pop(viewer_id, None)
        if viewer is None:
            return False
        viewer.pipe.pause_offers(True)
        return True

    def subscribe(self, viewer: Viewer, subscription: Subscription) -> None:
        """Move the viewer to the channel of its new subscription and send it a snapshot."""
        with self._lock:
            if viewer.id in self.viewers:
                channel = self.channels.move(viewer.id, subscription, self._mirror.version, viewer.pipe)
                self._slow.pop(viewer.id, None)
                viewer.mark_current()
                if viewer.unread_snapshot and viewer.pipe.waiting():  # queue no second snapshot
                    self._mark_slow(viewer)
                    viewer.needs_snapshot = True
                else:
                    self._send_snapshot(viewer, channel)

    def resolve_subscriptions(
        self, resolve: Callable[[Subscription], tuple[Subscription, Mapping[str, Any] | None]]
    ) -> None:
        """Replace each subscription by the one that `resolve` returns; send viewers what it refuses."""
        with self._lock:
            for channel in self.channels:
                subscription, refused = resolve(channel.subscription)
                if subscription == channel.subscription:
                    continue
                for viewer_id, pipe in list(channel.members.items()):
                    self.channels.move(viewer_id, subscription, self._mirror.version, pipe)
                    viewer = self.viewers.get(viewer_id)
                    if refused is not None and viewer is not None:
                        self._put(viewer, "refused", event("refused", refused))

    def unsubscribe(self, viewer: Viewer, subscription: Subscription) -> None:
        """Move the viewer to the channel of a smaller subscription; changes not yet sent are sent first."""
        with self._lock:
            old = self.channels.of(viewer.id)
            if viewer.id in self.viewers and old is not None:
                self._note_missed(viewer, old.sent)
                self.channels.move(viewer.id, subscription, self._mirror.version, viewer.pipe)
                self._catch_up(viewer)

    def flush(self, interval_ms: int) -> None:
        """Send each channel of this interval the changes since its last flush; its slow members catch up."""
        channels = self.channels.at(interval_ms)
        if not channels:
            return
        with self._lock:
            began = self._clock()
            for channel in channels:
                self._flush_quotes(channel)
                self._flush_extras(channel)
                for viewer in [self._slow[each] for each in self._slow.keys() & channel.members.keys()]:
                    self._catch_up(viewer)
                if self._clock() - began >= _SLICE_S:
                    self._yield_control()
                    began = self._clock()
            self._counters.flushes[interval_ms] += 1
        self._yield_control()  # reading a busy bus would starve everything else

    def catch_up(self) -> None:
        """Send a snapshot to the slow viewers that need one and can take it, whatever their interval."""
        with self._lock:
            for viewer in list(self._slow.values()):
                if viewer.needs_snapshot or self.channels.of(viewer.id) is None:
                    self._catch_up(viewer)

    def restart(self) -> None:
        """Send every viewer `hello` and a snapshot, because the data set or the instruments have changed."""
        with self._lock:
            hello = self._hello()
            for channel in self.channels:
                channel.sent = channel.extras_sent = self._mirror.version
            for viewer in self._connected(self.viewers):
                if viewer.slow_since_s is not None or viewer.pipe.waiting():
                    self._mark_slow(viewer)
                    viewer.needs_hello = viewer.needs_snapshot = True
                    continue
                self._put(viewer, "hello", hello)
                if present := self.channels.of(viewer.id):
                    self._send_snapshot(viewer, present)

    def send_instruments(self, added: Sequence[str], removed: Sequence[str]) -> None:
        """Tell every viewer which instruments were added and removed; a slow one gets `hello` later."""
        with self._lock:
            frame = event("instruments", {"added": added, "removed": removed})
            for viewer in self._connected(self.viewers):
                if viewer.slow_since_s is None and viewer.pipe.waiting() <= MAX_WAITING:
                    self._put(viewer, "instruments", frame)
                else:
                    self._mark_slow(viewer)
                    viewer.needs_hello = viewer.needs_snapshot = True

    def send_switch(self, switch: Switch) -> None:
        """Send a change of source to the viewers subscribed to one of its symbols."""
        with self._lock:
            positions = {symbol: at for at, symbol in enumerate(switch.symbols)}
            for channel in self.channels:
                symbols = channel.subscription.symbols.among(positions)
                if symbols:
                    frame = event("source", msgspec.structs.replace(switch, symbols=symbols))
                    self._offer_all([("source", frame)], channel.members)

    def send_status(self) -> None:
        """Send the states of the sources to every viewer except slow ones."""
        with self._lock:
            self._offer_all([("status", self._status())], self.viewers)

    def cut_slow(self) -> list[str]:
        """Cut off the viewers that have been slow for too long; return their ids."""
        due = self._clock() - self._slow_client_timeout_s
        slow = [
            one for one in self._slow.values() if one.slow_since_s is not None and one.slow_since_s <= due
        ]
        return [viewer.id for viewer in slow if self._cut(viewer)]

    def count_slow(self) -> int:
        """Count the viewers that are slow now."""
        return len(self._slow)

    def count_queued(self) -> int:
        """Count the frames queued for slow viewers."""
        return sum(viewer.pipe.waiting() for viewer in self._slow.values())

    def cut_if_overloaded(self, viewer: Viewer) -> bool:
        """Cut off a viewer that sends requests without reading the responses; True if it was cut off."""
        return viewer.pipe.waiting() > MAX_UNSENT and self._cut(viewer)

    def _cut(self, viewer: Viewer) -> bool:
        known = self.remove(viewer.id)
        viewer.pipe.drop()
        self._counters.disconnected_slow += known
        return known

    def _flush_quotes(self, channel: Channel) -> None:
        changed = self._mirror.changed(channel.subscription.symbols, channel.sent)
        if not changed:
            return
        since, channel.sent = channel.sent, self._mirror.version
        began = time.perf_counter()
        published = max(self._mirror.quotes[symbol].published for symbol in changed)
        self._send_newest(channel, self._quotes_frame(channel, changed, since), since)
        self._counters.flush_s.observe(time.perf_counter() - began)
        self._counters.latency(channel.subscription.interval_ms, time.time() - published / 1000)

    def _send_newest(self, channel: Channel, frame: Any, since: int) -> None:
        """Offer the frame to each member. This is the hot loop of the gateway."""
        frames = volume = 0
        members = list(channel.members.items())
        for start in range(0, len(members), _STRIDE):
            if start:
                self._yield_control()
            for viewer_id, pipe in members[start : start + _STRIDE]:
                if size := pipe.offer(frame):
                    frames += 1
                    volume += size
                else:
                    self._skip(viewer_id, since)
        self._counters.frames["quotes"] += frames
        self._counters.bytes += volume

    def _skip(self, viewer_id: str, since: int) -> None:
        viewer = self.viewers.get(viewer_id)
        if viewer is not None and viewer.hello_sent:
            self._counters.skipped += 1
            self._note_missed(viewer, since)

    def _flush_extras(self, channel: Channel) -> None:
        since, channel.extras_sent = channel.extras_sent, self._mirror.version
        frames = self._extras(channel, since)
        if frames:
            self._offer_all(frames, channel.members)

    def _extras(self, channel: Channel, since: int) -> NamedFrames:
        """Encode what changed after `since` in the topics of the channel's subscription."""
        if not channel.subscription.watches:
            return []
        topics = self._mirror.topics
        changes = (
            (topic, topics.since(topic, key, since))
            for topic, key in channel.subscription.keys(self._mirror.catalogue.positions)
        )
        return [(topic, event(topic, payload)) for topic, payload in changes if payload is not None]

    def _quotes_frame(self, channel: Channel, symbols: Iterable[str], since: int) -> Any:
        self._counters.encoded += 1
        if channel.subscription.delta:
            return event("quotes", [self._mirror.delta(symbol, since) for symbol in symbols])
        return event("quotes", [self._mirror.quotes[symbol] for symbol in symbols])

    def _send_snapshot(self, viewer: Viewer, channel: Channel) -> None:
        viewer.unread_snapshot = True
        events = self._snapshots.of(channel.subscription.symbols)
        for name, frame in [*events, *self._extras(channel, 0)]:
            self._put(viewer, name, frame)

    def _offer_all(self, frames: NamedFrames, members: Iterable[str]) -> None:
        for viewer in self._connected(members):
            self._offer(viewer, frames)

    def _offer(self, viewer: Viewer, frames: NamedFrames) -> None:
        """Send or queue the frames, unless too many are queued already: then the viewer is slow."""
        if viewer.pipe.waiting() <= MAX_WAITING:
            for name, frame in frames:
                self._put(viewer, name, frame)
            return
        self._counters.skipped += 1
        self._mark_slow(viewer)

    def _put(self, viewer: Viewer, name: str, frame: Any) -> None:
        self._counters.bytes += viewer.pipe.put(frame)
        self._counters.frames[name] += 1

    def _mark_slow(self, viewer: Viewer) -> None:
        if viewer.slow_since_s is None:
            viewer.slow_since_s = self._clock()
            viewer.pipe.pause_offers(True)
            self._slow[viewer.id] = viewer

    def _note_missed(self, viewer: Viewer, since: int) -> None:
        """Note that a viewer misses all changes after `since`; on a WebSocket it needs a snapshot."""
        self._mark_slow(viewer)
        viewer.missed_since = since if viewer.missed_since is None else min(viewer.missed_since, since)
        if not viewer.pipe.polling() and viewer.pipe.waiting():
            viewer.needs_snapshot = True

    def _catch_up(self, viewer: Viewer) -> None:
        if viewer.pipe.waiting():
            return
        channel = self.channels.of(viewer.id)
        if viewer.needs_hello:
            self._put(viewer, "hello", self._hello())
        if channel and viewer.needs_snapshot:
            self._send_snapshot(viewer, channel)
            self._counters.caught_up += 1
        elif channel and viewer.missed_since is not None:
            changed = self._mirror.changed(channel.subscription.symbols, viewer.missed_since)
            if changed:
                self._put(viewer, "quotes", self._quotes_frame(channel, changed, viewer.missed_since))
            for name, frame in self._extras(channel, viewer.missed_since):
                self._put(viewer, name, frame)
        viewer.mark_current()
        self._slow.pop(viewer.id, None)

    def _connected(self, members: Iterable[str]) -> Iterable[Viewer]:
        """Iterate over the members that have got `hello` and are still connected, yielding now and then."""
        for number, viewer_id in enumerate(list(members), 1):
            viewer = self.viewers.get(viewer_id)
            if viewer is not None and viewer.hello_sent:
                yield viewer
            if not number % _STRIDE:
                self._yield_control()
