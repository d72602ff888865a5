"""Which sources are connected: the serving one, all preferred ones, and the configured number of standbys."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.feed.standby import Standby
from tests.feed.world import LIMITS, Facts, S, World

CHAIN = ("one", "two", "three", "four")
FAILBACK = LIMITS.failback_after_ns
Count = int | Literal["all"]


def sources_off(*names: str) -> dict[str, Facts]:
    """Create sources that are off."""
    return {name: Facts() for name in names or CHAIN}


@pytest.mark.parametrize(
    ("count", "names"),
    [(0, {"one"}), (1, {"one", "two"}), (2, {"one", "two", "three"}), (9, set(CHAIN)), ("all", set(CHAIN))],
)
def test_the_first_source_and_its_standbys_are_connected(count: Count, names: set[str]) -> None:
    """While all is well the first of the chain and the next ones are connected."""
    assert Standby([CHAIN], count, FAILBACK).wanted(0, sources_off()) == names


@pytest.mark.parametrize("state", ["lost", "stale", "connecting", "connected", "live"])
def test_a_failed_source_does_not_count_until_it_is_reliable(state: str) -> None:
    """A source that failed stays wanted, but does not count until it was live for `failback_after`."""
    facts = sources_off()
    facts["one"] = Facts(state, failed=True, live_since_ns=0)  # type: ignore[arg-type]
    standby = Standby([CHAIN], 1, FAILBACK)
    early = standby.wanted(FAILBACK - 1, facts)
    late = standby.wanted(FAILBACK, facts)

    assert early == {"one", "two", "three"}
    assert late == ({"one", "two"} if state == "live" else early)


def test_all_chains_are_served() -> None:
    """Sources of other instruments are connected for those."""
    standby = Standby([("one", "two"), ("walk",), ("two",), ()], 0, FAILBACK)

    assert standby.wanted(0, sources_off("one", "two", "walk")) == {"one", "walk", "two"}


def test_pinned_source_is_always_wanted() -> None:
    """A pinned source is connected, however far back in the chain."""
    for count in (0, 1, 2):
        assert "four" in Standby([CHAIN], count, FAILBACK).wanted(0, sources_off(), "four")
    assert Standby([CHAIN], 0, FAILBACK).wanted(0, sources_off(), "four") == {"four"}


def test_one_at_a_time_rotates() -> None:
    """With 0 each loss moves on to the next, from the last to the first, one at any time."""
    facts = sources_off()
    standby = Standby([CHAIN], 0, FAILBACK)
    turns = []
    for second in range(6):
        (name,) = standby.wanted(second * S, facts)
        turns.append(name)
        for each in CHAIN:
            facts[each].state = "lost" if each == name else "off"

    assert turns == ["one", "two", "three", "four", "one", "two"]


def test_each_turn_lasts_a_second_while_all_are_down() -> None:
    """With 0, lost sources alternate every second, not in every round."""
    facts = sources_off()
    for each in CHAIN:
        facts[each].state = "lost"
    standby = Standby([CHAIN], 0, FAILBACK)
    names = [next(iter(standby.wanted(tenth * S // 10, facts))) for tenth in range(21)]

    assert names == ["two"] * 10 + ["three"] * 10 + ["four"]


def test_one_at_a_time_does_not_fail_back() -> None:
    """With 0 a working source is not replaced by a preferred one."""
    facts = sources_off()
    standby = Standby([CHAIN], 0, FAILBACK)
    facts["one"].state = "lost"
    standby.wanted(0, facts)
    facts["one"].state = "off"
    facts["two"].state = "live"

    assert [standby.wanted(at * FAILBACK, facts) for at in range(5)] == [{"two"}] * 5


FACTS = st.builds(
    Facts,
    state=st.sampled_from(["off", "connecting", "connected", "live", "stale", "lost", "ended"]),
    failed=st.booleans(),
    live_since_ns=st.integers(0, 100 * S),
)


@given(st.tuples(FACTS, FACTS, FACTS, FACTS), st.integers(1, 3), st.integers(100 * S, 200 * S))
def test_enough_reliable_sources_are_wanted_and_no_more(
    facts: tuple[Facts, ...], count: int, now_ns: int
) -> None:
    """Wanted is the shortest prefix of the chain with the serving source and `count` more reliable ones."""
    given_lines = dict(zip(CHAIN, facts, strict=True))
    wanted = Standby([CHAIN], count, FAILBACK).wanted(now_ns, given_lines)

    def reliable(names: set[str]) -> int:
        return sum(
            (line.state == "live" and now_ns - line.live_since_ns >= FAILBACK)
            if line.failed
            else line.state not in ("stale", "lost", "ended")
            for name, line in given_lines.items()
            if name in names
        )

    assert wanted == set(CHAIN[: len(wanted)])
    assert reliable(wanted) == 1 + count or wanted == set(CHAIN)
    assert reliable(set(CHAIN[: len(wanted) - 1])) < 1 + count


def test_an_incomplete_source_is_not_reliable() -> None:
    """One at a time, the next has its turn; otherwise one more is connected."""
    world = World({"btcusdt": ("one", "two", "three")})
    world.live("one", "two")
    chains = world.failover.chains.values()
    at_a_time, with_one = Standby(chains, 0, 30 * S), Standby(chains, 1, 30 * S)

    assert at_a_time.wanted(world.now_ns, world.sources) == {"one"}
    assert at_a_time.wanted(world.now_ns + 2 * S, world.sources, incomplete={"one"}) == {"two"}
    assert with_one.wanted(world.now_ns, world.sources) == {"one", "two"}
    assert with_one.wanted(world.now_ns, world.sources, incomplete={"one"}) == {"one", "two", "three"}


def test_a_chain_is_removed_with_its_last_instrument() -> None:
    """Sources without instruments are not wanted; those of an added one are."""
    standby = Standby([("one",), ("two",), ("two",)], 1, FAILBACK)
    standby.remove(("two",))
    one_left = standby.wanted(0, sources_off())
    standby.remove(("two",))
    none_left = standby.wanted(0, sources_off())
    standby.add(("three", "four"))

    assert one_left == {"one", "two"}
    assert none_left == {"one"}
    assert standby.wanted(0, sources_off()) == {"one", "three", "four"}


class PlainStandby:
    """The same rules, followed for each chain anew."""

    def __init__(self, count: Count) -> None:
        self.chains: list[tuple[str, ...]] = []
        self._count = count
        self._turns: dict[tuple[str, ...], tuple[int, int]] = {}

    def wanted(
        self,
        now_ns: int,
        facts: dict[str, Facts],
        pin: str | None,
        needs_all_sources: Collection[tuple[str, ...]],
        incomplete: Collection[str],
    ) -> set[str]:
        """Return the names of the sources to connect."""
        turns = self._turns
        self._turns = {chain: turns.get(chain, (0, -S)) for chain in self.chains if chain}
        names = {pin} if pin else set()
        for chain, (last_turn, since_ns) in self._turns.items():
            if self._count == "all" or (self._count and chain in needs_all_sources):
                names.update(chain)
            elif self._count:
                needed = 1 + self._count
                for name in chain:
                    names.add(name)
                    needed -= name not in incomplete and _is_reliable(facts[name], now_ns)
                    if not needed:
                        break
            elif pin in chain:
                continue
            else:
                name = chain[last_turn]
                down = facts[name].state in ("stale", "lost", "ended") or name in incomplete
                if down and now_ns - since_ns >= S:
                    turn = (last_turn + 1) % len(chain)
                    self._turns[chain] = (turn, now_ns)
                    name = chain[turn]
                names.add(name)
        return names


def _is_reliable(facts: Facts, now_ns: int) -> bool:
    if facts.failed:
        return facts.state == "live" and now_ns - facts.live_since_ns >= FAILBACK
    return facts.state not in ("stale", "lost", "ended")


CHAINS = st.lists(st.sampled_from(CHAIN), unique=True).map(tuple)
NAMES = st.sets(st.sampled_from(CHAIN), max_size=2)
EVENT = st.one_of(
    st.tuples(st.just("facts"), st.sampled_from(CHAIN), FACTS),
    st.tuples(st.just("add"), CHAINS),
    st.tuples(st.just("remove"), st.integers(0, 4)),
    st.tuples(st.just("pin"), st.none() | st.sampled_from(CHAIN)),
    st.tuples(st.just("incomplete"), NAMES),
    st.tuples(st.just("needs_all_sources"), st.sets(st.integers(0, 4), max_size=2)),
    st.tuples(st.just("time"), st.sampled_from([S // 10, S, FAILBACK])),
)


@given(
    st.sampled_from([0, 1, 2, "all"]), st.lists(CHAINS, max_size=5), st.lists(EVENT, min_size=1, max_size=40)
)
def test_every_round_notices_what_has_happened(
    count: Count, chains: list[tuple[str, ...]], events: list[tuple[Any, ...]]
) -> None:
    """Whatever happens between two rounds, the next one chooses as if it looked at every chain."""
    standby, plain = Standby(chains, count, FAILBACK), PlainStandby(count)
    plain.chains += chains
    facts, now_ns = sources_off(), 100 * S
    pin: str | None = None
    incomplete: set[str] = set()
    needing_all: set[tuple[str, ...]] = set()
    for kind, *what in events:
        match kind:
            case "facts":
                facts[what[0]] = what[1]
            case "add":
                standby.add(what[0])
                plain.chains.append(what[0])
            case "remove" if what[0] < len(plain.chains):
                standby.remove(plain.chains.pop(what[0]))
            case "pin":
                pin = what[0]
            case "incomplete":
                incomplete.clear()
                incomplete |= what[0]
            case "needs_all_sources":
                needing_all.clear()
                needing_all |= {chain for at, chain in enumerate(plain.chains) if at in what[0]}
            case "time":
                now_ns += what[0]
        expected = plain.wanted(now_ns, facts, pin, needing_all, incomplete)

        assert standby.wanted(now_ns, facts, pin, needing_all, incomplete) == expected


class CountedFacts(Facts):
    """A source that counts how often it was judged."""

    judged = 0

    def __getattribute__(self, name: str) -> Any:
        """Count a look at its state."""
        if name == "state":
            self.judged += 1
        return super().__getattribute__(name)


class CountedChain(tuple[str, ...]):
    """A chain that counts how often it was looked through."""

    looked = 0

    def __iter__(self) -> Iterator[str]:
        """Count it."""
        CountedChain.looked += 1
        return super().__iter__()


def test_a_round_judges_each_source_once_and_looks_through_chains_only_after_a_change() -> None:
    """There may be thousands of chains, but few sources: a round in which nothing happened is cheap."""
    facts = {name: CountedFacts() for name in CHAIN}
    standby = Standby([CountedChain(CHAIN[at:]) for at in range(4)], 1, FAILBACK)

    def round_(now_ns: int) -> tuple[int, list[int]]:
        """Return how many chains were looked through, and how often each source was judged."""
        CountedChain.looked = 0
        for each in facts.values():
            each.judged = 0
        standby.wanted(now_ns, facts)
        return CountedChain.looked, [each.judged for each in facts.values()]

    once = [1] * len(CHAIN)
    assert round_(0) == (4, once)
    assert round_(1) == (0, once)
    facts["one"].state = "live"
    assert round_(2) == (0, once)
    facts["one"].state = "lost"
    assert round_(3) == (4, once)
    assert round_(4) == (0, once)
