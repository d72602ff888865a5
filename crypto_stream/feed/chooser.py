"""Which source is to serve one instrument, by all that is known of its sources now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from crypto_stream.feed.channel_watch import ChannelWatch
from crypto_stream.feed.facts import Facts, Limits
from crypto_stream.feed.guard import JumpGuard
from crypto_stream.feed.silence import Silence
from crypto_stream.market.book import Book
from crypto_stream.market.status import SourceState

# What is still missing where a state alone says too little.
_WAITS_FOR: Mapping[SourceState, str] = {"connected": "connected, but it has sent no data yet"}
NOT_CARRIED = "not carried by the pinned source"


class Case(NamedTuple):
    """One instrument to decide: its sources, best first, those that a pin leaves, and who serves it now."""

    symbol: str
    chain: tuple[str, ...]
    allowed: tuple[str, ...]
    current: str | None
    now_ns: int
    facts: Facts
    pin: str | None


class Ready(NamedTuple):
    """Who could serve, best first, and whether its venue trades it; and why others are in doubt.

    `compared`: prices were, so that any price may change it.
    """

    trades: dict[str, bool]
    doubts: dict[str, str]
    compared: bool


class Chooser:
    """Choose among the sources of an instrument, and say why the others are passed over.

    `held` maps symbols to who is live but in doubt, and why; `revived` (source, symbol) to when what was
    silent or lacking gave data again.
    """

    def __init__(self, book: Book, limits: Limits, guard: JumpGuard) -> None:
        """Begin with nothing known."""
        self.silence = Silence(book, limits)
        self.watch = ChannelWatch(book, limits)
        self.guard = guard
        self.held: dict[str, dict[str, str]] = {}
        self.revived: dict[tuple[str, str], int] = {}
        self._limits = limits
        self._began: dict[str, int] = {}  # symbol → when it was first served, where no former life had

    def forget(self, symbol: str, chain: Iterable[str]) -> None:
        """Know nothing of an instrument any more but its last price: that is still the same coin's."""
        names = tuple(chain)
        self.silence.forget(symbol, names)
        self.watch.forget(symbol, names)
        self.held.pop(symbol, None)
        self._began.pop(symbol, None)
        for name in names:
            self.revived.pop((name, symbol), None)

    def trades(self, name: str, symbol: str, facts: Facts) -> bool:
        """Say whether `name` is live for `symbol` and its venue trades it."""
        return symbol not in facts[name].of(symbol).halted and self.silence.is_live(name, symbol, facts)

    def objection(self, name: str, case: Case) -> str | None:
        """Say why `name`'s price may be another coin's."""
        symbol, facts = case.symbol, case.facts
        others = (each for each in case.chain if each != name and self.trades(each, symbol, facts))
        return self.guard.objection(symbol, name, others, case.now_ns)

    def ready(self, case: Case) -> Ready:
        """List who could serve; who stands behind the one that will serve is not looked at."""
        trading: dict[str, bool] = {}
        doubts: dict[str, str] = {}
        symbol, current, facts = case.symbol, case.current, case.facts
        keeps = current in case.allowed and self.trades(current, symbol, facts)
        compared = False
        for name in case.allowed:
            if not self.silence.is_live(name, symbol, facts):
                continue
            if name not in (current, case.pin) and not self._comes_up_late(name, case):
                compared = self.guard.asks()
                if doubt := self.objection(name, case):
                    doubts[name] = doubt
                    continue
            trades = trading[name] = self.trades(name, symbol, facts)
            if trades and (name == current or not keeps) and not self.watch.weight(name, symbol):
                break
        return Ready(trading, doubts, compared)

    def hold(self, symbol: str, doubts: Mapping[str, str]) -> dict[str, str]:
        """Remember who is in doubt, each with its first reason; return who newly is."""
        before = self.held.pop(symbol, {})
        if doubts:
            self.held[symbol] = {name: before.get(name, reason) for name, reason in doubts.items()}
        return {name: reason for name, reason in doubts.items() if name not in before}

    def choose(self, case: Case, ready: Mapping[str, bool]) -> str | None:
        """Return who is to serve: of those that lack least the first, if it has been well long enough."""
        trading = self._least_lacking(case.symbol, (name for name, trades in ready.items() if trades))
        for name in trading:
            if name == case.current:
                return name
            if case.current not in trading or self._proven(name, case):
                return name
        return None

    def serves(self, symbol: str, name: str, now_ns: int) -> None:
        """Notice that `name` serves an instrument from now on."""
        if not self.guard.knows(symbol):
            self._began[symbol] = now_ns
        self.guard.serves(symbol, name)

    def turning_points(self, case: Case, chosen: str | None, doubts: Iterable[str]) -> Iterator[int]:
        """Tell the times, past ones too, at which the choice may change although nothing comes."""
        symbol, probation_ns = case.symbol, self._limits.failback_after
        if chosen is not None:
            yield self.silence.quiet_ns(symbol, chosen)
            yield self._began.get(symbol, -probation_ns) + probation_ns
        for name in case.chain:
            line = case.facts[name].of(symbol)
            if line.failed:
                yield line.live_since_ns + probation_ns
            if (revived_ns := self.revived.get((name, symbol))) is not None:
                yield revived_ns + probation_ns
        for name in doubts:
            if (allowed_ns := self.guard.allowed_ns(symbol, name)) is not None:
                yield max(allowed_ns, case.now_ns + 1)  # by then, but for what was rounded

    def why_lacking(self, source: str | None, symbol: str) -> str | None:
        """Say what `source` does not give of `symbol` although it should; None where it lacks nothing."""
        why = self.watch.why(source, symbol) if source else None
        return f"{source}: {why}" if why else None

    def why_not(self, name: str, symbol: str, facts: Facts) -> str | None:
        """Say why `name` is not live for `symbol`, or what of it is lacking; None where all is well."""
        line = facts[name].of(symbol)
        if symbol in line.halted:
            return line.halted[symbol]
        if self.silence.is_live(name, symbol, facts):
            return self.held.get(symbol, {}).get(name) or self.watch.why(name, symbol)
        if symbol in line.refused:
            return line.refused[symbol]
        if line.state != "live":
            return line.reason or _WAITS_FOR.get(line.state, line.state)
        if (name, symbol) in self.silence.dead:
            return "no data of this instrument although the source is live"
        return "no data of this instrument yet"

    def why_none(self, case: Case) -> str:
        """Say why nothing serves an instrument."""
        if not case.allowed:
            return NOT_CARRIED if case.pin else "no source carries it"
        return "; ".join(f"{name}: {self.why_not(name, case.symbol, case.facts)}" for name in case.allowed)

    def explain(self, case: Case, chosen: str | None) -> str:
        """Say why another source serves now."""
        symbol, current, allowed = case.symbol, case.current, case.allowed
        if chosen is None:
            return self.why_none(case)
        if current is None:
            return f"{chosen} is live"
        if current not in allowed:
            return f"pinned to {case.pin}"
        if why := self.why_lacking(current, symbol):
            return why
        if allowed.index(chosen) < allowed.index(current):
            return f"{chosen} is preferred and live"
        return f"{current}: {self.why_not(current, symbol, case.facts)}"

    def _comes_up_late(self, name: str, case: Case) -> bool:
        """Say whether `name` is the better source that was a moment slower at the very first start.

        Which of two coins is meant is then for the order of the settings to say, not for chance.
        """
        began_ns = self._began.get(case.symbol)
        if case.current is None or began_ns is None or case.facts[name].of(case.symbol).failed:
            return False
        is_better = case.chain.index(name) < case.chain.index(case.current)
        return is_better and case.now_ns - began_ns < self._limits.failback_after

    def _least_lacking(self, symbol: str, names: Iterable[str]) -> list[str]:
        weights = {name: self.watch.weight(name, symbol) for name in names}
        least = min(weights.values(), default=0)
        return [name for name, weight in weights.items() if weight == least]

    def _proven(self, name: str, case: Case) -> bool:
        """Say whether a better source has been well long enough to serve again; one that never failed has."""
        line = case.facts[name].of(case.symbol)
        if line.failed and case.now_ns - line.live_since_ns < self._limits.failback_after:
            return False
        revived_ns = self.revived.get((name, case.symbol))
        return revived_ns is None or case.now_ns - revived_ns >= self._limits.failback_after
