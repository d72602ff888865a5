"""Choose the source of one instrument, from what is known of its sources now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from crypto_stream.feed.channel_watch import ChannelWatch
from crypto_stream.feed.facts import Facts, FailoverTimes
from crypto_stream.feed.guard import JumpGuard
from crypto_stream.feed.silence import Silence
from crypto_stream.market.book import Book
from crypto_stream.market.status import SourceState

# Explanations of states whose name alone says too little.
_EXPLANATIONS: Mapping[SourceState, str] = {"connected": "connected, but it has sent no data yet"}
NOT_CARRIED = "not carried by the pinned source"


class Case(NamedTuple):
    """One instrument: its sources, best first, those that the pin allows, and the one that serves now."""

    symbol: str
    chain: tuple[str, ...]
    allowed: tuple[str, ...]
    current: str | None
    now_ns: int
    facts: Facts
    pin: str | None


class Candidates(NamedTuple):
    """The sources that could serve.

    `trading` maps them, best first, to whether their venue trades the instrument; `objections` maps sources
    to why their price may be another coin's. `compared`: prices were compared, so any price may change this.
    """

    trading: dict[str, bool]
    objections: dict[str, str]
    compared: bool


class Chooser:
    """Choose among the sources of an instrument, and explain why the others do not serve.

    `held_back` maps symbols to the live sources whose price may be another coin's, and why; `resumed` maps
    (source, symbol) to when silent or missing data resumed.
    """

    def __init__(self, book: Book, limits: FailoverTimes, guard: JumpGuard) -> None:
        self.silence = Silence(book, limits)
        self.watch = ChannelWatch(book, limits)
        self.guard = guard
        self.held_back: dict[str, dict[str, str]] = {}
        self.resumed: dict[tuple[str, str], int] = {}
        self._limits = limits
        self._began: dict[str, int] = {}  # symbol → when it was first served, if no previous run did

    def forget(self, symbol: str, chain: Iterable[str]) -> None:
        """Discard everything about an instrument except its last price, which the guard uses."""
        names = tuple(chain)
        self.silence.forget(symbol, names)
        self.watch.forget(symbol, names)
        self.held_back.pop(symbol, None)
        self._began.pop(symbol, None)
        for name in names:
            self.resumed.pop((name, symbol), None)

    def trades(self, name: str, symbol: str, facts: Facts) -> bool:
        """Return whether `name` is live for `symbol` and its venue trades it."""
        return symbol not in facts[name].of(symbol).halted and self.silence.is_live(name, symbol, facts)

    def objection(
        self, name: str, symbol: str, *, chain: Iterable[str], facts: Facts, now_ns: int
    ) -> str | None:
        """Return why `name`'s price may be another coin's; None if it may serve."""
        others = (each for each in chain if each != name and self.trades(each, symbol, facts))
        return self.guard.objection(symbol, name, others, now_ns)

    def candidates(self, case: Case) -> Candidates:
        """List the sources that could serve; those behind the one that will are not examined."""
        trading: dict[str, bool] = {}
        objections: dict[str, str] = {}
        symbol, current, facts = case.symbol, case.current, case.facts
        current_stays = current in case.allowed and self.trades(current, symbol, facts)
        compared = False
        for name in case.allowed:
            if not self.silence.is_live(name, symbol, facts):
                continue
            if name not in (current, case.pin) and not self._is_late_at_startup(name, case):
                compared = self.guard.is_enabled()
                if objection := self.objection(
                    name, symbol, chain=case.chain, facts=facts, now_ns=case.now_ns
                ):
                    objections[name] = objection
                    continue
            trades = trading[name] = self.trades(name, symbol, facts)
            if trades and (name == current or not current_stays) and not self.watch.severity(name, symbol):
                break
        return Candidates(trading, objections, compared)

    def hold_back(self, symbol: str, objections: Mapping[str, str]) -> dict[str, str]:
        """Hold sources back, each with its first reason; return those that were not yet."""
        before = self.held_back.pop(symbol, {})
        if objections:
            self.held_back[symbol] = {name: before.get(name, reason) for name, reason in objections.items()}
        return {name: reason for name, reason in objections.items() if name not in before}

    def choose(self, case: Case, candidates: Mapping[str, bool]) -> str | None:
        """Return the source to serve: the first of the most complete ones that has passed its probation."""
        trading = self._least_incomplete(case.symbol, (name for name, trades in candidates.items() if trades))
        for name in trading:
            if name == case.current:
                return name
            if case.current not in trading or self._passed_probation(name, case):
                return name
        return None

    def set_serving(self, symbol: str, name: str, now_ns: int) -> None:
        """Record that `name` serves an instrument from now on."""
        if not self.guard.has_served(symbol):
            self._began[symbol] = now_ns
        self.guard.set_serving(symbol, name)

    def recheck_times(self, case: Case, chosen: str | None, objections: Iterable[str]) -> Iterator[int]:
        """Yield the times, past ones too, at which the choice may change although no data arrives."""
        symbol, probation_ns = case.symbol, self._limits.failback_after_ns
        if chosen is not None:
            yield self.silence.quiet_ns(symbol, chosen)
            yield self._began.get(symbol, -probation_ns) + probation_ns
        for name in case.chain:
            connection = case.facts[name].of(symbol)
            if connection.failed:
                yield connection.live_since_ns + probation_ns
            if (revived_ns := self.resumed.get((name, symbol))) is not None:
                yield revived_ns + probation_ns
        for name in objections:
            if (allowed_ns := self.guard.allowed_ns(symbol, name)) is not None:
                yield max(allowed_ns, case.now_ns + 1)  # `allowed_ns` is rounded

    def missing_at(self, source: str | None, symbol: str) -> str | None:
        """Return which channels of `symbol` are missing at `source`, in words; None if none is."""
        why = self.watch.describe(source, symbol) if source else None
        return f"{source}: {why}" if why else None

    def why_not(self, name: str, symbol: str, facts: Facts) -> str | None:
        """Return why `name` is not live for `symbol`, or which channels are missing; None if all is well."""
        connection = facts[name].of(symbol)
        if symbol in connection.halted:
            return connection.halted[symbol]
        if self.silence.is_live(name, symbol, facts):
            return self.held_back.get(symbol, {}).get(name) or self.watch.describe(name, symbol)
        if symbol in connection.refused:
            return connection.refused[symbol]
        if connection.state != "live":
            return connection.reason or _EXPLANATIONS.get(connection.state, connection.state)
        if (name, symbol) in self.silence.dead:
            return "no data of this instrument although the source is live"
        return "no data of this instrument yet"

    def why_none(self, case: Case) -> str:
        """Return why no source serves an instrument."""
        if not case.allowed:
            return NOT_CARRIED if case.pin else "no source carries it"
        return "; ".join(f"{name}: {self.why_not(name, case.symbol, case.facts)}" for name in case.allowed)

    def explain(self, case: Case, chosen: str | None) -> str:
        """Return why another source serves now."""
        symbol, current, allowed = case.symbol, case.current, case.allowed
        if chosen is None:
            return self.why_none(case)
        if current is None:
            return f"{chosen} is live"
        if current not in allowed:
            return f"pinned to {case.pin}"
        if why := self.missing_at(current, symbol):
            return why
        if allowed.index(chosen) < allowed.index(current):
            return f"{chosen} is preferred and live"
        return f"{current}: {self.why_not(current, symbol, case.facts)}"

    def _is_late_at_startup(self, name: str, case: Case) -> bool:
        """Return whether `name` is preferred and was a moment slower at the very first start.

        It is not compared then: the order of the settings, not chance, decides which of two coins is meant.
        """
        began_ns = self._began.get(case.symbol)
        if case.current is None or began_ns is None or case.facts[name].of(case.symbol).failed:
            return False
        is_better = case.chain.index(name) < case.chain.index(case.current)
        return is_better and case.now_ns - began_ns < self._limits.failback_after_ns

    def _least_incomplete(self, symbol: str, names: Iterable[str]) -> list[str]:
        severities = {name: self.watch.severity(name, symbol) for name in names}
        least = min(severities.values(), default=0)
        return [name for name, severity in severities.items() if severity == least]

    def _passed_probation(self, name: str, case: Case) -> bool:
        """Return whether a preferred source has been well for `failback_after`, or never failed."""
        connection = case.facts[name].of(case.symbol)
        if connection.failed and case.now_ns - connection.live_since_ns < self._limits.failback_after_ns:
            return False
        revived_ns = self.resumed.get((name, case.symbol))
        return revived_ns is None or case.now_ns - revived_ns >= self._limits.failback_after_ns
