"""When changes of a topic are sent: at once after a pause, then no more often than the topic allows."""

from __future__ import annotations

import asyncio

import msgspec

from crypto_stream.bus.messages import TopicUpdate
from crypto_stream.engine.topics import Topics


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
