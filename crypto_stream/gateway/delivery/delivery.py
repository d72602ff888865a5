"""From the mirror to viewers: who gets which frame when, and what the slow get instead."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from crypto_stream.gateway.delivery.channels import Channel, Channels
from crypto_stream.gateway.delivery.frames import Frame, event
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.snapshots import Snapshots
from crypto_stream.gateway.delivery.subscriptions import Subscription
from crypto_stream.gateway.delivery.viewers import MOST_OWED, MOST_WAITING, PATIENCE_S, Viewer
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.market.status import Switch

# Members served, and seconds spent, before the others of this process get a turn.
_STRIDE = 200
_SLICE_S = 0.005

# Frames with the names of their events.
Named = list[tuple[str, Any]]


class Delivery:
    """Serve viewers from the mirror: quotes conflated per channel, nothing queued without bound.

    One operation runs at a time (a green lock), so no viewer sees an older frame after a newer one. What a
    viewer cannot take is skipped and counted; when it has drained it gets one snapshot (a polling one the
    changes it missed); after 30 s behind it is cut.
    """

    def __init__(
        self,
        mirror: Mirror,
        counters: DeliveryMetrics,
        hello: Callable[[], Frame],
        status: Callable[[], Frame],
        clock: Callable[[], float],
        breathe: Callable[[], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Serve from `mirror`; `hello` and `status` make their frames, `breathe` lets others run."""
        self.viewers: dict[str, Viewer] = {}
        self.channels = Channels()
        self._mirror = mirror
        self._counters = counters
        self._hello = hello
        self._status = status
        self._clock = clock
        self._breathe = breathe
        self._patience_s = patience_s
        self._late: dict[str, Viewer] = {}
        self._snapshots = Snapshots(mirror, counters)
        self._turn = threading.Lock()

    def admit(self, viewer: Viewer) -> None:
        """Take a new viewer; it gets nothing before it was greeted."""
        self.viewers[viewer.id] = viewer

    def greet(self, viewer: Viewer) -> None:
        """Say hello to a new viewer, and how the sources are; the second time nothing happens."""
        with self._turn:
            if viewer.id in self.viewers and not viewer.greeted:
                viewer.greeted = True
                viewer.pipe.mute(False)
                self._put(viewer, "hello", self._hello())
                self._put(viewer, "status", self._status())

    def leave(self, viewer_id: str) -> bool:
        """Forget a viewer; False when it was not known."""
        self.channels.remove(viewer_id)
        self._late.pop(viewer_id, None)
        viewer = self.viewers.pop(viewer_id, None)
        if viewer is None:
            return False
        viewer.pipe.mute(True)
        return True

    def grant(self, viewer: Viewer, wish: Subscription) -> None:
        """Move the viewer to the channel of `wish` and send it a snapshot."""
        with self._turn:
            if viewer.id in self.viewers:
                channel = self.channels.place(viewer.id, wish, self._mirror.version, viewer.pipe)
                self._late.pop(viewer.id, None)
                viewer.settle()
                if viewer.has_unread and viewer.pipe.waiting():  # one more would only make it owe more
                    self._be_late(viewer)
                    viewer.owes_snapshot = True
                else:
                    self._give_snapshot(viewer, channel)

    def settle(self, judge: Callable[[Subscription], tuple[Subscription, Mapping[str, Any] | None]]) -> None:
        """Move every viewer to the channel of what `judge` makes of its wish; tell it what was refused."""
        with self._turn:
            for channel in self.channels:
                wish, refused = judge(channel.wish)
                for viewer_id, pipe in list(channel.members.items()) if wish != channel.wish else ():
                    self.channels.place(viewer_id, wish, self._mirror.version, pipe)
                    viewer = self.viewers.get(viewer_id)
                    if refused is not None and viewer is not None:
                        self._put(viewer, "refused", event("refused", refused))

    def narrow(self, viewer: Viewer, wish: Subscription) -> None:
        """Move the viewer to the channel of a smaller `wish`; what it was still to get comes at once."""
        with self._turn:
            old = self.channels.of(viewer.id)
            if viewer.id in self.viewers and old is not None:
                self._owe(viewer, old.sent)
                self.channels.place(viewer.id, wish, self._mirror.version, viewer.pipe)
                self._catch_up(viewer)

    def flush(self, interval_ms: int) -> None:
        """Send every channel of this interval what changed since its last flush."""
        channels = self.channels.at(interval_ms)
        with self._turn:
            began = self._clock()
            for channel in channels:
                self._flush_quotes(channel)
                self._flush_extras(channel)
                if self._clock() - began >= _SLICE_S:
                    self._breathe()
                    began = self._clock()
            if channels:
                self._counters.flushes[interval_ms] += 1
            for viewer in list(self._late.values()):
                now_in = self.channels.of(viewer.id)
                soon = viewer.owes_snapshot and not interval_ms
                if soon or now_in is None or now_in.wish.interval_ms == interval_ms:
                    self._catch_up(viewer)
        if channels:
            self._breathe()  # reading a busy bus alone would let nobody else run

    def restart(self) -> None:
        """Tell everybody of other data, or instruments: `hello`, then a snapshot."""
        with self._turn:
            hello = self._hello()
            for channel in self.channels:
                channel.sent = channel.extras_sent = self._mirror.version
            for viewer in self._in_turn(self.viewers):
                if viewer.late_since_s is not None or viewer.pipe.waiting():
                    self._be_late(viewer)
                    viewer.owes_hello = viewer.owes_snapshot = True
                    continue
                self._put(viewer, "hello", hello)
                if present := self.channels.of(viewer.id):
                    self._give_snapshot(viewer, present)

    def switched(self, switch: Switch) -> None:
        """Tell those who watch one of the symbols that its source changed."""
        with self._turn:
            for channel in self.channels:
                symbols = channel.wish.symbols.among(switch.symbols)
                if symbols:
                    frame = event("source", msgspec.structs.replace(switch, symbols=symbols))
                    self._offer_all([("source", frame)], channel.members)

    def tell_status(self) -> None:
        """Offer the sources' states to every viewer; who is behind goes without."""
        with self._turn:
            self._offer_all([("status", self._status())], self.viewers)

    def cut_slow(self) -> list[str]:
        """Cut the viewers that are 30 s behind; return who they were."""
        now = self._clock()
        slow = [
            viewer
            for viewer in self._late.values()
            if viewer.late_since_s is not None and now - viewer.late_since_s >= self._patience_s
        ]
        return [viewer.id for viewer in slow if self._cut(viewer)]

    def behind(self) -> int:
        """Count the viewers that cannot keep up now."""
        return len(self._late)

    def depth(self) -> int:
        """Count the frames that wait for those viewers."""
        return sum(viewer.pipe.waiting() for viewer in self._late.values())

    def overfull(self, viewer: Viewer) -> bool:
        """Cut a viewer that asks and asks but takes no answer; True when it was cut."""
        return viewer.pipe.waiting() > MOST_OWED and self._cut(viewer)

    def _cut(self, viewer: Viewer) -> bool:
        known = self.leave(viewer.id)
        viewer.pipe.drop()
        self._counters.disconnected_slow += known
        return known

    def _symbols(self, channel: Channel) -> Iterable[str]:
        symbols = channel.wish.symbols
        return symbols.among(self._mirror.quotes) if symbols.everything else symbols.names

    def _flush_quotes(self, channel: Channel) -> None:
        changed = self._mirror.changed(self._symbols(channel), channel.sent)
        if not changed:
            return
        since, channel.sent = channel.sent, self._mirror.version
        began = time.perf_counter()
        published = max(self._mirror.quotes[symbol].published for symbol in changed)
        self._send_newest(channel, self._quotes_frame(channel, changed, since), since)
        self._counters.flush_s.observe(time.perf_counter() - began)
        self._counters.latency(channel.wish.interval_ms, time.time() - published / 1000)

    def _send_newest(self, channel: Channel, frame: Any, since: int) -> None:
        """Offer the frame to each member: the loop that all the speed depends on."""
        frames = volume = 0
        members = list(channel.members.items())
        for start in range(0, len(members), _STRIDE):
            if start:
                self._breathe()
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
        if viewer is not None and viewer.greeted:
            self._counters.skipped += 1
            self._owe(viewer, since)

    def _flush_extras(self, channel: Channel) -> None:
        if not channel.wish.watches:
            return
        since, channel.extras_sent = channel.extras_sent, self._mirror.version
        frames = self._extras(channel, since)
        if frames:
            self._offer_all(frames, channel.members)

    def _extras(self, channel: Channel, since: int) -> Named:
        """Give what changed after `since` of the topics that the channel wishes for."""
        if not channel.wish.watches:
            return []
        topics = self._mirror.topics
        news = (
            (topic, topics.since(topic, key, since))
            for topic, key in channel.wish.keys(self._symbols(channel))
        )
        return [(topic, event(topic, payload)) for topic, payload in news if payload is not None]

    def _quotes_frame(self, channel: Channel, symbols: Iterable[str], since: int) -> Any:
        self._counters.encoded += 1
        if channel.wish.delta:
            return event("quotes", [self._mirror.delta(symbol, since) for symbol in symbols])
        return event("quotes", [self._mirror.quotes[symbol] for symbol in symbols])

    def _give_snapshot(self, viewer: Viewer, channel: Channel) -> None:
        viewer.has_unread = True
        self._put(viewer, "snapshot", self._snapshots.of(channel.wish.symbols))
        for name, frame in self._extras(channel, 0):
            self._put(viewer, name, frame)

    def _offer_all(self, frames: Named, members: Iterable[str]) -> None:
        for viewer in self._in_turn(members):
            self._offer(viewer, frames)

    def _offer(self, viewer: Viewer, frames: Named) -> None:
        """Put the frames unless too much waits for the viewer: then it is counted as behind."""
        if viewer.pipe.waiting() <= MOST_WAITING:
            for name, frame in frames:
                self._put(viewer, name, frame)
            return
        self._counters.skipped += 1
        self._be_late(viewer)

    def _put(self, viewer: Viewer, name: str, frame: Any) -> None:
        self._counters.bytes += viewer.pipe.put(frame)
        self._counters.frames[name] += 1

    def _be_late(self, viewer: Viewer) -> None:
        if viewer.late_since_s is None:
            viewer.late_since_s = self._clock()
            viewer.pipe.mute(True)
            self._late[viewer.id] = viewer

    def _owe(self, viewer: Viewer, since: int) -> None:
        """Remember that a viewer knows nothing after `since`; a slow WebSocket viewer gets a snapshot."""
        self._be_late(viewer)
        viewer.owed_since = since if viewer.owed_since is None else min(viewer.owed_since, since)
        if not viewer.pipe.polling() and viewer.pipe.waiting():
            viewer.owes_snapshot = True

    def _catch_up(self, viewer: Viewer) -> None:
        if viewer.pipe.waiting():
            return
        channel = self.channels.of(viewer.id)
        if viewer.owes_hello:
            self._put(viewer, "hello", self._hello())
        if channel and viewer.owes_snapshot:
            self._give_snapshot(viewer, channel)
            self._counters.caught_up += 1
        elif channel and viewer.owed_since is not None:
            changed = self._mirror.changed(self._symbols(channel), viewer.owed_since)
            if changed:
                self._put(viewer, "quotes", self._quotes_frame(channel, changed, viewer.owed_since))
            for name, frame in self._extras(channel, viewer.owed_since):
                self._put(viewer, name, frame)
        viewer.settle()
        self._late.pop(viewer.id, None)

    def _in_turn(self, members: Iterable[str]) -> Iterable[Viewer]:
        """Walk over those members that are greeted and still here, letting others run now and then."""
        for number, viewer_id in enumerate(list(members), 1):
            viewer = self.viewers.get(viewer_id)
            if viewer is not None and viewer.greeted:
                yield viewer
            if not number % _STRIDE:
                self._breathe()
