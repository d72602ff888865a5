"""The requests that were sent and are not acknowledged yet. Pure."""

from __future__ import annotations

from crypto_stream.feed.handler import Request, Wanted


class _Pending:
    """A request, what it still waits for, and the symbols in it of which no data has arrived."""

    __slots__ = ("attempts", "keys", "request", "sent_ns", "silent")

    def __init__(self, request: Request, sent_ns: int, attempts: int) -> None:
        self.request = request
        self.keys = set(request.keys)
        self.silent = {each.instrument.symbol for each in request.wanted}
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
        # Those that wait for data of a symbol: while thousands are requested, each event is one look-up.
        self._of_symbol: dict[str, list[_Pending]] = {}

    def __len__(self) -> int:
        """Return how many requests are still pending."""
        return len(self._pending)

    def sent(self, request: Request, now_ns: int) -> None:
        """Record that `request` was sent; one without keys expects no acknowledgement."""
        if not request.keys:
            return
        attempt = self._attempts.get(frozenset(request.wanted), 0) + 1
        self._attempts[frozenset(request.wanted)] = attempt
        pending = _Pending(request, now_ns, attempt)
        self._pending.append(pending)
        for symbol in pending.silent:
            self._of_symbol.setdefault(symbol, []).append(pending)

    def acked(self, key: str) -> None:
        """Record an acknowledgement; unknown or repeated ones are ignored."""
        for pending in [each for each in self._pending if key in each.keys]:
            pending.keys.discard(key)
            if not pending.keys:
                self._done(pending)

    def seen(self, symbol: str) -> None:
        """Record that data of the instrument `symbol` arrived."""
        for pending in self._of_symbol.pop(symbol, ()):
            pending.silent.discard(symbol)
            if not pending.silent:
                self._done(pending)

    def refused(self, key: str, *, entirely: bool = False) -> tuple[Wanted, ...]:
        """Return what the refused request wanted; an empty key means the oldest pending request.

        `entirely`: the whole request was refused, rather than only what `key` names.
        """
        for pending in self._pending:
            if key in pending.keys or not key:
                pending.keys.discard(key)
                if entirely or not key or not pending.keys:
                    self._drop(pending)
                return pending.request.wanted
        return ()

    def overdue(self, now_ns: int) -> tuple[list[Wanted], list[Wanted]]:
        """Remove requests whose deadline passed; return what to request again, and what to abandon."""
        again: list[Wanted] = []
        abandoned: list[Wanted] = []
        late = [pending for pending in self._pending if now_ns - pending.sent_ns >= self._deadline_ns]
        for pending in late:
            self._drop(pending)
            (again if pending.attempts < self._most_attempts else abandoned).extend(_without_data(pending))
        return again, abandoned

    def _done(self, pending: _Pending) -> None:
        """Drop a request that was successful, and reset its number of attempts."""
        self._attempts.pop(frozenset(pending.request.wanted), None)
        self._drop(pending)

    def _drop(self, pending: _Pending) -> None:
        self._pending.remove(pending)
        for symbol in pending.silent:
            others = self._of_symbol[symbol]
            others.remove(pending)
            if not others:
                del self._of_symbol[symbol]


def _without_data(pending: _Pending) -> list[Wanted]:
    return [each for each in pending.request.wanted if each.instrument.symbol in pending.silent]


def halves(wanted: tuple[Wanted, ...]) -> list[tuple[Wanted, ...]]:
    """Split a refused batch in two, to find the instrument that the venue refuses."""
    symbols = list(dict.fromkeys(each.instrument.symbol for each in wanted))
    first = set(symbols[: len(symbols) // 2])
    parts = (
        tuple(each for each in wanted if each.instrument.symbol in first),
        tuple(each for each in wanted if each.instrument.symbol not in first),
    )
    return [part for part in parts if part]
