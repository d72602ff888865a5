"""The requests that were sent and are not acknowledged yet. Pure."""

from __future__ import annotations

from collections.abc import Callable

from crypto_stream.feed.handler import Request, Wanted


class _Pending:
    __slots__ = ("attempts", "keys", "request", "seen", "sent_ns")

    def __init__(self, request: Request, sent_ns: int, attempts: int) -> None:
        self.request = request
        self.keys = set(request.keys)
        self.seen: set[str] = set()
        self.sent_ns = sent_ns
        self.attempts = attempts


class SubscriptionReplies:
    """Track each sent request until the venue has acknowledged or refused all of it.

    A request is overdue `deadline_ns` after it was sent, and abandoned after `max_attempts`. Data of an
    instrument acknowledges every request for it: some venues send data before the acknowledgement, or send
    no acknowledgement at all.
    """

    def __init__(self, deadline_ns: int, max_attempts: int = 3) -> None:
        self._deadline_ns = deadline_ns
        self._most_attempts = max_attempts
        self._attempts: dict[frozenset[Wanted], int] = {}
        self._pending: list[_Pending] = []

    def __len__(self) -> int:
        """Return how many requests are still pending."""
        return len(self._pending)

    def sent(self, request: Request, now_ns: int) -> None:
        """Record that `request` was sent; one without keys expects no acknowledgement."""
        if not request.keys:
            return
        attempt = self._attempts.get(frozenset(request.wanted), 0) + 1
        self._attempts[frozenset(request.wanted)] = attempt
        self._pending.append(_Pending(request, now_ns, attempt))

    def acked(self, key: str) -> None:
        """Record an acknowledgement; unknown or repeated ones are ignored."""
        for pending in self._pending:
            pending.keys.discard(key)
        self._retain(lambda pending: bool(pending.keys))

    def seen(self, symbol: str) -> None:
        """Record that data of the instrument `symbol` arrived."""
        for pending in self._pending:
            if any(each.instrument.symbol == symbol for each in pending.request.wanted):
                pending.seen.add(symbol)
        self._retain(lambda pending: bool(_without_data(pending)))

    def refused(self, key: str, *, entirely: bool = False) -> tuple[Wanted, ...]:
        """Return what the refused request wanted; an empty key means the oldest pending request.

        `entirely`: the whole request was refused, rather than only what `key` names.
        """
        for pending in self._pending:
            if key in pending.keys or not key:
                pending.keys.discard(key)
                if entirely or not key or not pending.keys:
                    self._pending.remove(pending)
                return pending.request.wanted
        return ()

    def overdue(self, now_ns: int) -> tuple[list[Wanted], list[Wanted]]:
        """Remove requests whose deadline passed; return what to request again, and what to abandon."""
        again: list[Wanted] = []
        abandoned: list[Wanted] = []
        late = [pending for pending in self._pending if now_ns - pending.sent_ns >= self._deadline_ns]
        for pending in late:
            self._pending.remove(pending)
            (again if pending.attempts < self._most_attempts else abandoned).extend(_without_data(pending))
        return again, abandoned

    def _retain(self, is_pending: Callable[[_Pending], bool]) -> None:
        """Drop requests that are no longer pending, and reset their number of attempts."""
        for pending in self._pending:
            if not is_pending(pending):
                self._attempts.pop(frozenset(pending.request.wanted), None)
        self._pending = [pending for pending in self._pending if is_pending(pending)]


def _without_data(pending: _Pending) -> list[Wanted]:
    return [each for each in pending.request.wanted if each.instrument.symbol not in pending.seen]


def halves(wanted: tuple[Wanted, ...]) -> list[tuple[Wanted, ...]]:
    """Split a refused batch in two, to find the instrument that the venue refuses."""
    symbols = list(dict.fromkeys(each.instrument.symbol for each in wanted))
    first = set(symbols[: len(symbols) // 2])
    parts = (
        tuple(each for each in wanted if each.instrument.symbol in first),
        tuple(each for each in wanted if each.instrument.symbol not in first),
    )
    return [part for part in parts if part]
