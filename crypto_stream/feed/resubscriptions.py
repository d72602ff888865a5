"""When to resubscribe to instruments for which a venue sends nothing; no refusal is permanent. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from crypto_stream.backoff import Backoff

FIRST_NS = 30_000_000_000
_MAX_NS = 300_000_000_000
_SOON_NS = 2_000_000_000
# If a venue refuses hundreds of pairs, a few at a time are retried.
_AT_ONCE = 20
_PAUSE_NS = 10_000_000_000


class Resubscriptions:
    """Resubscribe 30 s after a request that brought no data, then after twice as long, up to 5 minutes.

    After a temporary refusal the first delay is 2 s, and doubles too. It ends when data arrives.
    """

    def __init__(self) -> None:
        self._due: dict[str, tuple[int, Backoff]] = {}  # symbol → when, and the delays after that
        self._busy: dict[str, Backoff] = {}  # symbol → the delays after its next temporary refusals
        self._next_ns = 0
        self._idle_until_ns = 0  # nothing is due before

    def __bool__(self) -> bool:
        """Return whether any symbol still waits for data."""
        return bool(self._due)

    def requested(self, symbols: Iterable[str], now_ns: int) -> None:
        """Record that `symbols` were requested; those already scheduled remain so."""
        for symbol in symbols:
            if symbol not in self._due:
                delays = Backoff(FIRST_NS, _MAX_NS)
                self._schedule(symbol, now_ns + round(delays.next_delay()), delays)

    def refused_for_now(self, symbols: Iterable[str], now_ns: int) -> None:
        """Record that the venue refused `symbols` temporarily."""
        for symbol in symbols:
            busy = self._busy.setdefault(symbol, Backoff(_SOON_NS, _MAX_NS))
            self._schedule(symbol, now_ns + round(busy.next_delay()), Backoff(2 * FIRST_NS, _MAX_NS))

    def received(self, symbol: str) -> None:
        """Record data of `symbol`: it needs no further request."""
        self._due.pop(symbol, None)
        self._busy.pop(symbol, None)

    def due_ns(self, symbol: str) -> int | None:
        """Return when `symbol` is requested again; None if not scheduled."""
        found = self._due.get(symbol)
        return found[0] if found else None

    def due(self, now_ns: int) -> list[str]:
        """Return the symbols to request now, the longest waiting first, and schedule their next attempt."""
        if now_ns < self._idle_until_ns:
            return []
        due = sorted((at_ns, symbol) for symbol, (at_ns, _) in self._due.items() if at_ns <= now_ns)
        chosen = [symbol for _, symbol in due if symbol in self._busy]
        others = [symbol for _, symbol in due if symbol not in self._busy]
        if others and now_ns >= self._next_ns:
            self._next_ns = now_ns + _PAUSE_NS
            chosen += others[:_AT_ONCE]
        for symbol in chosen:
            delays = self._due[symbol][1]
            self._due[symbol] = (now_ns + round(delays.next_delay()), delays)
        ends = (
            at_ns if symbol in self._busy else max(at_ns, self._next_ns)
            for symbol, (at_ns, _) in self._due.items()
        )
        self._idle_until_ns = min(ends, default=now_ns)
        return chosen

    def _schedule(self, symbol: str, at_ns: int, delays: Backoff) -> None:
        self._due[symbol] = (at_ns, delays)
        self._idle_until_ns = min(self._idle_until_ns, at_ns)

    def is_refused_for_now(self, symbol: str) -> bool:
        """Return whether the venue's last answer for `symbol` was a temporary refusal."""
        return symbol in self._busy
