"""The backup of PostgreSQL as docs/operations.md has it, by the server's own programs."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from crypto_stream.storage.interface import Batch, StoredBar
from crypto_stream.storage.postgres_stores import PostgresStores
from tests.postgres import Server
from tests.process.programs import ROOT
from tests.process.test_order_trouble import PASSING, visited
from tests.process.test_postgres import on, stored
from tests.storage.bars import bar
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(240 * SCALE)

_AGAIN = PASSING | {"store_unavailable"}
_LONG_S = 60 * SCALE
_DAY_MS = 86_400_000
_PARTITIONS = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^bar_1[sm]_' ORDER BY relname"


def recipe() -> tuple[str, str]:
    """Return the documented commands: the one that dumps, and those that restore."""
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    lines = text.split("\n    pg_dump ")[1].split("\n\n")[0].splitlines()
    return f"pg_dump {lines[0]}", "\n".join(line.strip() for line in lines[1:])


def shell(commands: str, folder: Path, database: str, programs: str) -> subprocess.CompletedProcess[str]:
    """Run commands as a person would, in `folder`."""
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", commands],
        cwd=folder,
        env={**os.environ, "PATH": path, "CRYPTO_STREAM_DATABASE": database},
        capture_output=True,
        text=True,
        timeout=60 * SCALE,
        check=False,
    )


def owned(postgres: Server) -> str:
    """Return the address of a new database, whose owner is nobody special, as the document makes it."""
    name = postgres.database().rpartition("/")[2]
    with closing(postgres.admin()) as admin:
        admin.execute("DROP ROLE IF EXISTS keeper")
        admin.execute("CREATE ROLE keeper LOGIN PASSWORD 'kept'")
        admin.execute(f"ALTER DATABASE {name} OWNER TO keeper".encode())
    return f"postgresql://keeper:kept@{postgres.host}:{postgres.port}/{name}"


def change_partitions(database: str, folder: Path) -> None:
    """Do what days bring: new partitions are made, an old one is dropped."""
    now_ms = time.time_ns() // 1_000_000
    with closing(PostgresStores(database, folder)) as stores:
        assert stores.acquire()
        writer, _ = stores.history()
        bars = [StoredBar("eurrub", "1s", bar((now_ms // _DAY_MS - days) * _DAY_MS)) for days in (2, 5)]
        bars.append(StoredBar("eurrub", "1m", bar((now_ms // _DAY_MS - 100) * _DAY_MS)))
        writer.write(Batch(bars, [], now_ms))
        writer.close()
    with psycopg.connect(database) as session:
        session.execute(f"DROP TABLE {stored(database, _PARTITIONS)[-1]}".encode())


async def test_a_dump_of_a_running_program_brings_everything_back(
    postgres: Server, require_program: Callable[[str], str], tmp_path: Path
) -> None:
    """Orders and bars, whatever partitions were made or dropped since; a broken dump changes nothing."""
    programs = str(Path(require_program("pg_restore")).parent)
    database, (dump, restore) = owned(postgres), recipe()
    async with visited(tmp_path, *on(database)) as (running, seen):
        kept = [(await seen.place(_AGAIN))["order_id"] for _ in range(3)]
        await until(lambda: stored(database, "SELECT count(*) > 100 FROM bar_1s") == ["True"], _LONG_S)
        before = stored(database, "SELECT count(*) FROM bar_1s")
        dumped = shell(dump, tmp_path, database, programs)
        partitions = stored(database, _PARTITIONS)
        later = await seen.place(_AGAIN)
        running.process.terminate()
        running.wait()
    (tmp_path / "other").mkdir()
    change_partitions(database, tmp_path / "other")
    changed = stored(database, _PARTITIONS)
    whole = (tmp_path / "crypto_stream.dump").read_bytes()
    (tmp_path / "crypto_stream.dump").write_bytes(whole[: len(whole) * 9 // 10])
    broken = shell(restore, tmp_path, database, programs)
    unchanged = stored(database)
    (tmp_path / "crypto_stream.dump").write_bytes(whole)
    restored = shell(restore, tmp_path, database, programs)
    assert (restored.returncode, restored.stderr) == (0, "")
    found, again = stored(database, _PARTITIONS), stored(database)
    bars = stored(database, "SELECT count(*) FROM bar_1s")
    async with visited(tmp_path, *on(database)) as (running, seen):
        listed, after = await seen.listed(), await seen.place(_AGAIN)
        await until(seen.degraded, _LONG_S)
        degraded = seen.degraded()
        await until(lambda: int(stored(database, "SELECT count(*) FROM bar_1s")[0]) > int(bars[0]), _LONG_S)

    assert (dumped.returncode, dumped.stderr) == (0, "")
    assert broken.returncode != 0
    assert unchanged == [*kept, later["order_id"]]
    assert changed != partitions
    assert (found, again, listed) == (partitions, kept, kept)
    assert int(bars[0]) >= int(before[0])
    assert after["store"] != later["store"]
    assert "is missing the last" in degraded[0]
