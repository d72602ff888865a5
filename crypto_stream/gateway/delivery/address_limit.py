"""Limits the WebSockets and Socket.IO sessions of one client address."""

from __future__ import annotations

import ipaddress
from collections import Counter


class AddressLimit:
    """Counts connections per address; the IPv6 addresses of one host (a /64) count as one address."""

    def __init__(self, max_connections: int) -> None:
        self.max_connections = max_connections
        self._counts: Counter[str] = Counter()

    def full(self, address: str) -> bool:
        """Return whether this address has reached the limit."""
        return self._counts[_host(address)] >= self.max_connections

    def add(self, address: str) -> None:
        """Count one more connection."""
        self._counts[_host(address)] += 1

    def remove(self, address: str) -> None:
        """Count one connection less."""
        host = _host(address)
        self._counts[host] -= 1
        if self._counts[host] <= 0:
            del self._counts[host]


def _host(address: str) -> str:
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))
