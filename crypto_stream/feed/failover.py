"""Decide which source serves which instrument, and why. Pure: facts in, decisions out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from crypto_stream.feed.agenda import Agenda
from crypto_stream.feed.channel_watch import Round
from crypto_stream.feed.chooser import Candidates, Case, Chooser
from crypto_stream.feed.facts import Facts, FailoverTimes
from crypto_stream.feed.guard import JumpGuard
from crypto_stream.feed.missing_channels import MAJOR, MissingChannel
from crypto_stream.feed.resubscribe_timer import ResubscribeTimer
from crypto_stream.market.book import Book

_MAX_TROUBLES = 10


class HeldBack(NamedTuple):
    """A live source that must not serve an instrument, because its price may be another coin's."""

    source: str
    symbol: str
    reason: str


class Change(NamedTuple):
    """An instrument's new serving source (None: no live one), and why."""

    symbol: str
    before: str | None
    after: str | None
    reason: str


class Decision(NamedTuple):
    """The result of one round.

    `changes` are to be published, `resubscribe` contains (source, symbol); `held_back` and
    `missing_channels` only what is new. `move`: sources with so much missing for so long that only a new
    connection may help.
    """

    changes: list[Change]
    resubscribe: list[tuple[str, str]]
    held_back: list[HeldBack]
    missing_channels: list[MissingChannel]
    move: list[str]


class Failover:
    """Serve each instrument from the first source of its chain that is live for it and misses no channel.

    If all of them miss channels, the most complete one serves. The cost of a round depends only on what has
    changed or is due; other instruments are not examined (see `Agenda`).

    `chains` maps symbols to sources, best first; a pin does not exclude the sources in `always`. The current
    result, by symbol: `serving`, `reasons` (why no source serves it), `halted_source` (the source whose
    values are shown, stale, because its venue has halted the instrument) and `held_back` (live sources that
    must not serve it, and why). `reconsidered` are the instruments that the last round examined.
    """

    def __init__(
        self,
        chains: Mapping[str, Sequence[str]],
        book: Book,
        limits: FailoverTimes,
        always: Sequence[str] = (),
        guard: JumpGuard | None = None,
    ) -> None:
        """Start with nothing served; without a guard prices may jump by any distance."""
        self.chains: dict[str, tuple[str, ...]] = {}
        self.serving: dict[str, str | None] = {}
        self.reasons: dict[str, str] = {}
        self.halted_source: dict[str, str] = {}
        self.reconsidered: set[str] = set()
        self.guard = guard or JumpGuard(book, 0)
        self._chooser = Chooser(book, limits, self.guard)
        self.silence, self.watch, self.held_back = (
            self._chooser.silence,
            self._chooser.watch,
            self._chooser.held_back,
        )
        self._always = frozenset(always)
        self._agenda = Agenda(book, self.silence, self.watch)
        self._resubscribe_timer = ResubscribeTimer(limits.quiet_after_ns)
        self._unserved: set[str] = set()
        self._watched: dict[str, tuple[str, ...]] = {}
        self._order: dict[str, int] = {}
        self._added = 0
        for symbol, chain in chains.items():
            self.add(symbol, chain)

    def add(self, symbol: str, chain: Sequence[str]) -> None:
        """Add an instrument; raise ValueError if it exists already.

        Sources that have delivered data of it since they connected can serve it in the next round.
        """
        if symbol in self.chains:
            raise ValueError(f"{symbol} exists already")
        self.chains[symbol] = tuple(chain)
        self._watched[symbol] = tuple(name for name in chain if name not in self._always)
        self.serving[symbol] = None
        self.reasons[symbol] = "no data yet"
        self._unserved.add(symbol)
        self._order[symbol] = self._added = self._added + 1
        self._resubscribe_timer.carried.update(chain)
        self._agenda.add(symbol, self.chains[symbol])

    def extend(self, symbol: str, chain: Sequence[str]) -> None:
        """Replace an instrument's chain by one that contains all of its sources, and more."""
        self._resubscribe_timer.carried.update(set(chain).difference(self.chains[symbol]))
        self.chains[symbol] = tuple(chain)
        self._watched[symbol] = tuple(name for name in chain if name not in self._always)
        self._agenda.remove(symbol)
        self._agenda.add(symbol, self.chains[symbol])

    def remove(self, symbol: str) -> None:
        """Remove an instrument, without a `Change`; raise KeyError if it does not exist.

        Its last price is retained: if it is added again, it must still be the same coin.
        """
        chain = self.chains.pop(symbol)
        for known in (self._watched, self.serving, self.reasons, self._order):
            del known[symbol]
        self.halted_source.pop(symbol, None)
        self._unserved.discard(symbol)
        self._resubscribe_timer.carried.subtract(chain)
        for name in chain:
            self._resubscribe_timer.stop((name, symbol))
        self._agenda.remove(symbol)
        self._chooser.forget(symbol, chain)

    def decide(self, now_ns: int, facts: Facts, pin: str | None = None) -> Decision:
        """Run one round; with `pin` only that source may serve real instruments.

        `facts` must contain the same sources each time.
        """
        due = self._agenda.due(now_ns, facts, pin, self.serving, self._unserved)
        for symbol in due:
            self._clear_resumed(symbol, facts)
        self.watch.mark(due)
        decision = Decision([], [], [], self._find_missing(now_ns, facts), [])
        due.update(each.symbol for each in decision.missing_channels)
        self.reconsidered = due
        for symbol in sorted(due, key=self._order.__getitem__):
            self._decide(self._case(symbol, now_ns, facts, pin), decision)
        again = self._resubscribe_timer.due(now_ns)
        again.sort(key=lambda key: self._order[key[1]])
        decision.resubscribe.extend(again)
        decision.move.extend(self._resubscribe_timer.sources_to_move(again, self.watch.missing))
        return decision

    def incomplete(self) -> set[str]:
        """Return the sources that serve an instrument without its top of book or trades."""
        return {
            source
            for source, symbol in self.watch.missing
            if self.serving[symbol] == source and self.watch.severity(source, symbol) >= MAJOR
        }

    def missing_at(self, source: str | None, symbol: str) -> str | None:
        """Return which channels of `symbol` are missing at `source`, in words; None if none is."""
        return self._chooser.missing_at(source, symbol)

    def why_not(self, name: str, symbol: str, facts: Facts) -> str | None:
        """Return why `name` is not live for `symbol`, or which channels are missing; None if all is well."""
        return self._chooser.why_not(name, symbol, facts)

    def needs_all_sources(self) -> set[tuple[str, ...]]:
        """Return chains whose live sources must not serve an instrument, so that all others are needed."""
        unusable = self.held_back.keys() | self.halted_source.keys()
        return {self.chains[symbol] for symbol in unusable if self.serving[symbol] is None}

    def troubles(self) -> list[str]:
        """Return the first ten sources held back, as sentences."""
        held_back = [
            f"{name} is held back for {symbol}: {reason}"
            for symbol in sorted(self.held_back, key=self._order.__getitem__)
            for name, reason in self.held_back[symbol].items()
        ]
        more = len(held_back) - _MAX_TROUBLES
        return held_back if more <= 0 else [*held_back[:_MAX_TROUBLES], f"and {more} more held back"]

    def is_live(self, source: str, symbol: str, facts: Facts) -> bool:
        """Return whether `source` is live for `symbol`: connected, fresh, with data since it connected."""
        return self.silence.is_live(source, symbol, facts)

    def objection(self, name: str, symbol: str, facts: Facts, now_ns: int) -> str | None:
        """Return why the live source `name` could not serve `symbol`: halted, or perhaps another coin."""
        halted = facts[name].of(symbol).halted.get(symbol)
        return halted or self._chooser.objection(
            name, symbol, chain=self.chains[symbol], facts=facts, now_ns=now_ns
        )

    def _case(self, symbol: str, now_ns: int, facts: Facts, pin: str | None) -> Case:
        chain = allowed = self.chains[symbol]
        if pin is not None:
            allowed = tuple(name for name in chain if name == pin or name in self._always)
        return Case(
            symbol=symbol,
            chain=chain,
            allowed=allowed,
            current=self.serving[symbol],
            now_ns=now_ns,
            facts=facts,
            pin=pin,
        )

    def _clear_resumed(self, symbol: str, facts: Facts) -> None:
        chain = self.chains[symbol]
        back = self.watch.clear_resumed(symbol, chain, facts) | self.silence.clear_resumed(symbol, chain)
        self._chooser.resumed.update(back)
        for key in back:
            if key not in self.silence.dead and key not in self.watch.missing:
                self._resubscribe_timer.stop(key)

    def _find_missing(self, now_ns: int, facts: Facts) -> list[MissingChannel]:
        live = partial(self._chooser.trades, facts=facts)
        found = self.watch.check(Round(now_ns, facts, self._watched, live, self.guard.comparable))
        for each in found:
            self._resubscribe_timer.start((each.source, each.symbol))
        found.sort(key=lambda each: self._order[each.symbol])
        return [each._replace(served=self.serving[each.symbol] == each.source) for each in found]

    def _decide(self, case: Case, decision: Decision) -> None:
        """Decide about one instrument, and when to reconsider it."""
        symbol, chooser = case.symbol, self._chooser
        self._check_silence(case)
        candidates = chooser.candidates(case)
        newly_held_back = chooser.hold_back(symbol, candidates.objections)
        decision.held_back.extend(HeldBack(name, symbol, reason) for name, reason in newly_held_back.items())
        chosen = chooser.choose(case, candidates.trading)
        if chosen != case.current:
            decision.changes.append(Change(symbol, case.current, chosen, chooser.explain(case, chosen)))
            self.serving[symbol] = chosen
            self._agenda.reconsider(symbol)  # other rules apply to a serving source
            if chosen is not None:
                chooser.set_serving(symbol, chosen, case.now_ns)
        if chosen is None:
            self.reasons[symbol] = chooser.why_none(case)
            self._unserved.add(symbol)
        else:
            self._unserved.discard(symbol)
        self._show_halted(symbol, chosen, candidates.trading)
        self._plan(case, chosen, candidates)

    def _check_silence(self, case: Case) -> None:
        if case.current is not None and self.silence.check(
            now_ns=case.now_ns,
            symbol=case.symbol,
            chain=case.chain,
            serving=case.current,
            facts=case.facts,
            comparable=self.guard.comparable,
        ):
            self._resubscribe_timer.start((case.current, case.symbol))
            self.watch.mark((case.symbol,))

    def _show_halted(self, symbol: str, chosen: str | None, candidates: Mapping[str, bool]) -> None:
        """If all live sources have halted the instrument, show the values of the first one."""
        name = next(iter(candidates), None) if chosen is None else None
        if name is None:
            self.halted_source.pop(symbol, None)
        else:
            self.halted_source[symbol] = name

    def _plan(self, case: Case, chosen: str | None, candidates: Candidates) -> None:
        """Determine which events and times may change the decision."""
        symbol, chain, facts = case.symbol, case.chain, case.facts
        is_silent = chosen is not None and self.silence.follow(case.now_ns, symbol, chosen)
        triggers = [
            name
            for name in chain
            if is_silent
            or candidates.compared
            or (facts[name].of(symbol).state == "live" and not self.is_live(name, symbol, facts))
        ]
        points = self._chooser.recheck_times(case, chosen, candidates.objections)
        self._agenda.plan(symbol, chain, triggers, (at_ns for at_ns in points if at_ns > case.now_ns))
