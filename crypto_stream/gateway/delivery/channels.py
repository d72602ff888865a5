"""Channels: groups of viewers with the same subscription. Pure.

A viewer is in at most one channel; a channel exists while it has members.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crypto_stream.gateway.subscriptions import Subscription


class Channel:
    """The viewers with one subscription: each frame is encoded once for all of them.

    `sent` (quotes) and `extras_sent` (topics) are the mirror's version at the last flush.
    """

    __slots__ = ("extras_sent", "members", "sent", "subscription")

    def __init__(self, subscription: Subscription, version: int) -> None:
        """Start without members; changes up to `version` count as sent."""
        self.subscription = subscription
        self.members: dict[str, Any] = {}  # pipes by viewer, in the order of joining
        self.sent = version
        self.extras_sent = version


class Channels:
    """All channels, by subscription, by interval and by viewer.

    `watching_changes` counts how often a channel with topics began or ended: while it stays, viewers want
    the same topics.
    """

    def __init__(self) -> None:
        self.watching_changes = 0
        self._by_subscription: dict[Subscription, Channel] = {}
        self._by_interval: dict[int, dict[Subscription, Channel]] = {}
        self._by_viewer: dict[str, Channel] = {}

    def __iter__(self) -> Iterator[Channel]:
        return iter(list(self._by_subscription.values()))

    def __len__(self) -> int:
        return len(self._by_subscription)

    def of(self, viewer: str) -> Channel | None:
        """Return the viewer's channel, None if it has not subscribed."""
        return self._by_viewer.get(viewer)

    def at(self, interval_ms: int) -> list[Channel]:
        """List the channels of one interval."""
        return list(self._by_interval.get(interval_ms, {}).values())

    def move(self, viewer: str, subscription: Subscription, version: int, pipe: Any = None) -> Channel:
        """Move the viewer to the channel of `subscription`; a new channel starts at `version`."""
        self.remove(viewer)
        channel = self._by_subscription.get(subscription)
        if channel is None:
            channel = self._by_subscription[subscription] = Channel(subscription, version)
            self._by_interval.setdefault(subscription.interval_ms, {})[subscription] = channel
            self.watching_changes += subscription.watches
        channel.members[viewer] = pipe
        self._by_viewer[viewer] = channel
        return channel

    def remove(self, viewer: str) -> None:
        """Remove the viewer from its channel, if it is in one."""
        channel = self._by_viewer.pop(viewer, None)
        if channel is None:
            return
        del channel.members[viewer]
        if not channel.members:
            del self._by_subscription[channel.subscription]
            del self._by_interval[channel.subscription.interval_ms][channel.subscription]
            self.watching_changes += channel.subscription.watches
