"""The read limiter: at most two threads, whatever is requested, cancelled or hanging."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from crypto_stream.history.read_limiter import ReadLimiter
from tests.waiting import until


class Disk:
    """Reads that last until they are released."""

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
    """All are finally answered."""
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


async def test_cancelling_costs_nothing_and_a_hanging_thread_occupies_its_slot() -> None:
    """Cancelled while waiting: never begun. Cancelled while reading: its thread still counts."""
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


async def test_a_failed_preparation_releases_its_slot() -> None:
    """Its error is raised to the caller; the next one reads."""
    reading, disk = ReadLimiter(), Disk()
    disk.go_on.set()

    def fail() -> Callable[[], int]:
        raise ValueError("no such question")

    for _ in range(5):
        with pytest.raises(ValueError, match="no such question"):
            await reading(fail)

    assert await reading(disk) == 1
