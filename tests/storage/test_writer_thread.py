"""The writer thread, on real SQLite files: each item once and in order, whatever the disk does."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_stream.backoff import Backoff
from crypto_stream.storage.interface import UnusableError
from crypto_stream.storage.sqlite_file import failing_as_os_error
from crypto_stream.storage.writer_thread import ENDED, WriterThread
from tests.small_disk import small_disk
from tests.waiting import DEADLINE_S

MANY = 100_000
Range = tuple[int, int]  # what is written: the numbers from the first to the last


class Ranges:
    """Ranges in a table, each once; fails if the file was moved, or is locked."""

    def __init__(self, path: Path, *, keeps: bool = True, at_once: int = 1_000) -> None:
        self.path = path
        self.keeps = keeps
        self.at_once = at_once
        self.max_pages = 1_000_000
        self.free = threading.Event()
        self.free.set()
        self.waits = threading.Event()
        self.opened = 0
        self.closed = False
        self.failures: list[tuple[str, bool]] = []
        self.idle = 0
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        self.close()
        self.closed = False
        with failing_as_os_error(self.path):
            database = sqlite3.connect(self.path, timeout=0.001, check_same_thread=False)
            self._database = database
            database.execute(f"PRAGMA max_page_count = {self.max_pages}")
            database.execute("CREATE TABLE IF NOT EXISTS range (first INTEGER PRIMARY KEY, last INTEGER)")
        self.opened += 1

    def batch(self, waiting: Iterable[Range]) -> list[Range]:
        return list(islice(waiting, self.at_once))

    def write(self, batch: list[Range]) -> bool:
        if not batch:
            self.idle += 1
            return False
        self.waits.set()
        assert self.free.wait(DEADLINE_S)
        if not self.path.exists():
            raise UnusableError(f"{self.path} is gone")
        assert self._database is not None
        with failing_as_os_error(self.path), self._database:
            self._database.executemany("INSERT INTO range VALUES (?, ?)", batch)
        return True

    def failed(self, error: OSError, *, fatal: bool) -> bool:
        self.failures.append((str(error), fatal))
        return self.keeps and not fatal

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        self.closed = True

    def stored(self) -> list[Range]:
        """Read all over a separate connection, in the order of writing."""
        with closing(sqlite3.connect(self.path, timeout=DEADLINE_S)) as database:
            return database.execute("SELECT first, last FROM range ORDER BY rowid").fetchall()


def until(condition: Callable[[], object]) -> None:
    """Wait for another thread."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def thread_of(store: Ranges, **options: Any) -> WriterThread[Range]:
    return WriterThread(store, "test", options.pop("most", MANY), Backoff(0.001, 0.02), **options)


@contextmanager
def writing(store: Ranges, **options: Any) -> Iterator[WriterThread[Range]]:
    """Write until the end of the block; then everything possible is written."""
    thread = thread_of(store, **options)
    thread.start()
    try:
        yield thread
    finally:
        store.free.set()
        thread.stop(DEADLINE_S)
        assert store.closed


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the file's lock as another program would."""
    with closing(sqlite3.connect(path, timeout=DEADLINE_S, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def ones(*numbers: int) -> list[Range]:
    return [(number, number) for number in numbers]


@pytest.fixture
def store(tmp_path: Path) -> Ranges:
    """Return a store on a file that does not exist yet."""
    return Ranges(tmp_path / "ranges.db")


def test_a_hundred_thousand_queued_items_are_each_written_once(store: Ranges) -> None:
    """Queueing never waits for the disk; they are written in batches, in order."""
    store.free.clear()
    with writing(store) as thread:
        for number in range(MANY):
            thread.put((number, number))
        waiting = len(thread)
        store.free.set()

    assert waiting == MANY
    assert store.stored() == ones(*range(MANY))
    assert thread.commits <= MANY // store.at_once + 1
    assert (len(thread), thread.retries, store.failures) == (0, 0, [])


def test_while_one_batch_is_written_the_next_one_is_collected(store: Ranges) -> None:
    """A slow store gets larger batches; items being written still count as queued."""
    store.free.clear()
    with writing(store) as thread:
        thread.put((0, 0))
        until(store.waits.is_set)
        for number in range(1, 500):
            thread.put((number, number))
        until(lambda: thread.busy_s)
        waiting = thread.waiting()
        store.free.set()

    assert waiting == store.stored() == ones(*range(500))
    assert thread.commits == 2
    assert thread.busy_s == 0.0


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """A real one: queued items are written when there is space, and the trouble is reported meanwhile."""
    with small_disk(tmp_path / "disk") as disk:
        store = Ranges(disk.folder / "ranges.db")
        with writing(store) as thread:
            thread.put((0, 0))
            until(lambda: not len(thread))
            disk.fill()
            for number in range(1, 20_000):
                thread.put((number, number))
            until(lambda: len(store.failures) > 3)
            during, waiting = thread.trouble, len(thread)
            disk.empty()
            until(lambda: not len(thread))
        stored = store.stored()

    assert during is not None
    assert "full" in during
    assert waiting > 0
    assert stored == ones(*range(20_000))
    assert thread.trouble is None
    assert thread.retries == len(store.failures)


def test_a_file_that_may_not_grow_is_opened_again_each_time(store: Ranges) -> None:
    """As soon as reopening helps, everything is written."""
    store.max_pages = 3
    with writing(store) as thread:
        for number in range(5_000):
            thread.put((number, number))
        until(lambda: store.opened > 3)
        store.max_pages = 1_000_000
        until(lambda: not len(thread))  # else the attempt under way, which still fails, would be the last

    assert store.stored() == ones(*range(5_000))


def test_a_locked_file_is_retried_until_it_is_unlocked(store: Ranges) -> None:
    """Another connection may hold the lock for any time."""
    with writing(store) as thread:
        thread.put((0, 0))
        until(lambda: not len(thread))
        with lock(store.path):
            thread.put((1, 1))
            until(lambda: len(store.failures) > 3)
            waiting = thread.waiting()

    assert waiting == ones(1)
    assert store.stored() == ones(0, 1)
    assert not any(fatal for _, fatal in store.failures)


def test_after_a_fatal_failure_nothing_is_written_before_resume(store: Ranges) -> None:
    """The file was deleted: queued items can be removed, later ones are written to the new file."""
    with writing(store) as thread:
        thread.put((0, 0))
        until(lambda: not len(thread))
        store.path.unlink()
        thread.put((1, 1))
        until(lambda: store.failures)
        thread.put((2, 2))
        opened, back = store.opened, thread.remove_all()
        thread.put((3, 3))
        thread.resume()

    assert store.failures == [(f"{store.path} is gone", True)]
    assert (opened, store.opened) == (1, 2)
    assert back == ones(1, 2)
    assert store.stored() == ones(3)


def test_without_retries_the_thread_waits_for_resume(tmp_path: Path) -> None:
    """A store can refuse every retry: the thread then does nothing until it is resumed."""
    store = Ranges(tmp_path / "ranges.db", keeps=False)
    with writing(store) as thread:
        until(lambda: store.opened)
        with lock(store.path):
            thread.put((1, 1))
            until(lambda: store.failures)
        thread.put((2, 2))
        back = thread.remove_all()
        thread.resume()
        thread.put((3, 3))

    assert len(store.failures) == 1
    assert back == ones(1, 2)
    assert store.stored() == ones(3)
    assert thread.retries == 0


def test_fail_next_fails_the_next_write_and_reopens(store: Ranges) -> None:
    """Also if the thread is idle."""
    with writing(store) as thread:
        until(lambda: store.opened)
        thread.fail_next(OSError("it looks wrong"))
        until(lambda: store.opened == 2)
        thread.put((1, 1))

    assert store.failures == [("it looks wrong", False)]
    assert store.stored() == ones(1)


def test_stopping_while_the_store_hangs_has_a_time_limit(store: Ranges) -> None:
    """The thread then continues alone, and writes what is queued if the disk recovers."""
    store.free.clear()
    thread = thread_of(store)
    thread.start()
    for number in range(3_000):
        thread.put((number, number))
    until(store.waits.is_set)
    thread.stop(0.0)
    still_waiting = len(thread)
    store.free.set()
    until(lambda: store.closed)

    assert still_waiting == 3_000
    assert store.stored() == ones(*range(3_000))


def test_stopping_while_the_disk_fails_ends(store: Ranges) -> None:
    """It is tried once more, and unwritten items can still be read."""
    with writing(store):
        pass
    thread = thread_of(store)
    with lock(store.path):
        thread.start()
        thread.put((1, 1))
        until(lambda: store.failures)
        thread.stop(DEADLINE_S)

        assert store.closed
    assert thread.waiting() == ones(1)
    assert thread.trouble is not None
    assert store.stored() == []


def test_beyond_the_bound_the_oldest_are_merged(store: Ranges) -> None:
    """Except those being written. `merge` decides what is retained."""
    store.at_once = 2
    store.free.clear()
    with writing(store, most=10, merge=lambda older, newer: (older[0], newer[1])) as thread:
        thread.put((0, 0))
        until(store.waits.is_set)
        for number in range(1, 100):
            thread.put((number, number))
        waiting = thread.waiting()
        store.free.set()

    assert waiting == [(0, 0), (1, 91), *ones(*range(92, 100))]
    assert store.stored() == waiting
    assert not thread.full


def test_without_merge_the_queue_is_reported_as_full(store: Ranges) -> None:
    """Nothing is lost; callers check it first."""
    store.free.clear()
    with writing(store, most=5) as thread:
        for number in range(6):
            thread.put((number, number))
        full = thread.full

    assert full
    assert not thread.full
    assert store.stored() == ones(*range(6))


def test_an_idle_thread_writes_an_empty_batch(store: Ranges) -> None:
    """Which lets a store write what it has collected; it is no commit."""
    with writing(store, idle_s=0.001) as thread:
        until(lambda: store.idle > 2)

    assert thread.commits == 0


def test_an_internal_error_ends_the_thread_and_is_reported(
    store: Ranges, caplog: pytest.LogCaptureFixture
) -> None:
    """Queued items can be removed."""
    with writing(store) as thread:
        thread.put((1, 1))
        thread.put((1, 1))  # no database takes it twice
        until(lambda: thread.trouble)
        thread.put((2, 2))

    assert thread.trouble == ENDED
    assert store.failures == [(ENDED, True)]
    assert thread.remove_all() in (ones(1, 1, 2), ones(1, 2))
    assert caplog.records[0].exc_info is not None


@settings(max_examples=30)
@given(
    steps=st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["", "lock", "doubt"])), max_size=20),
    at_once=st.integers(1, 30),
)
def test_whatever_happens_each_is_written_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str]], at_once: int
) -> None:
    """However the batches are split, and whoever locks the file meanwhile."""
    store = Ranges(tmp_path_factory.mktemp("ranges") / "ranges.db", at_once=at_once)
    put = 0
    with writing(store) as thread:
        until(lambda: store.opened)
        for number, trouble in steps:
            with lock(store.path) if trouble == "lock" else nullcontext():
                if trouble == "doubt":
                    thread.fail_next(OSError("it looks wrong"))
                for one in range(put, put + number):
                    thread.put((one, one))
                put += number

    assert store.stored() == ones(*range(put))
