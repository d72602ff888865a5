"""The ack table: which subscriptions were sent, and what became of them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from crypto_stream.feed.source import Request


class _Pending:
    __slots__ = ("attempts", "keys", "request", "seen", "sent_ns")

    def __init__(self, request: Request, sent_ns: int, attempts: int) -> None:
        self.request = request
        self.keys = set(request.keys)
        self.seen: set[str] = set()
        self.sent_ns = sent_ns
        self.attempts = attempts


class AckTable:
    """Follow each sent request until the venue acknowledged or refused all of it.

    Data of a symbol counts as its acknowledgement: venues send data before the ack, or no ack at all.
    """

    def __init__(self, deadline_ns: int, most_attempts: int = 3) -> None:
        """Call a request overdue `deadline_ns` after it was sent, at most `most_attempts` times."""
        self._deadline_ns = deadline_ns
        self._most_attempts = most_attempts
        self._attempts: dict[frozenset[str], int] = {}
        self._pending: list[_Pending] = []

    def __len__(self) -> int:
        """Return how many requests still wait."""
        return len(self._pending)

    def sent(self, request: Request, now_ns: int) -> None:
        """Remember that `request` went out; one without keys awaits nothing."""
        if not request.keys:
            return
        attempt = self._attempts.get(frozenset(request.symbols), 0) + 1
        self._attempts[frozenset(request.symbols)] = attempt
        self._pending.append(_Pending(request, now_ns, attempt))

    def acked(self, key: str) -> None:
        """Note an acknowledgement; an unknown or repeated one changes nothing."""
        for pending in self._pending:
            pending.keys.discard(key)
        self._keep(lambda pending: bool(pending.keys))

    def seen(self, symbol: str) -> None:
        """Note data of `symbol`."""
        for pending in self._pending:
            if symbol in pending.request.symbols:
                pending.seen.add(symbol)
        self._keep(lambda pending: not pending.seen.issuperset(pending.request.symbols))

    def refused(self, key: str) -> tuple[str, ...]:
        """Note a refusal and return the symbols of its request; an empty key means the oldest one waiting."""
        for pending in self._pending:
            if key in pending.keys or not key:
                pending.keys.discard(key)
                if not key or not pending.keys:
                    self._pending.remove(pending)
                return pending.request.symbols
        return ()

    def overdue(self, now_ns: int) -> tuple[list[str], list[str]]:
        """Take out what was not acknowledged in time: symbols to ask for again, and symbols given up."""
        again: list[str] = []
        given_up: list[str] = []
        late = [pending for pending in self._pending if now_ns - pending.sent_ns >= self._deadline_ns]
        for pending in late:
            self._pending.remove(pending)
            missing = _without(pending.request.symbols, pending.seen)
            (again if pending.attempts < self._most_attempts else given_up).extend(missing)
        return again, given_up

    def _keep(self, waits: Callable[[_Pending], bool]) -> None:
        """Take out what was acknowledged; its attempts are forgotten."""
        for pending in self._pending:
            if not waits(pending):
                self._attempts.pop(frozenset(pending.request.symbols), None)
        self._pending = [pending for pending in self._pending if waits(pending)]


def _without(symbols: Iterable[str], seen: set[str]) -> list[str]:
    return [symbol for symbol in symbols if symbol not in seen]


def halves(symbols: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Cut a refused batch in two, to find what the venue refuses in it."""
    middle = len(symbols) // 2
    return [part for part in (symbols[:middle], symbols[middle:]) if part]
