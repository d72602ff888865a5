"""Invariants of failover under any history of sources."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from crypto_stream.market.status import SourceState
from tests.feed.full_scan.failover import Failover as FullScan
from tests.feed.world import LIMITS, World

CHAINS = {
    "btcusdt": ("one", "two", "three"),
    "ethusdt": ("two", "one"),
    "xrpusdt": ("three",),
    "ticker_00": ("walk",),
}
SOURCES = ("one", "two", "three", "walk")
NAMES = st.sampled_from(SOURCES)
DOWN: tuple[SourceState, ...] = ("off", "connecting", "connected", "stale", "lost", "ended")
PINS = st.sampled_from([None, None, "one", "two", "three", "walk"])


class Sources(RuleBasedStateMachine):
    """Sources connect, send data and disconnect; each decision is checked against the facts."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(CHAINS, always=("walk",))
        self.twin = FullScan(CHAINS, self.world.book, LIMITS, ("walk",))
        self.pin: str | None = None

    @rule(name=NAMES)
    def comes(self, name: str) -> None:
        self.world.live(name)

    @rule(name=NAMES, state=st.sampled_from(DOWN))
    def goes(self, name: str, state: SourceState) -> None:
        self.world.lose(name, state, f"{state} for a test")

    @rule(name=NAMES, symbol=st.sampled_from(sorted(CHAINS)), moves=st.booleans())
    def speaks(self, name: str, symbol: str, moves: bool) -> None:
        if name in CHAINS[symbol]:
            (self.world.move if moves else self.world.trade)(name, symbol)

    @rule(seconds=st.sampled_from([0.1, 1.1, 5.0, 30.0, 61.0]))
    def waits(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(pin=PINS)
    def pins(self, pin: str | None) -> None:
        self.pin = pin

    @invariant()
    def decision_follows_from_the_facts(self) -> None:
        """A serving source is allowed and live; if there is one, it serves; changes have reasons."""
        world, failover = self.world, self.world.failover
        before = dict(failover.serving)
        changes = world.decide(self.pin)
        twin = [tuple(change) for change in self.twin.decide(world.now_ns, world.sources, self.pin).changes]

        assert twin == changes
        for symbol, chain in CHAINS.items():
            allowed = [name for name in chain if self.pin in (None, name) or name == "walk"]
            live = [name for name in allowed if failover.is_live(name, symbol, world.sources)]
            serving = failover.serving[symbol]
            assert serving in live if live else serving is None
            if serving and not any(world.sources[name].failed for name in live):
                best = live[0]
                assert serving == best or (best, symbol) in failover._chooser.resumed
        assert {change[0]: change[2] for change in changes} == {
            symbol: serving for symbol, serving in failover.serving.items() if serving != before[symbol]
        }
        assert len(changes) == len({change[0] for change in changes})
        for symbol, was, now, reason in changes:
            assert was == before[symbol]
            assert reason
            assert "None" not in reason
            assert now is None or now in reason or (was and was in reason)
        for _ in SOURCES:  # a source taken now may turn out to be dead, but nothing goes in circles
            world.decide(self.pin)
            self.twin.decide(world.now_ns, world.sources, self.pin)
        assert world.decide(self.pin) == []


Sources.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestSources = Sources.TestCase
