"""The failover, which examines only what changed, decides the same as one that examines everything."""

from __future__ import annotations

from typing import Any, Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from crypto_stream.feed.failover import Decision, Failover
from crypto_stream.feed.guard import JumpGuard
from crypto_stream.market.events import Trade, Update
from crypto_stream.market.status import SourceState
from tests.feed.full_scan.failover import Failover as FullScan
from tests.feed.world import LIMITS, World
from tests.instruments import named

CHAINS = {
    "btcusdt": ("one", "two", "three"),
    "ethusdt": ("two", "one"),
    "xrpusdt": ("three",),
    "ticker_00": ("walk",),
}
SPARE = {"solusdt": ("one", "three"), "xrpusdt": ("two", "three"), "adausdt": ("three", "two", "one")}
SOURCES = ("one", "two", "three", "walk")
What = Literal["trade", "top", "day", "last"]
WHATS: tuple[What, ...] = ("trade", "top", "day", "last")
TALK = [
    (name, symbol, what)
    for symbol in sorted(CHAINS | SPARE)
    for name in sorted({*CHAINS.get(symbol, ()), *SPARE.get(symbol, ())})
    for what in WHATS
]
NAMES = st.sampled_from(SOURCES)
SYMBOLS = st.sampled_from(sorted(CHAINS | SPARE))
DOWN: tuple[SourceState, ...] = ("off", "connecting", "connected", "stale", "lost", "ended")
LEVELS = (100, 103, 106, 125, 9000)  # the last two are another coin's


class Both(RuleBasedStateMachine):
    """One world for both implementations, with ten rounds a second; each compares their complete state."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(CHAINS, always=("walk",))
        book = self.world.book
        self.mine = Failover(CHAINS, book, LIMITS, ("walk",), JumpGuard(book, 5))
        self.full = FullScan(CHAINS, book, LIMITS, ("walk",), JumpGuard(book, 5))
        self.pin: str | None = None
        self.levels = dict.fromkeys(SOURCES, (100, 100, 1))  # now one, now the other, each so many looks
        self.generation = 0
        self.key = self.looks = 0
        self.calm = set[str]()
        self.pace: dict[tuple[str, str, What], int | None] = dict.fromkeys(TALK, 4)

    @initialize(pace=st.sampled_from([4, 30, None, None]), whats=st.sets(st.sampled_from(WHATS), min_size=1))
    def begins(self, pace: int | None, whats: set[What]) -> None:
        """All sources send data once, then all continue, or only as rules make them."""
        self.comes(set(SOURCES))
        for key in TALK:
            self.pace[key] = pace
            if key[2] in whats:
                self.say(*key)
        self.look()

    @rule(
        names=st.lists(NAMES, min_size=1, max_size=3),
        symbol=SYMBOLS,
        what=st.sampled_from(WHATS),
        looks=st.sampled_from([1, 2, 12, 31, 52, 110]),
    )
    def one_after_the_other_speaks(self, names: list[str], symbol: str, what: What, looks: int) -> None:
        for name in names:
            if (name, symbol, what) in TALK and self.world.sources[name].state == "live":
                self.say(name, symbol, what)
            self.time_passes(looks)

    @rule(names=st.sets(NAMES, min_size=1))
    def comes(self, names: set[str]) -> None:
        self.generation += 1
        self.world.live(*names)
        self.look()

    @rule(name=NAMES, state=st.sampled_from(DOWN), reason=st.sampled_from(["cut", "gone", None]))
    def goes(self, name: str, state: SourceState, reason: str | None) -> None:
        self.world.lose(name, state, reason or "")
        self.world.sources[name].reason = reason
        if state == "stale":
            self.world.sources[name].unbroken_since_ns = self.world.now_ns
        self.look()

    @rule(name=NAMES, connects=st.booleans())
    def begins_anew(self, name: str, connects: bool) -> None:
        line = self.world.sources[name]
        if connects:
            line.unbroken_since_ns = self.world.now_ns
        if line.state == "live":
            line.live_since_ns = self.world.now_ns
        self.look()

    @rule(name=NAMES, symbol=SYMBOLS, word=st.sampled_from(["HALT", "BREAK", ""]), listed=st.booleans())
    def has_no_market(self, name: str, symbol: str, word: str, listed: bool) -> None:
        line = self.world.sources[name]
        known = line.halted if listed else line.refused
        changed = {**known, symbol: word} if word else {each: known[each] for each in known if each != symbol}
        if listed:
            line.halted = changed
        else:
            line.refused = changed
        self.look()

    @rule(pin=st.sampled_from([None, None, *SOURCES]))
    def pins(self, pin: str | None) -> None:
        self.pin = pin
        self.look()

    @rule(symbol=st.sampled_from(sorted(SPARE)))
    def instrument_comes_or_goes(self, symbol: str) -> None:
        for failover in (self.mine, self.full):
            if symbol in failover.chains:
                failover.remove(symbol)
            else:
                failover.add(symbol, SPARE[symbol])
        self.look()

    @rule(
        name=NAMES,
        levels=st.tuples(st.sampled_from(LEVELS), st.sampled_from(LEVELS)),
        looks=st.sampled_from([7, 40, 300]),
        moves=st.booleans(),
    )
    def trades_at(self, name: str, levels: tuple[int, int], looks: int, moves: bool) -> None:
        self.levels[name] = (*levels, looks)
        (self.calm.discard if moves else self.calm.add)(name)

    @rule(
        names=st.sets(NAMES, min_size=1),
        symbols=st.sets(SYMBOLS, min_size=1),
        whats=st.sets(st.sampled_from(WHATS), min_size=1),
        every=st.sampled_from([None, 1, 4, 15, 70]),
    )
    def changes_its_pace(
        self, names: set[str], symbols: set[str], whats: set[What], every: int | None
    ) -> None:
        for key in TALK:
            if key[0] in names and key[1] in symbols and key[2] in whats:
                self.pace[key] = every

    @rule(looks=st.sampled_from([1, 5, 30, 90, 310, 650]))
    def time_passes(self, looks: int) -> None:
        for _ in range(looks):
            self.world.now = round(self.world.now + 0.1, 1)
            for key, every in self.pace.items():
                if every and self.world.sources[key[0]].state == "live" and self.looks % every == 0:
                    self.say(*key)
            self.look()

    @rule(seconds=st.sampled_from([0.1, 1.1, 5.0, 30.0, 61.0, 20_000.0]))
    def nothing_looks(self, seconds: float) -> None:
        self.world.now = round(self.world.now + seconds, 1)
        self.look()

    def say(self, name: str, symbol: str, what: What) -> None:
        self.key += 1
        moves = name not in self.calm
        *levels, looks = self.levels[name]
        price = levels[self.looks // looks % 2] + (self.key % 7) / 100 * moves
        instrument, text = named(symbol), str(price)
        event: Trade | Update
        if what == "trade":
            event = Trade(instrument, "trades", self.key, self.key, text, "1")
        elif what == "top":
            event = Update(
                instrument,
                "top",
                self.key,
                bid=str(price - 1),
                bid_size=text,
                ask=str(price + 1),
                ask_size="1",
            )
        elif what == "day":
            volume = str(self.key if moves else 1)
            event = Update(instrument, "day", self.key, price=text, volume_24h=volume, slow=True)
        else:
            event = Update(instrument, "last", self.key, price=text)
        self.world.book.of(name).apply(event, self.world.now_ns, self.generation)

    def look(self) -> None:
        """Run one round of both."""
        self.looks += 1
        now_ns, lines = self.world.now_ns, self.world.sources
        mine = self.mine.decide(now_ns, lines, self.pin)
        full = self.full.decide(now_ns, lines, self.pin)

        assert decided(mine) == decided(full)
        assert known(self.mine) == known(self.full)
        assert self.mine._chooser.resumed == self.full._resumed


def decided(decision: Decision) -> dict[str, Any]:
    """Return the decision, without the order of resubscriptions and missing channels."""
    parts = decision._asdict()
    return {
        **parts,
        "resubscribe": sorted(decision.resubscribe),
        "missing_channels": sorted(decision.missing_channels),
    }


def known(failover: Failover | FullScan) -> dict[str, Any]:
    """Return the state that users and other parts may read."""
    return {
        "serving": failover.serving,
        "reasons": failover.reasons,
        "stands in": failover.halted_source,
        "held": failover.held_back,
        "troubles": failover.troubles(),
        "dead": failover.silence.dead,
        "missing": failover.watch.missing,
        "short": failover.incomplete(),
        "at a loss": failover.needs_all_sources(),
    }


Both.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestBoth = Both.TestCase


def quiet(*names: str) -> Both:
    """Create a world whose sources sent data of btcusdt and ethusdt once, and send nothing more."""
    both = Both()
    both.pace = dict.fromkeys(TALK)
    both.calm = set(SOURCES)
    both.comes(set(names))
    for name, symbol, what in TALK:
        if name in names and symbol in ("btcusdt", "ethusdt"):
            both.say(name, symbol, what)
    both.look()
    return both


def test_probation_ends_without_an_event() -> None:
    """The preferred source returns when its probation is over, without an event."""
    both = quiet("one", "two")
    both.time_passes(350)
    both.goes("one", "lost", "cut")
    both.comes({"one"})
    both.say("one", "btcusdt", "trade")
    both.time_passes(295)
    early = both.mine.serving["btcusdt"]
    both.time_passes(10)

    assert early == "two"
    assert both.mine.serving["btcusdt"] == "one"


def test_age_allows_a_price_without_an_event() -> None:
    """A source held back serves once the last price is old enough: 6 % after 1.44 hours."""
    both = quiet("one", "two")
    both.levels["two"] = (106, 106, 1)
    for what in WHATS:
        both.say("two", "btcusdt", what)
    both.goes("one", "lost", "cut")
    served = []
    for _ in range(60):
        served.append(both.mine.serving["btcusdt"])
        both.nothing_looks(100.0)

    assert served.index("two") in range(50, 55)


def missing_trades() -> Both:
    """Let the only source of btcusdt deliver everything but trades, until that is detected."""
    both = quiet("one")
    both.calm.clear()
    for key in TALK:
        if key[:2] == ("one", "btcusdt") and key[2] != "trade":
            both.pace[key] = 4
    both.time_passes(900)
    assert both.mine.watch.describe("one", "btcusdt") == "no trades although it is traded"
    return both


def test_a_missing_channel_resumes_with_its_first_data() -> None:
    """Even if the other channels continued all the time."""
    both = missing_trades()
    both.say("one", "btcusdt", "trade")
    both.look()

    assert ("one", "btcusdt") not in both.mine.watch.missing


def test_a_new_connection_starts_without_missing_channels() -> None:
    """Even while it is not live yet."""
    both = missing_trades()
    both.goes("one", "lost", "cut")
    both.time_passes(10)
    both.begins_anew("one", connects=True)

    assert ("one", "btcusdt") not in both.mine.watch.missing


def test_a_channel_of_one_instrument_is_expected_of_all() -> None:
    """With a source's first top of book, all instruments without one are judged at once."""
    both = Both()
    both.pace = {key: 4 if key[0] == "two" or key[2] == "trade" else None for key in TALK}
    both.comes({"one", "two"})
    both.time_passes(173)
    before = dict(both.mine.watch.missing)
    both.say("one", "solusdt", "top")
    both.time_passes(12)

    assert before == {}
    assert "top" in both.mine.watch.missing["one", "btcusdt"]
