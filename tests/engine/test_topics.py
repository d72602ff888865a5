"""When changes of a topic are sent: at once after a pause, then no more often than the topic allows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from crypto_stream.bus.interface import WATCH_EXPIRES_S
from crypto_stream.bus.messages import TopicUpdate, Watched
from crypto_stream.engine.topics import MAX_NEW, MAX_WATCHED, Topics


class Numbers:
    """A topic of one number."""

    name = "numbers"
    every_s = 0.05

    def __init__(self) -> None:
        self.value = 0
        self.exists = True
        self._told = 0

    def has(self, key: str) -> bool:
        """There is every key, or none."""
        return self.exists

    def current(self, key: str) -> int:
        """Return the number."""
        return self.value

    def asked(self, key: str) -> int:
        """Return the number."""
        return self.value

    def start(self, key: str) -> int:
        """Return the number."""
        return self.value

    def changes(self, key: str) -> int | None:
        """Return the number if it has changed."""
        if self._told == self.value:
            return None
        self._told = self.value
        return self.value

    def stop(self, key: str) -> None:
        """Forget nothing."""


class Desk:
    """A gateway that watches a number, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.sent: list[int] = []
        self.numbers = Numbers()
        self.topics = Topics([self.numbers], lambda _, update: self._take(update), lambda: self.now_s)
        self.topics.watch("gateway", {"numbers": ["one"]})

    async def change(self, after_s: float) -> list[int]:
        """Change the number after so long; return what was sent until then."""
        self.now_s += after_s
        self.numbers.value += 1
        self.topics.happened("numbers", "one")
        await asyncio.sleep(0)
        return list(self.sent)

    def round(self, after_s: float) -> list[int]:
        """Let a round come after so long; return what was sent until then."""
        self.now_s += after_s
        self.topics.send_changes(["numbers"], 0.045)
        return list(self.sent)

    def _take(self, update: TopicUpdate) -> None:
        self.sent.append(msgspec.msgpack.decode(update.payload, type=int))


async def test_the_first_change_is_sent_at_once_and_the_next_ones_not_too_often() -> None:
    """Whether a change or a round was the last to send; the newest value always arrives."""
    desk = Desk()

    assert await desk.change(1.0) == [1]
    assert await desk.change(0.02) == [1]
    assert desk.round(0.01) == [1]
    assert desk.round(0.05) == [1, 2]
    assert await desk.change(0.01) == [1, 2]
    assert await desk.change(0.05) == [1, 2, 4]
    assert desk.round(0.05) == [1, 2, 4]


async def test_what_nobody_watches_any_more_is_not_sent() -> None:
    """Even if it changed just before."""
    desk = Desk()
    desk.numbers.value += 1
    desk.topics.happened("numbers", "one")
    desk.topics.remove("gateway")
    await asyncio.sleep(0)

    assert desk.sent == []


async def test_what_was_removed_is_forgotten() -> None:
    """Added again it is a new key, whose first change is sent at once."""
    desk = Desk()
    await desk.change(1.0)
    desk.numbers.exists = False
    desk.topics.drop_unknown()
    removed = await desk.change(0.01)
    desk.numbers.exists = True
    desk.topics.watch("gateway", {"numbers": ["one"]})

    assert removed == [1]
    assert await desk.change(0.01) == [1, 3]


class Ledger:
    """A topic of which every key changes all the time; it notes which ones are watched."""

    every_s = 0.05

    def __init__(self, name: str) -> None:
        self.name = name
        self.exist = set("abc")
        self.watched: set[str] = set()
        self.looked_up = 0

    def has(self, key: str) -> bool:
        """Return whether the key exists now."""
        self.looked_up += 1
        return key in self.exist

    def current(self, key: str) -> str:
        """Return the key."""
        return key

    def asked(self, key: str) -> str:
        """Return the key."""
        return key

    def start(self, key: str) -> str:
        """Note the key."""
        assert key not in self.watched
        self.watched.add(key)
        return key

    def changes(self, key: str) -> str:
        """Return the key, which must be watched."""
        assert key in self.watched
        return key

    def stop(self, key: str) -> None:
        """Strike out the key."""
        self.watched.remove(key)


def test_a_repeated_request_looks_up_nothing() -> None:
    """Gateways repeat what they watch, and most of it stays as it was."""
    ledger = Ledger("quick")
    topics = Topics([ledger], lambda _, update: None)
    topics.watch("one", {"quick": ["a", "b"]})
    before = ledger.looked_up
    answer = topics.watch("one", {"quick": ["a", "b"]})

    assert ledger.looked_up == before
    assert answer.now == []


class Crowd:
    """Gateways that want more keys than may be watched, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.sent: set[str] = set()
        self.ledger = Ledger("quick")
        self.ledger.exist = {str(number) for number in range(MAX_WATCHED + 10)}
        self.topics = Topics([self.ledger], self._take, lambda: self.now_s)

    def watch(self, gateway: str, *numbers: int) -> Watched:
        """Let a gateway ask for these keys, as often as there are more; return all answers as one."""
        keys = {"quick": [str(number) for number in numbers]}
        answer, now = self.topics.watch(gateway, keys), []
        while answer.more:
            now += answer.now
            answer = self.topics.watch(gateway, keys)
        return replace(answer, now=[*now, *answer.now])

    def round(self, after_s: float = 0.0) -> int:
        """Let a round come after so long; return of how many keys changes were sent."""
        self.now_s += after_s
        self.sent.clear()
        self.topics.send_changes()
        return len(self.sent)

    def _take(self, gateways: Sequence[str], update: TopicUpdate) -> None:
        self.sent.add(update.key)


def test_keys_beyond_the_limit_are_left_out_and_all_others_stay() -> None:
    """Also for longer than a request is valid, and wherever in the request the new keys stand."""
    crowd = Crowd()
    crowd.watch("one", *range(5, MAX_WATCHED))
    answer = crowd.watch("one", *range(MAX_WATCHED + 2))
    crowd.now_s += WATCH_EXPIRES_S - 1
    again = crowd.watch("one", *range(MAX_WATCHED + 2))

    assert [update.key for update in answer.now] == ["0", "1", "2", "3", "4"]
    assert answer.no_room == again.no_room == [("quick", str(MAX_WATCHED + extra)) for extra in (0, 1)]
    assert crowd.round(WATCH_EXPIRES_S - 1) == MAX_WATCHED
    assert str(MAX_WATCHED) not in crowd.sent


def test_a_key_is_watched_once_there_is_room() -> None:
    """Whether the gateway itself made it, in the same request, or another one."""
    crowd = Crowd()
    crowd.watch("one", *range(MAX_WATCHED - 1))
    crowd.watch("two", MAX_WATCHED)
    full = crowd.watch("two", MAX_WATCHED, MAX_WATCHED + 1)
    own = crowd.watch("two", MAX_WATCHED + 1)
    crowd.watch("one", *range(MAX_WATCHED - 2))
    others = crowd.watch("two", MAX_WATCHED + 1, MAX_WATCHED + 2)

    assert full.no_room == [("quick", str(MAX_WATCHED + 1))]
    assert [update.key for update in own.now] == [str(MAX_WATCHED + 1)]
    assert [update.key for update in others.now] == [str(MAX_WATCHED + 2)]
    assert own.no_room == others.no_room == []


def test_there_is_always_room_for_what_others_watch() -> None:
    """The limit is for what the engine has to make, which is made once for all gateways."""
    crowd = Crowd()
    crowd.watch("one", *range(MAX_WATCHED))
    answer = crowd.watch("two", 7, MAX_WATCHED)

    assert [update.key for update in answer.now] == ["7"]
    assert answer.no_room == [("quick", str(MAX_WATCHED))]


def test_one_request_makes_a_bounded_number_of_keys() -> None:
    """What it did not come to is neither unknown nor without room; the same request again comes to it."""
    crowd = Crowd()
    keys = {"quick": [str(number) for number in range(MAX_NEW + 2)]}
    first, second, third = (crowd.topics.watch("one", keys) for _ in range(3))

    assert [len(answer.now) for answer in (first, second, third)] == [MAX_NEW, 2, 0]
    assert [answer.more for answer in (first, second, third)] == [True, False, False]
    assert first.no_room == first.unknown == []
    assert crowd.round() == MAX_NEW + 2


def test_what_does_not_fit_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """However often gateways ask again."""
    crowd = Crowd()
    crowd.watch("one", *range(MAX_WATCHED))
    for _ in range(3):
        crowd.watch("two", MAX_WATCHED)

    [record] = caplog.records
    assert "max_per_address" in record.message
    assert record.levelname == "WARNING"


KEYS = st.sets(st.tuples(st.sampled_from(["slow", "quick"]), st.sampled_from("abcd")))
STEPS: st.SearchStrategy[tuple[str, str, set[tuple[str, str]]]] = st.one_of(
    st.tuples(st.just("watch"), st.sampled_from(["one", "two", "three"]), KEYS),
    st.tuples(st.just("leave"), st.sampled_from(["one", "two", "three"]), st.just(set())),
    st.tuples(st.just("remove"), st.sampled_from("abc"), st.just(set())),
)


@given(st.lists(STEPS, max_size=30))
def test_a_round_sends_each_key_to_those_that_watch_it(
    steps: list[tuple[str, str, set[tuple[str, str]]]],
) -> None:
    """Whatever gateways asked for, left, or was removed before; topics keep nothing of any other key."""
    topics = {name: Ledger(name) for name in ("slow", "quick")}
    sent: dict[tuple[str, str], set[str]] = {}

    def take(gateways: Sequence[str], update: TopicUpdate) -> None:
        sent[update.topic, update.key] = set(gateways)

    rounds = Topics(topics.values(), take)
    expected: dict[str, set[tuple[str, str]]] = {}
    for step, who, keys in steps:
        if step == "watch":
            by_topic = {name: sorted(key for topic, key in keys if topic == name) for name in topics}
            before = expected.get(who, set())
            expected[who] = {key for key in keys if topics[key[0]].has(key[1])}
            answer = rounds.watch(who, by_topic)
            assert {(each.topic, each.key) for each in answer.now} == expected[who] - before
            assert set(answer.unknown) == keys - expected[who]
        elif step == "leave":
            expected.pop(who, None)
            rounds.remove(who)
        else:
            for ledger in topics.values():
                ledger.exist.discard(who)
            rounds.drop_unknown()
            expected = {name: {key for key in held if key[1] != who} for name, held in expected.items()}
        everything = {key for held in expected.values() for key in held}
        assert {(name, key) for name, ledger in topics.items() for key in ledger.watched} == everything
        for name in topics:
            sent.clear()
            rounds.send_changes([name])
            assert sent == {
                key: {gateway for gateway, held in expected.items() if key in held}
                for key in everything
                if key[0] == name
            }
