"""The gaps of all instruments, over restarts of the engine. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from crypto_stream.market.bars import Gap

STOPPED = "the engine was not running"
SUSPENDED = "the engine was suspended, as when its machine sleeps"
CLOCK_SET = "the clock was set ahead"
NONE_LIVE = "no source was live"
NOT_CONFIGURED = "the instrument was not among the configured ones"


class Gaps:
    """The open gap of each instrument, and the gaps that are still to be written.

    A gap is written when it begins, so that it survives a killed engine, and again when it ends.
    """

    def __init__(self) -> None:
        self.open: dict[str, Gap] = {}
        self._changed: list[tuple[str, Gap]] = []

    def begin(self, symbol: str, from_ms: int, reason: str) -> None:
        """Begin a gap, unless one is open already."""
        if symbol not in self.open:
            gap = self.open[symbol] = Gap(from_ms, None, reason)
            self._changed.append((symbol, gap))

    def end(self, symbol: str, at_ms: int) -> int | None:
        """End the open gap, at least 1 ms after its beginning; return its end, None if none was open."""
        gap = self.open.pop(symbol, None)
        if gap is None:
            return None
        end = max(gap.from_ + 1, at_ms)
        self._changed.append((symbol, Gap(gap.from_, end, gap.reason)))
        return end

    def resume(
        self, symbol: str, stored: Iterable[Gap], since_ms: int, reason: str, until_ms: int | None = None
    ) -> int:
        """Begin a gap for `reason` where the previous run ended; `stored` gaps were open then.

        A stored gap for the same reason continues; all others end there. With `until_ms`, since when there
        are trades again, the gap ends, or there is none. Returns where the last gap began or ended.
        """
        for gap in stored:
            self.open[symbol] = gap
            if gap.reason == reason:
                break
            since_ms = max(since_ms, self.end(symbol, since_ms) or since_ms)
        if until_ms is None or until_ms > since_ms:
            self.begin(symbol, since_ms, reason)
        if until_ms is None:
            return since_ms
        return self.end(symbol, until_ms) or since_ms

    def started(self, at_ms: int) -> None:
        """End the gaps of the stop; those still without a price continue because no source is live."""
        for symbol, gap in list(self.open.items()):
            if gap.reason == STOPPED:
                end = self.end(symbol, at_ms)
                self.begin(symbol, end or at_ms, NONE_LIVE)

    def discard_after(self, symbol: str, at_ms: int) -> None:
        """Discard gaps that begin at `at_ms` or later, and end the others there."""
        gap = self.open.get(symbol)
        if gap is not None and gap.from_ >= at_ms:
            del self.open[symbol]
        self._changed = [
            (of, _cut(gap, at_ms) if of == symbol else gap)
            for of, gap in self._changed
            if of != symbol or gap.from_ < at_ms
        ]

    @property
    def has_changes(self) -> bool:
        """Return whether anything is to be written."""
        return bool(self._changed)

    def unwritten(self, symbol: str) -> list[Gap]:
        """List the unwritten gaps of one instrument, a later state of a gap after an earlier one."""
        return [gap for of, gap in self._changed if of == symbol]

    def changed(self) -> list[tuple[str, Gap]]:
        """Return, and remove, what is to be written."""
        changed, self._changed = self._changed, []
        return changed


def _cut(gap: Gap, at_ms: int) -> Gap:
    return gap if gap.to is None or gap.to <= at_ms else Gap(gap.from_, at_ms, gap.reason)
