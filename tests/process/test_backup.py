"""Backup while it runs, restore while it is stopped, owners removed by the operator: whole programs."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.process.programs import ROOT, clean_environment, command
from tests.process.test_order_trouble import OWNER, stored, visited
from tests.waiting import SCALE

pytestmark = pytest.mark.timeout(180 * SCALE)

# Root may enter every folder; the modules are imported while root's Python may be read.
_AS_SOMEBODY_ELSE = """
import os, sys
import crypto_stream.cli, crypto_stream.engine.persisted_state, crypto_stream.settings
import crypto_stream.storage.move, crypto_stream.storage.sqlite_backup
if not os.geteuid():
    os.setuid(65_534)
sys.exit(crypto_stream.cli.main())
"""


async def test_a_backup_of_a_running_program_brings_its_orders_back(tmp_path: Path) -> None:
    """What was acknowledged before it is in it; what was there is kept; clients see another store."""
    data, folder = tmp_path / "data", tmp_path / "copy"
    async with visited(tmp_path) as (running, seen):
        kept = [await seen.place() for _ in range(3)]
        done = command("backup", str(folder), "--data-dir", str(data))
        later = await seen.place()
        busy = command("restore", str(folder), "--data-dir", str(data))
        running.process.terminate()
        running.wait()
    files = {path.name for path in folder.iterdir()}
    restored = command("restore", str(folder), "--data-dir", str(data))
    async with visited(tmp_path) as (running, seen):
        listed = await seen.listed()
        degraded = seen.degraded()
        after = await seen.place()

    assert (done.returncode, done.stderr) == (0, "")
    assert {"orders.db", "history.db"} <= files
    assert (busy.returncode, "in use by another engine" in busy.stderr) == (2, True)
    assert (restored.returncode, restored.stderr) == (0, "")
    assert listed == [one["order_id"] for one in kept] == stored(folder / "orders.db")
    assert degraded == []
    assert after["store"] != later["store"]
    (aside,) = data.glob("before-restore-*")
    assert stored(aside / "orders.db")[-1] == later["order_id"]


async def test_an_owner_is_removed_by_the_operator(tmp_path: Path) -> None:
    """It is listed, then gone; its client is told why."""
    data = ("--data-dir", str(tmp_path / "data"))
    async with visited(tmp_path) as (running, seen):
        await seen.place()
        place = {"TMPDIR": running.folder}
        before = command("owner", "list", *data, **place)
        removed = command("owner", "remove", OWNER, *data, **place)
        unknown = command("owner", "remove", "nobody", *data, **place)
        after = command("owner", "list", *data, **place)

    assert OWNER in before.stdout
    assert (removed.returncode, "1 of its orders" in removed.stdout) == (0, True)
    assert (unknown.returncode, "no owner nobody" in unknown.stderr) == (1, True)
    assert OWNER not in after.stdout


@pytest.mark.parametrize("name", ["orders.db", "history.db", "state.db"])
def test_what_is_no_file_of_ours_is_neither_copied_nor_put_back(tmp_path: Path, name: str) -> None:
    """A database of another program, one without tables, a damaged one: a sentence, nothing changed."""
    data, folder = tmp_path / "data", tmp_path / "copy"
    data.mkdir()
    folder.mkdir()
    with closing(sqlite3.connect(folder / name)) as other:
        other.execute("CREATE TABLE things (a)")
    with closing(sqlite3.connect(data / name)) as bare:
        bare.execute("PRAGMA journal_mode = WAL")
    foreign = command("restore", str(folder), "--data-dir", str(data))
    copied = command("backup", str(tmp_path / "new"), "--data-dir", str(data))
    (folder / name).write_bytes(b"no database at all" * 1_000)
    damaged = command("restore", str(folder), "--data-dir", str(data))

    assert (foreign.returncode, f"not Crypto Stream's {name}" in foreign.stderr) == (2, True)
    assert (copied.returncode, "has no tables" in copied.stderr) == (2, True)
    assert (damaged.returncode, "not a database" in damaged.stderr) == (2, True)
    assert not (tmp_path / "new").exists()
    assert {path.name for path in data.iterdir() if "wal" not in path.name and "shm" not in path.name} == {
        name,
        "engine.lock",
    }


def test_the_folder_of_a_backup_must_be_new(tmp_path: Path) -> None:
    """Nothing is ever written over."""
    (tmp_path / "data").mkdir()
    nothing = command("backup", str(tmp_path / "copy"), "--data-dir", str(tmp_path / "data"))
    with closing(sqlite3.connect(tmp_path / "data" / "state.db")) as state:
        state.execute("CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT")
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    there = command("backup", str(tmp_path / "copy"), "--data-dir", str(tmp_path / "data"))

    assert (nothing.returncode, "contains no data" in nothing.stderr) == (2, True)
    assert (there.returncode, "exists already" in there.stderr) == (2, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_files_of_another_user_are_left_alone(tmp_path: Path) -> None:
    """What root wrote there the service could not open: the line says as whom to run it."""
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 65_534, -1)
    restored = command("restore", str(tmp_path), "--data-dir", str(data))
    moved = command("move", "--to", "postgresql://localhost:9/none", "--data-dir", str(data))

    for done in (restored, moved):
        assert (done.returncode, "use sudo -u nobody" in done.stderr) == (2, True)
    assert list(data.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [("restore", "copy"), ("move", "--to", "postgresql://localhost:9/none")],
    ids=["restore", "move"],
)
def test_a_data_directory_that_cannot_be_reached_is_said_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """In a home folder that is closed to whoever runs the command."""
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    home.chmod(0)
    done = subprocess.run(
        [sys.executable, "-c", _AS_SOMEBODY_ELSE, *arguments, "--data-dir", str(home / "data")],
        cwd="/",
        env={**clean_environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30 * SCALE,
        check=False,
    )
    home.chmod(0o700)

    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: data_dir: '{home}/data' cannot be read: Permission denied")
    assert done.stderr.count("\n") == 1
