"""Which source serves which instrument, and why. Pure: facts in, decisions out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from crypto_stream.feed.agenda import Agenda
from crypto_stream.feed.channel_watch import Round
from crypto_stream.feed.channels import HEAVY, Lack
from crypto_stream.feed.chooser import NOT_CARRIED as NOT_CARRIED
from crypto_stream.feed.chooser import Case, Chooser, Ready
from crypto_stream.feed.facts import Facts, Limits
from crypto_stream.feed.guard import JumpGuard
from crypto_stream.feed.repeats import Repeats
from crypto_stream.market.book import Book

_MOST_SAID = 10


class Held(NamedTuple):
    """A live source that does not serve an instrument, as its price may be another coin's."""

    source: str
    symbol: str
    reason: str


class Change(NamedTuple):
    """One instrument's new serving source (None: no live one) and why."""

    symbol: str
    before: str | None
    after: str | None
    reason: str


class Decision(NamedTuple):
    """What one round found: changes to publish, (source, symbol) to ask for again, and who is newly held.

    `lacks`: channels newly found to give nothing. `move`: sources that lack the same for so many and so long
    that only a new connection may help.
    """

    changes: list[Change]
    resubscribe: list[tuple[str, str]]
    held: list[Held]
    lacks: list[Lack]
    move: list[str]


class Failover:
    """Keep each instrument served by the first source of its chain that is live for it and lacks nothing.

    Where all lack something, by the one that lacks least. A round costs what has changed since the last one,
    and what falls due; instruments to which nothing happened are not looked at (see `Agenda`).

    `chains` maps symbols to sources, best first; no pin excludes a source in `always`. The present result:
    `serving`, `reasons` (why nothing serves it), `stands_in` (whose values are shown, stale, as its venue
    says that the instrument does not trade) and `held` (by symbol, who is live but in doubt, and why).
    """

    def __init__(
        self,
        chains: Mapping[str, Sequence[str]],
        book: Book,
        limits: Limits,
        always: Sequence[str] = (),
        guard: JumpGuard | None = None,
    ) -> None:
        """Begin with nothing served; without a guard any price may follow any other."""
        self.chains: dict[str, tuple[str, ...]] = {}
        self.serving: dict[str, str | None] = {}
        self.reasons: dict[str, str] = {}
        self.stands_in: dict[str, str] = {}
        self.guard = guard or JumpGuard(book, 0)
        self._chooser = Chooser(book, limits, self.guard)
        self.silence, self.watch, self.held = self._chooser.silence, self._chooser.watch, self._chooser.held
        self._always = frozenset(always)
        self._agenda = Agenda(book, self.silence, self.watch)
        self._repeats = Repeats(limits.quiet_after)
        self._unserved: set[str] = set()
        self._watched: dict[str, tuple[str, ...]] = {}
        self._order: dict[str, int] = {}
        self._added = 0
        for symbol, chain in chains.items():
            self.add(symbol, chain)

    def add(self, symbol: str, chain: Sequence[str]) -> None:
        """Carry another instrument, from the next round on; ValueError where it is carried already.

        A source that gave data of it since it connected can serve it at once.
        """
        if symbol in self.chains:
            raise ValueError(f"{symbol} is there already")
        self.chains[symbol] = tuple(chain)
        self._watched[symbol] = tuple(name for name in chain if name not in self._always)
        self.serving[symbol] = None
        self.reasons[symbol] = "no data yet"
        self._unserved.add(symbol)
        self._order[symbol] = self._added = self._added + 1
        self._repeats.carried.update(chain)
        self._agenda.add(symbol, self.chains[symbol])

    def remove(self, symbol: str) -> None:
        """Carry an instrument no more; KeyError where it is not carried. No change tells of it.

        Its last price is kept: should it come back, it is still the same coin.
        """
        chain = self.chains.pop(symbol)
        for known in (self._watched, self.serving, self.reasons, self._order):
            del known[symbol]
        self.stands_in.pop(symbol, None)
        self._unserved.discard(symbol)
        self._repeats.carried.subtract(chain)
        for name in chain:
            self._repeats.over((name, symbol))
        self._agenda.remove(symbol)
        self._chooser.forget(symbol, chain)

    def decide(self, now_ns: int, facts: Facts, pin: str | None = None) -> Decision:
        """Go round once; with `pin` only that source may serve real instruments.

        `facts` are those of the same sources each time.
        """
        due = self._agenda.due(now_ns, facts, pin, self.serving, self._unserved)
        for symbol in due:
            self._revive(symbol, facts)
        self.watch.note(due)
        decision = Decision([], [], [], self._lacks(now_ns, facts), [])
        due.update(lack.symbol for lack in decision.lacks)
        for symbol in sorted(due, key=self._order.__getitem__):
            self._decide(self._case(symbol, now_ns, facts, pin), decision)
        again = self._repeats.due(now_ns)
        again.sort(key=lambda key: self._order[key[1]])
        decision.resubscribe.extend(again)
        decision.move.extend(self._repeats.moves(again, self.watch.lacking))
        return decision

    def short(self) -> set[str]:
        """Name the sources that serve an instrument without its prices or trades."""
        return {
            source
            for source, symbol in self.watch.lacking
            if self.serving[symbol] == source and self.watch.weight(source, symbol) >= HEAVY
        }

    def why_lacking(self, source: str | None, symbol: str) -> str | None:
        """Say what `source` does not give of `symbol` although it should; None where it lacks nothing."""
        return self._chooser.why_lacking(source, symbol)

    def why_not(self, name: str, symbol: str, facts: Facts) -> str | None:
        """Say why `name` is not live for `symbol`, or what of it is lacking; None where all is well."""
        return self._chooser.why_not(name, symbol, facts)

    def at_a_loss(self) -> set[tuple[str, ...]]:
        """Name the chains of instruments whose live sources may not serve: every other one is needed."""
        doubtful = self.held.keys() | self.stands_in.keys()
        return {self.chains[symbol] for symbol in doubtful if self.serving[symbol] is None}

    def troubles(self) -> list[str]:
        """Say in sentences who is held back, the first ten."""
        held = [
            f"{name} is held back for {symbol}: {reason}"
            for symbol in sorted(self.held, key=self._order.__getitem__)
            for name, reason in self.held[symbol].items()
        ]
        more = len(held) - _MOST_SAID
        return held if more <= 0 else [*held[:_MOST_SAID], f"and {more} more held back"]

    def is_live(self, source: str, symbol: str, facts: Facts) -> bool:
        """Say whether `source` is live for `symbol`: connected, fresh, with data of it since it connected."""
        return self.silence.is_live(source, symbol, facts)

    def doubt(self, name: str, symbol: str, facts: Facts, now_ns: int) -> str | None:
        """Say why `name`, live, would not serve `symbol` next: halted there, or perhaps another coin."""
        halted = facts[name].of(symbol).halted.get(symbol)
        return halted or self._chooser.objection(name, self._case(symbol, now_ns, facts, None))

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

    def _revive(self, symbol: str, facts: Facts) -> None:
        chain = self.chains[symbol]
        back = self.watch.forgive(symbol, chain, facts) | self.silence.forgive(symbol, chain)
        self._chooser.revived.update(back)
        for key in back:
            if key not in self.silence.dead and key not in self.watch.lacking:
                self._repeats.over(key)

    def _lacks(self, now_ns: int, facts: Facts) -> list[Lack]:
        live = partial(self._chooser.trades, facts=facts)
        found = self.watch.look(Round(now_ns, facts, self._watched, live, self.guard.comparable))
        for lack in found:
            self._repeats.wants((lack.source, lack.symbol))
        found.sort(key=lambda lack: self._order[lack.symbol])
        return [lack._replace(served=self.serving[lack.symbol] == lack.source) for lack in found]

    def _decide(self, case: Case, decision: Decision) -> None:
        """Decide about one instrument, and when to do so next."""
        symbol, chooser = case.symbol, self._chooser
        self._judge_silence(case)
        ready = chooser.ready(case)
        newly_held = chooser.hold(symbol, ready.doubts)
        decision.held.extend(Held(name, symbol, reason) for name, reason in newly_held.items())
        chosen = chooser.choose(case, ready.trades)
        if chosen != case.current:
            decision.changes.append(Change(symbol, case.current, chosen, chooser.explain(case, chosen)))
            self.serving[symbol] = chosen
            self._agenda.look_again(symbol)  # who serves now is judged by other rules than who may
            if chosen is not None:
                chooser.serves(symbol, chosen, case.now_ns)
        if chosen is None:
            self.reasons[symbol] = chooser.why_none(case)
            self._unserved.add(symbol)
        else:
            self._unserved.discard(symbol)
        self._let_stand_in(symbol, chosen, ready.trades)
        self._plan(case, chosen, ready)

    def _judge_silence(self, case: Case) -> None:
        if case.current is not None and self.silence.look(
            now_ns=case.now_ns,
            symbol=case.symbol,
            chain=case.chain,
            serving=case.current,
            facts=case.facts,
            comparable=self.guard.comparable,
        ):
            self._repeats.wants((case.current, case.symbol))
            self.watch.note((case.symbol,))

    def _let_stand_in(self, symbol: str, chosen: str | None, ready: Mapping[str, bool]) -> None:
        """Where nobody trades the instrument, show what the first venue says that halted it."""
        name = next(iter(ready), None) if chosen is None else None
        if name is None:
            self.stands_in.pop(symbol, None)
        else:
            self.stands_in[symbol] = name

    def _plan(self, case: Case, chosen: str | None, ready: Ready) -> None:
        """Say which events and which times may change what was decided."""
        symbol, chain, facts = case.symbol, case.chain, case.facts
        is_silent = chosen is not None and self.silence.follow(case.now_ns, symbol, chosen)
        heeded = [
            name
            for name in chain
            if is_silent
            or ready.compared
            or (facts[name].of(symbol).state == "live" and not self.is_live(name, symbol, facts))
        ]
        points = self._chooser.turning_points(case, chosen, ready.doubts)
        self._agenda.plan(symbol, chain, heeded, (at_ns for at_ns in points if at_ns > case.now_ns))
