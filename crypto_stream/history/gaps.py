"""The gaps of all instruments: begun and ended, over the engine's lives. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from crypto_stream.market.bars import Gap

STOPPED = "the engine was not running"
SUSPENDED = "the engine stood still, as when its machine sleeps"
CLOCK_SET = "the clock was set ahead"
NONE_LIVE = "no source was live"
NOT_CONFIGURED = "the instrument was not among the configured ones"


class Gaps:
    """Keep the gap that is open of each instrument, and what of it is still to be written.

    A gap is written when it begins, so that it outlives a killed engine, and again when it ends.
    """

    def __init__(self) -> None:
        self.open: dict[str, Gap] = {}
        self._changed: list[tuple[str, Gap]] = []

    def begin(self, symbol: str, from_ms: int, reason: str) -> None:
        """Begin a gap; where one is open already it goes on."""
        if symbol not in self.open:
            gap = self.open[symbol] = Gap(from_ms, None, reason)
            self._changed.append((symbol, gap))

    def end(self, symbol: str, at_ms: int) -> int | None:
        """End the open gap, 1 ms after its beginning at the earliest; return its end, None without one."""
        gap = self.open.pop(symbol, None)
        if gap is None:
            return None
        end = max(gap.from_ + 1, at_ms)
        self._changed.append((symbol, Gap(gap.from_, end, gap.reason)))
        return end

    def resume(self, symbol: str, stored: Iterable[Gap], since_ms: int, reason: str) -> None:
        """Have a gap for `reason` begin where another life ended, `stored` being what was open then.

        One for the same reason goes on, each other one ends there.
        """
        for gap in stored:
            self.open[symbol] = gap
            if gap.reason == reason:
                return
            since_ms = max(since_ms, self.end(symbol, since_ms) or since_ms)
        self.begin(symbol, since_ms, reason)

    def started(self, at_ms: int) -> None:
        """Notice that it is no longer the stop that keeps instruments from their prices."""
        for symbol, gap in list(self.open.items()):
            if gap.reason == STOPPED:
                end = self.end(symbol, at_ms)
                self.begin(symbol, end or at_ms, NONE_LIVE)

    def discard_after(self, symbol: str, at_ms: int) -> None:
        """Forget what begins at `at_ms` or later, and cut there what reaches further: it was never so."""
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
        """Say whether something is to be written."""
        return bool(self._changed)

    def unwritten(self, symbol: str) -> list[Gap]:
        """List what is still to be written of one instrument, a later state after an earlier one."""
        return [gap for of, gap in self._changed if of == symbol]

    def changed(self) -> list[tuple[str, Gap]]:
        """Give what is to be written since the last call."""
        changed, self._changed = self._changed, []
        return changed


def _cut(gap: Gap, at_ms: int) -> Gap:
    return gap if gap.to is None or gap.to <= at_ms else Gap(gap.from_, at_ms, gap.reason)
