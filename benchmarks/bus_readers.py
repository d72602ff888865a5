"""Ends of gateways that only read: each with a mirror, as a gateway without viewers has."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from crypto_stream.bus.backends import gateway_port
from crypto_stream.bus.messages import Quotes, ToGateway
from crypto_stream.gateway.mirror import Mirror


class Readers:
    """Several ends in this process; the ages of all quotes that they receive."""

    def __init__(self, bus: str, path: Path, count: int) -> None:
        """Make the ends; nothing is connected before `start`."""
        self._ages: list[float] = []
        self._mirrors = [Mirror() for _ in range(count)]
        self._ports = [gateway_port(bus, path) for _ in range(count)]
        self._resets = 0

    def start(self) -> None:
        """Connect all."""
        for port, mirror in zip(self._ports, self._mirrors, strict=True):
            threading.Thread(target=port.run, args=(self._taker(mirror), self._reset), daemon=True).start()

    def ready(self) -> bool:
        """Return whether all have the state."""
        return all(mirror.epoch is not None for mirror in self._mirrors)

    def begin(self) -> None:
        """Forget what was received so far."""
        self._ages.clear()
        self._resets = 0

    def report(self) -> dict[str, float | None]:
        """Return what was received since `begin`: messages, ages in ms, and connections that were lost."""
        ages = sorted(self._ages)
        p50, p99 = (ages[int(len(ages) * share)] * 1000 if ages else None for share in (0.5, 0.99))
        return {"messages": len(ages), "p50_ms": p50, "p99_ms": p99, "resets": self._resets}

    def _taker(self, mirror: Mirror) -> Taker:
        return Taker(mirror, self._ages)

    def _reset(self) -> None:
        self._resets += 1


class Taker:
    """Puts messages into a mirror; a quote's `bid_size` is the moment when it was published."""

    def __init__(self, mirror: Mirror, ages: list[float]) -> None:
        """Append the age of each quote to `ages`."""
        self._mirror = mirror
        self._ages = ages

    def __call__(self, messages: Sequence[ToGateway]) -> None:
        """Take the messages of one read."""
        for message in messages:
            self._mirror.receive(message, time.monotonic())
            if isinstance(message, Quotes):
                self._ages.append(time.monotonic() - float(message.quotes[0].bid_size or 0))
