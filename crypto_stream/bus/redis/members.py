"""The gateways that have joined the engine, over all relays. Pure: callers pass the time (s)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from crypto_stream.bus.interface import SILENCE_S
from crypto_stream.bus.redis.envelope import Up

# A gateway sends something twice a second; one that has been silent for this long is gone.
_GONE_S = SILENCE_S


class Member:
    """One gateway: `link` is the engine's connection that it joined over, by its number.

    `received` and `sent` number the newest message of it, and the newest one to it. `requests` counts
    those that are being answered.
    """

    __slots__ = ("gateway", "heard_s", "link", "name", "received", "requests", "sent")

    def __init__(self, gateway: bytes, link: int, now_s: float) -> None:
        self.gateway = gateway
        self.name = gateway.hex()
        self.link = link
        self.heard_s = now_s
        self.received = self.sent = self.requests = 0


class Members:
    """All gateways by name; each belongs to one link."""

    def __init__(self, left: Callable[[str, str], None]) -> None:
        """Call `left` with the name of a gateway that is gone, and the reason."""
        self._left = left
        self._members: dict[str, Member] = {}
        self._by_link: dict[int, set[str]] = {}

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._members.values()))

    def get(self, name: str) -> Member | None:
        """Return a gateway, None if it is gone."""
        return self._members.get(name)

    def has_any(self, link: int) -> bool:
        """Return whether any gateway has joined over a link."""
        return bool(self._by_link.get(link))

    def join(self, up: Up, link: int, now_s: float) -> Member:
        """Add a gateway, in place of the one that it names; repeating that changes nothing."""
        self.leave(up.body.hex(), "it has joined anew")
        name = up.gateway.hex()
        known = self._members.get(name)
        if known is not None and known.link == link:
            known.heard_s = now_s
            return known
        self.leave(name, "it has joined over another link")
        member = self._members[name] = Member(up.gateway, link, now_s)
        self._by_link.setdefault(link, set()).add(name)
        return member

    def take(self, up: Up, link: int, now_s: float) -> Member | None:
        """Return the sender of a message for this link; None if it is unknown or messages of it are missing.

        It must then join anew.
        """
        member = self._members.get(up.gateway.hex())
        if member is None or member.link != link or up.link != link:
            return None
        if up.number != member.received + 1:
            self.leave(member.name, "messages of it were lost")
            return None
        member.received, member.heard_s = up.number, now_s
        return member

    def leave(self, name: str, reason: str) -> None:
        """Remove a gateway, if it is known."""
        member = self._members.pop(name, None)
        if member is not None:
            self._by_link[member.link].discard(name)
            self._left(name, reason)

    def leave_link(self, link: int, reason: str) -> None:
        """Remove all gateways that had joined over a link that has ended."""
        for name in list(self._by_link.get(link, ())):
            self.leave(name, reason)
        self._by_link.pop(link, None)

    def leave_silent(self, now_s: float) -> None:
        """Remove the gateways that have been silent for too long."""
        for member in self:
            if now_s - member.heard_s > _GONE_S:
                self.leave(member.name, "it is silent")
