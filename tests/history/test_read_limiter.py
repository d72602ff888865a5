"""Turns of reading: two threads at most, whatever is asked, given up or hangs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from crypto_stream.history.read_limiter import ReadLimiter
from tests.waiting import until


class Disk:
    """Reads that last until they are let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.begun = 0

    def __call__(self) -> Callable[[], int]:
        self.begun += 1
        return self._read

    def _read(self) -> int:
        self.go_on.wait()
        return self.begun


async def test_two_read_at_once_and_the_rest_wait_their_turn() -> None:
    """All are answered in the end."""
    reading, disk = ReadLimiter(), Disk()
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(reading(disk)) for _ in range(6)]
        await until(lambda: disk.begun == 2)
        for _ in range(20):
            await asyncio.sleep(0)
        begun = disk.begun
        disk.go_on.set()

    assert begun == 2
    assert disk.begun == len([one.result() for one in asked]) == 6


async def test_who_gives_up_costs_nothing_and_a_hanging_thread_keeps_its_turn() -> None:
    """Cancelled while it waits: never begun. Cancelled while it reads: its thread still counts."""
    reading, disk = ReadLimiter(), Disk()
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(reading(disk)) for _ in range(6)]
        await until(lambda: disk.begun == 2)
        for one in asked:
            one.cancel()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(reading(disk))
        for _ in range(20):
            await asyncio.sleep(0)
        begun = disk.begun
        disk.go_on.set()

    assert begun == 2
    assert disk.begun == 3


async def test_a_question_that_cannot_be_prepared_gives_its_turn_back() -> None:
    """Its error is the asker's; the next one reads."""
    reading, disk = ReadLimiter(), Disk()
    disk.go_on.set()

    def fail() -> Callable[[], int]:
        raise ValueError("no such question")

    for _ in range(5):
        with pytest.raises(ValueError, match="no such question"):
            await reading(fail)

    assert await reading(disk) == 1
