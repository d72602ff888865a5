"""When an instrument of which a venue gives nothing is asked for anew: nothing is decided for good. Pure."""

from __future__ import annotations

from collections.abc import Iterable

FIRST_NS = 30_000_000_000
_MOST_NS = 300_000_000_000
_SOON_NS = 2_000_000_000
# A venue that refuses hundreds of pairs is asked for some of them at a time.
_AT_ONCE = 20
_PAUSE_NS = 10_000_000_000


class Retries:
    """Ask again 30 s after a request without data, then after twice as long each time, up to 5 minutes.

    What a venue refuses for the moment only is asked for after 2 s, 4 s and so on. Data ends it.
    """

    def __init__(self) -> None:
        """Begin with nothing to ask for."""
        self._due: dict[str, tuple[int, int]] = {}  # symbol → when, and how long is waited after that
        self._busy: dict[str, int] = {}  # symbol → how long a passing refusal lets it wait next
        self._next_ns = 0

    def __bool__(self) -> bool:
        """Say whether anything waits for data."""
        return bool(self._due)

    def asked(self, symbols: Iterable[str], now_ns: int) -> None:
        """Notice that `symbols` were asked for; those that wait already keep their time."""
        for symbol in symbols:
            self._due.setdefault(symbol, (now_ns + FIRST_NS, 2 * FIRST_NS))

    def passing(self, symbols: Iterable[str], now_ns: int) -> None:
        """Notice that a venue could not take a request for `symbols` now."""
        for symbol in symbols:
            wait_ns = self._busy.get(symbol, _SOON_NS)
            self._busy[symbol] = min(2 * wait_ns, _MOST_NS)
            self._due[symbol] = (now_ns + wait_ns, 2 * FIRST_NS)

    def given(self, symbol: str) -> None:
        """Notice data of `symbol`."""
        self._due.pop(symbol, None)
        self._busy.pop(symbol, None)

    def at(self, symbol: str) -> int | None:
        """Tell when `symbol` will be asked for again; None where it need not be."""
        found = self._due.get(symbol)
        return found[0] if found else None

    def due(self, now_ns: int) -> list[str]:
        """Take what is to be asked for now, the longest waiting first."""
        due = sorted((at_ns, symbol) for symbol, (at_ns, _) in self._due.items() if at_ns <= now_ns)
        soon = [symbol for _, symbol in due if symbol in self._busy]
        rest = [symbol for _, symbol in due if symbol not in self._busy]
        if rest and now_ns >= self._next_ns:
            self._next_ns = now_ns + _PAUSE_NS
            soon += rest[:_AT_ONCE]
        for symbol in soon:
            wait_ns = self._due[symbol][1]
            self._due[symbol] = (now_ns + wait_ns, min(2 * wait_ns, _MOST_NS))
        return soon

    def waits(self, symbol: str) -> bool:
        """Say whether a passing refusal was the last that was heard of `symbol`."""
        return symbol in self._busy
