"""Who is in which channel. Pure bookkeeping: a viewer is in at most one, an empty channel is gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crypto_stream.gateway.delivery.subscriptions import Subscription


class Channel:
    """Viewers with the same wish: each of its frames is encoded once for all of them.

    `sent` (quotes) and `extras_sent` (topics) are the mirror's version at the last flush.
    """

    __slots__ = ("extras_sent", "members", "sent", "wish")

    def __init__(self, wish: Subscription, version: int) -> None:
        """Begin with no member, everything up to `version` taken as sent."""
        self.wish = wish
        self.members: dict[str, Any] = {}  # each with its pipe, in the order of joining
        self.sent = version
        self.extras_sent = version


class Channels:
    """All channels, by wish, by interval and by viewer."""

    def __init__(self) -> None:
        self._by_wish: dict[Subscription, Channel] = {}
        self._by_interval: dict[int, dict[Subscription, Channel]] = {}
        self._by_viewer: dict[str, Channel] = {}

    def __iter__(self) -> Iterator[Channel]:
        return iter(list(self._by_wish.values()))

    def __len__(self) -> int:
        return len(self._by_wish)

    def of(self, viewer: str) -> Channel | None:
        """Return the viewer's channel, None while it wishes nothing."""
        return self._by_viewer.get(viewer)

    def at(self, interval_ms: int) -> list[Channel]:
        """List the channels of one interval."""
        return list(self._by_interval.get(interval_ms, {}).values())

    def place(self, viewer: str, wish: Subscription, version: int, pipe: Any = None) -> Channel:
        """Move the viewer with its pipe into the channel of `wish`; a new channel begins at `version`."""
        self.remove(viewer)
        channel = self._by_wish.get(wish)
        if channel is None:
            channel = self._by_wish[wish] = Channel(wish, version)
            self._by_interval.setdefault(wish.interval_ms, {})[wish] = channel
        channel.members[viewer] = pipe
        self._by_viewer[viewer] = channel
        return channel

    def remove(self, viewer: str) -> None:
        """Take the viewer out of its channel, if it is in one."""
        channel = self._by_viewer.pop(viewer, None)
        if channel is None:
            return
        del channel.members[viewer]
        if not channel.members:
            del self._by_wish[channel.wish]
            del self._by_interval[channel.wish.interval_ms][channel.wish]
