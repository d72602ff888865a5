"""What the engine remembers, and the lock on its data directory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from crypto_stream.engine.persisted_state import PersistedState, locked
from crypto_stream.errors import SettingError
from crypto_stream.storage.sqlite import SqliteStateStore
from tests.waiting import DEADLINE_S, until

HOLDER = """
import sys
from pathlib import Path
from crypto_stream.engine.persisted_state import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path) -> SqliteStateStore:
    """Return a store in an empty folder."""
    return SqliteStateStore(tmp_path / "state.db")


async def kept(store: SqliteStateStore, memory: PersistedState, expected: dict[str, str]) -> None:
    """Run `memory` until the store holds `expected`."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(memory.run())
        await until(lambda: store.load() == expected)
        running.cancel()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def test_pin_and_bans_survive(store: SqliteStateStore) -> None:
    """A pin and a ban are there again in the next life, under the same source."""
    until_ms = time.time_ns() // 1_000_000 + 600_000
    memory = PersistedState(store, now_ms())
    memory.set_pin("okx")
    memory.set_ban("binance", until_ms)
    await kept(store, memory, {"pin": "okx", "ban:binance": str(until_ms)})
    again = PersistedState(store, now_ms())

    assert again.pin == "okx"
    assert again.bans == {"binance": until_ms}


async def test_unpinned_stays_unpinned(store: SqliteStateStore) -> None:
    """A pin that was undone is gone in the next life too."""
    store.save({"pin": "okx"})
    memory = PersistedState(store, now_ms())
    memory.set_pin(None)
    await kept(store, memory, {})

    assert PersistedState(store, now_ms()).pin is None


async def test_a_change_right_before_the_end_is_kept(store: SqliteStateStore) -> None:
    """What was set in the last moment before the engine ends is written all the same."""
    memory = PersistedState(store, now_ms())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(memory.run())
        await asyncio.sleep(0)
        memory.set_pin("okx")
        running.cancel()

    assert PersistedState(store, now_ms()).pin == "okx"


class SlowStore(SqliteStateStore):
    """A store that stops in the first save until `go_on` is set."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.began, self.go_on, self.ended = threading.Event(), threading.Event(), threading.Event()

    def save(self, state: dict[str, str]) -> None:
        """Write the values, the first time later."""
        first = not self.began.is_set()
        self.began.set()
        if first:
            self.go_on.wait(DEADLINE_S)
        super().save(state)
        if first:
            self.ended.set()


async def test_the_last_save_is_the_last_one_written(tmp_path: Path) -> None:
    """Also if an earlier save is still under way when the engine ends."""
    store = SlowStore(tmp_path / "state.db")
    memory = PersistedState(store, now_ms())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(memory.run())
        memory.set_pin("okx")
        await until(store.began.is_set)
        memory.set_pin("kraken")
        threading.Timer(0.3, store.go_on.set).start()
        running.cancel()
    await until(store.ended.is_set)

    assert store.load() == {"pin": "kraken"}


async def test_what_could_not_be_written_is_tried_once_more_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk may be back before the next attempt was due."""
    folder, aside = tmp_path / "disk", tmp_path / "aside"
    folder.mkdir()
    store = SqliteStateStore(folder / "state.db")
    memory = PersistedState(store, now_ms())
    folder.rename(aside)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(memory.run())
        memory.set_pin("okx")
        await until(lambda: "pin and bans cannot be stored" in caplog.text)
        aside.rename(folder)
        running.cancel()

    assert store.load() == {"pin": "okx"}


def test_bans_that_are_over_are_forgotten(store: SqliteStateStore) -> None:
    """Only bans that still hold are known; an unreadable one holds nobody back."""
    now = now_ms()
    store.save({"ban:old": str(now - 1), "ban:new": str(now + 60_000), "ban:odd": "soon"})

    assert PersistedState(store, now).bans == {"new": now + 60_000}


@pytest.mark.parametrize("until", ["32503680000000", "9" * 400])
def test_a_ban_that_no_venue_would_state_is_cut(store: SqliteStateStore, until: str) -> None:
    """The year 3000 is a wrong clock or somebody's joke: three days at most, and never an error."""
    store.save({"ban:okx": until})
    now = now_ms()

    assert PersistedState(store, now).bans.get("okx", 0) <= now + 3 * 24 * 3_600_000


async def test_disk_that_refuses_costs_no_running_engine(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A pin that cannot be written holds in this life, and the log says so."""
    store = SqliteStateStore(tmp_path / "gone" / "state.db")
    (tmp_path / "gone").mkdir()
    memory = PersistedState(store, now_ms())
    (tmp_path / "gone" / "state.db").unlink()
    (tmp_path / "gone").rmdir()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(memory.run())
        memory.set_pin("okx")
        await until(lambda: "pin and bans cannot be stored" in caplog.text)
        running.cancel()

    assert memory.pin == "okx"


def test_second_engine_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    """A data directory in use is refused in one line that names the other process, and free afterwards."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(SettingError) as refusal, locked(tmp_path):
            pass
    finally:
        holder.communicate(timeout=DEADLINE_S)
    with locked(tmp_path / "new" / "folder"), locked(tmp_path):
        pass

    assert f"(pid {holder.pid})" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_unusable_data_directory_is_refused(tmp_path: Path) -> None:
    """A file in the place of the folder is one line that names it."""
    (tmp_path / "data").write_text("a file")

    with pytest.raises(SettingError, match=r"data_dir: .* cannot be used"), locked(tmp_path / "data"):
        pass


async def test_what_another_engine_stored_meanwhile_is_loaded(store: SqliteStateStore) -> None:
    """Its pin and its bans, and those that this one has met."""
    follows, leads = PersistedState(store, now_ms()), PersistedState(store, now_ms())
    leads.set_pin("okx")
    leads.set_ban("kraken", 4)
    await kept(store, leads, {"pin": "okx", "ban:kraken": "4"})
    follows.set_ban("binance", 5)
    follows.reload()
    await kept(store, follows, {"pin": "okx", "ban:kraken": "4", "ban:binance": "5"})

    assert follows.pin == "okx"
