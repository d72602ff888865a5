"""Decide which source serves which instrument. Pure: facts in, decisions out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from crypto_stream.feed.chooser import NOT_CARRIED
from crypto_stream.feed.facts import Facts, FailoverTimes
from crypto_stream.feed.failover import Change, Decision, HeldBack
from crypto_stream.feed.guard import JumpGuard
from crypto_stream.feed.missing_channels import MissingChannel
from crypto_stream.market.book import Book
from crypto_stream.market.status import SourceState
from tests.feed.full_scan.missing_channels import MAJOR, ChannelWatch
from tests.feed.full_scan.resubscribe_timer import ResubscribeTimer
from tests.feed.full_scan.silence import Silence

# What is still missing where a state alone says too little.
_EXPLANATIONS: Mapping[SourceState, str] = {"connected": "connected, but it has sent no data yet"}
_MAX_TROUBLES = 10


class Failover:
    """Examine every instrument in each round, and decide as `crypto_stream.feed.failover.Failover` does."""

    def __init__(
        self,
        chains: Mapping[str, Sequence[str]],
        book: Book,
        limits: FailoverTimes,
        always: Sequence[str] = (),
        guard: JumpGuard | None = None,
    ) -> None:
        """Start with nothing served; without a guard prices may jump by any distance."""
        self.chains = {symbol: tuple(chain) for symbol, chain in chains.items()}
        self.serving: dict[str, str | None] = dict.fromkeys(self.chains)
        self.reasons: dict[str, str] = dict.fromkeys(self.chains, "no data yet")
        self.halted_source: dict[str, str] = {}
        self.held_back: dict[str, dict[str, str]] = {}
        self.guard = guard or JumpGuard(book, 0)
        self._limits = limits
        self._always = frozenset(always)
        self._began: dict[str, int] = {}  # symbol → when it was first served, where no former life had
        self._resumed: dict[tuple[str, str], int] = {}
        self.silence = Silence(book, limits)
        self._carried = Counter(name for each in self.chains.values() for name in each)
        self._resubscribe_timer = ResubscribeTimer(limits.quiet_after_ns, self._carried)
        self.watch = ChannelWatch(book, limits)
        self._watched = {
            symbol: tuple(name for name in chain if name not in self._always)
            for symbol, chain in self.chains.items()
        }

    def add(self, symbol: str, chain: Sequence[str]) -> None:
        """Add an instrument."""
        self.chains[symbol] = tuple(chain)
        self.serving[symbol], self.reasons[symbol] = None, "no data yet"
        self._watched[symbol] = tuple(name for name in chain if name not in self._always)
        self._carried.update(chain)

    def remove(self, symbol: str) -> None:
        """Remove an instrument."""
        chain = self.chains.pop(symbol)
        self._carried.subtract(chain)
        for known in (
            self.serving,
            self.reasons,
            self._watched,
            self.halted_source,
            self.held_back,
            self._began,
        ):
            known.pop(symbol, None)
        for key in [(name, symbol) for name in chain]:
            self.silence.dead.pop(key, None)
            self._resumed.pop(key, None)
            for channel in self.watch.missing.pop(key, ()):
                del self.watch._found_ns[*key, channel]

    def decide(self, now_ns: int, facts: Facts, pin: str | None = None) -> Decision:
        """Examine every instrument once; with `pin` only that source may serve real instruments."""
        changes: list[Change] = []
        held_back: list[HeldBack] = []
        self._clear_resumed(facts)
        missing_channels = self._find_missing(now_ns, facts)
        for symbol, chain in self.chains.items():
            allowed = self._allowed(chain, pin)
            current = self.serving[symbol]
            if current is not None:
                self.silence.check(now_ns, symbol, chain, current, facts, self.guard.comparable)
            ready, objections = self._ready(symbol, allowed, now_ns, facts, pin)
            held_back += self._hold_back(symbol, objections)
            chosen = self._choose(symbol, ready, now_ns, facts)
            if chosen != current:
                reason = self._explain(symbol, allowed, chosen, facts, pin)
                changes.append(Change(symbol, current, chosen, reason))
                self.serving[symbol] = chosen
                if chosen is not None:
                    self._set_serving(symbol, chosen, now_ns)
            if chosen is None:
                self.reasons[symbol] = self._why_none(symbol, allowed, facts, pin)
            self._show_halted(symbol, chosen, ready)
        again = self._resubscribe_timer.due(now_ns, {**self.silence.dead, **self.watch.missing})
        return Decision(
            changes,
            again,
            held_back,
            missing_channels,
            self._resubscribe_timer.sources_to_move(again, self.watch.missing),
        )

    def incomplete(self) -> set[str]:
        """Return the sources that serve an instrument without its top of book or trades."""
        return {
            source
            for source, symbol in self.watch.missing
            if self.serving[symbol] == source and self.watch.severity(source, symbol) >= MAJOR
        }

    def missing_at(self, source: str | None, symbol: str) -> str | None:
        """Return which channels of `symbol` are missing at `source`, in words; None if none is."""
        why = self.watch.describe(source, symbol) if source else None
        return f"{source}: {why}" if why else None

    def why_not(self, name: str, symbol: str, facts: Facts) -> str | None:
        """Return why `name` is not live for `symbol`, or which channels are missing; None if all is well."""
        line = facts[name].of(symbol)
        if symbol in line.halted:
            return line.halted[symbol]
        if self.is_live(name, symbol, facts):
            return self.held_back.get(symbol, {}).get(name) or self.watch.describe(name, symbol)
        if symbol in line.refused:
            return line.refused[symbol]
        if line.state != "live":
            return line.reason or _EXPLANATIONS.get(line.state, line.state)
        if (name, symbol) in self.silence.dead:
            return "no data of this instrument although the source is live"
        return "no data of this instrument yet"

    def needs_all_sources(self) -> set[tuple[str, ...]]:
        """Return chains whose live sources must not serve an instrument, so that all others are needed."""
        doubtful = self.held_back.keys() | self.halted_source.keys()
        return {self.chains[symbol] for symbol in doubtful if self.serving[symbol] is None}

    def troubles(self) -> list[str]:
        """Return the first ten sources held back, as sentences."""
        held_back = [
            f"{name} is held back for {symbol}: {reason}"
            for symbol, objections in self.held_back.items()
            for name, reason in objections.items()
        ]
        more = len(held_back) - _MAX_TROUBLES
        return held_back if more <= 0 else [*held_back[:_MAX_TROUBLES], f"and {more} more held back"]

    def is_live(self, source: str, symbol: str, facts: Facts) -> bool:
        """Return whether `source` is live for `symbol`: connected, fresh, with data since it connected."""
        return self.silence.is_live(source, symbol, facts)

    def objection(self, name: str, symbol: str, facts: Facts, now_ns: int) -> str | None:
        """Return why the live source `name` could not serve `symbol`: halted, or perhaps another coin."""
        return facts[name].of(symbol).halted.get(symbol) or self._objection(name, symbol, facts, now_ns)

    def _allowed(self, chain: tuple[str, ...], pin: str | None) -> tuple[str, ...]:
        if pin is None:
            return chain
        return tuple(name for name in chain if name == pin or name in self._always)

    def _find_missing(self, now_ns: int, facts: Facts) -> list[MissingChannel]:
        def live(source: str, symbol: str) -> bool:
            return self._trades(source, symbol, facts)

        news = self.watch.check(now_ns, self._watched, facts, live, self.guard.comparable)
        return [lack._replace(served=self.serving[lack.symbol] == lack.source) for lack in news]

    def _clear_resumed(self, facts: Facts) -> None:
        self._resumed.update(self.watch.clear_resumed(facts))
        self._resumed.update(self.silence.clear_resumed())
        self._resubscribe_timer.keep({**self.silence.dead, **self.watch.missing})

    def _ready(
        self, symbol: str, allowed: tuple[str, ...], now_ns: int, facts: Facts, pin: str | None
    ) -> tuple[dict[str, bool], dict[str, str]]:
        """Return the sources that could serve, best first, with whether they trade; and objections to others.

        Sources behind the one that will serve are not examined.
        """
        ready: dict[str, bool] = {}
        objections: dict[str, str] = {}
        current = self.serving[symbol]
        keeps = current in allowed and self._trades(current, symbol, facts)
        for name in allowed:
            if not self.is_live(name, symbol, facts):
                continue
            trusted = name in (current, pin) or self._is_late_at_startup(name, symbol, now_ns, facts)
            if not trusted and (objection := self._objection(name, symbol, facts, now_ns)):
                objections[name] = objection
                continue
            trades = ready[name] = self._trades(name, symbol, facts)
            if trades and (name == current or not keeps) and not self.watch.severity(name, symbol):
                break
        return ready, objections

    def _trades(self, name: str, symbol: str, facts: Facts) -> bool:
        """Return whether `name` is live for `symbol` and its venue trades it."""
        return symbol not in facts[name].of(symbol).halted and self.is_live(name, symbol, facts)

    def _objection(self, name: str, symbol: str, facts: Facts, now_ns: int) -> str | None:
        others = (each for each in self.chains[symbol] if each != name and self._trades(each, symbol, facts))
        return self.guard.objection(symbol, name, others, now_ns)

    def _hold_back(self, symbol: str, objections: Mapping[str, str]) -> list[HeldBack]:
        """Hold sources back, each with its first reason; return those that were not yet."""
        before = self.held_back.pop(symbol, {})
        if objections:
            self.held_back[symbol] = {name: before.get(name, reason) for name, reason in objections.items()}
        return [HeldBack(name, symbol, reason) for name, reason in objections.items() if name not in before]

    def _is_late_at_startup(self, name: str, symbol: str, now_ns: int, facts: Facts) -> bool:
        """Return whether `name` is preferred and was a moment slower at the very first start.

        The order of the settings, not chance, then decides which of two coins is meant.
        """
        current, began_ns = self.serving[symbol], self._began.get(symbol)
        if current is None or began_ns is None or facts[name].of(symbol).failed:
            return False
        chain = self.chains[symbol]
        return chain.index(name) < chain.index(current) and now_ns - began_ns < self._limits.failback_after_ns

    def _set_serving(self, symbol: str, name: str, now_ns: int) -> None:
        if not self.guard.has_served(symbol):
            self._began[symbol] = now_ns
        self.guard.set_serving(symbol, name)

    def _choose(self, symbol: str, ready: Mapping[str, bool], now_ns: int, facts: Facts) -> str | None:
        trading = self._least_incomplete(symbol, (name for name, trades in ready.items() if trades))
        current = self.serving[symbol]
        for name in trading:
            if name == current:
                return name
            if current not in trading or self._passed_probation(name, symbol, now_ns, facts):
                return name
        return None

    def _least_incomplete(self, symbol: str, names: Iterable[str]) -> list[str]:
        weights = {name: self.watch.severity(name, symbol) for name in names}
        least = min(weights.values(), default=0)
        return [name for name, weight in weights.items() if weight == least]

    def _show_halted(self, symbol: str, chosen: str | None, ready: Mapping[str, bool]) -> None:
        """If all live sources have halted the instrument, show the values of the first one."""
        name = next(iter(ready), None) if chosen is None else None
        if name is None:
            self.halted_source.pop(symbol, None)
        else:
            self.halted_source[symbol] = name

    def _passed_probation(self, name: str, symbol: str, now_ns: int, facts: Facts) -> bool:
        """Return whether a preferred source has been well for `failback_after`, or never failed."""
        line = facts[name].of(symbol)
        if line.failed and now_ns - line.live_since_ns < self._limits.failback_after_ns:
            return False
        revived_ns = self._resumed.get((name, symbol))
        return revived_ns is None or now_ns - revived_ns >= self._limits.failback_after_ns

    def _explain(
        self, symbol: str, allowed: tuple[str, ...], chosen: str | None, facts: Facts, pin: str | None
    ) -> str:
        current = self.serving[symbol]
        if chosen is None:
            return self._why_none(symbol, allowed, facts, pin)
        if current is None:
            return f"{chosen} is live"
        if current not in allowed:
            return f"pinned to {pin}"
        if why := self.missing_at(current, symbol):
            return why
        if allowed.index(chosen) < allowed.index(current):
            return f"{chosen} is preferred and live"
        return f"{current}: {self.why_not(current, symbol, facts)}"

    def _why_none(self, symbol: str, allowed: tuple[str, ...], facts: Facts, pin: str | None) -> str:
        if not allowed:
            return NOT_CARRIED if pin else "no source carries it"
        return "; ".join(f"{name}: {self.why_not(name, symbol, facts)}" for name in allowed)
