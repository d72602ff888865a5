"""How much of this gateway each client address holds: WebSockets and Socket.IO sessions, polling ones too."""

from __future__ import annotations

import ipaddress
from collections import Counter


class Presence:
    """Count what each address holds, at most `most`; one host's IPv6 addresses (a /64) are one address."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: Counter[str] = Counter()

    def full(self, address: str) -> bool:
        """Say whether this address may hold no more."""
        return self._held[_of_one(address)] >= self.most

    def enter(self, address: str) -> None:
        """Count one more."""
        self._held[_of_one(address)] += 1

    def leave(self, address: str) -> None:
        """Count one less."""
        one = _of_one(address)
        self._held[one] -= 1
        if self._held[one] <= 0:
            del self._held[one]


def _of_one(address: str) -> str:
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))
