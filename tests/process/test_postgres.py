"""The whole program on PostgreSQL: crashes, hangs, absence, a second engine, the move of files."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.postgres import PASSWORD, Server
from tests.process.charts import run
from tests.process.programs import Running, address, command, program
from tests.process.test_order_trouble import PASSING, goes_on, visited
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(240 * SCALE)

_AGAIN = PASSING | {"store_unavailable"}
_LONG_S = 60 * SCALE


def on(database: str) -> list[str]:
    return ["--sources", "synthetic", "--database", database]


def stored(database: str, query: str = "SELECT order_id FROM orders ORDER BY rank") -> list[str]:
    with psycopg.connect(database) as session:
        return [str(value) for (value,) in session.execute(query.encode())]


def shown(running: Running) -> list[str]:
    ours = psutil.Process(running.process.pid)
    return [" ".join(each.cmdline()) for each in [ours, *ours.children(recursive=True)]]


async def test_a_crash_of_the_server_stops_orders_until_it_is_back(postgres: Server, tmp_path: Path) -> None:
    """They are refused, prices go on; nothing acknowledged is lost, and no process is restarted."""
    database = postgres.database()
    async with visited(tmp_path, *on(database)) as (running, seen):
        placed = [await seen.place(_AGAIN) for _ in range(5)]
        postgres.crash()
        refused = [await seen.place() for _ in range(2)]
        await until(seen.degraded, _LONG_S)
        ready, prices = seen.degraded(), await goes_on(seen)
        postgres.start()
        placed.append(await seen.place(_AGAIN))
        listed = await seen.listed()
        processes, log = shown(running), running.log
        restarts = running.pids("engine")

    kept = stored(database)
    assert [answer["code"] for answer in refused] == ["store_unavailable"] * 2
    assert prices
    assert "PostgreSQL" in ready[0]
    assert listed == kept
    assert {answer["order_id"] for answer in placed} <= set(kept)
    assert len(restarts) == 1
    assert PASSWORD not in "".join(processes) + log + running.output


async def test_bars_wait_for_a_server_that_hangs(postgres: Server, tmp_path: Path) -> None:
    """While it hangs orders are refused and prices go on; then every second is in the history."""
    database = postgres.database()
    async with visited(tmp_path, *on(database)) as (_running, seen):
        await seen.place(_AGAIN)
        with postgres.hanging():
            refused = await seen.place()
            prices = await goes_on(seen)
        await seen.place(_AGAIN)
        seconds = "SELECT (max(time) - min(time)) / 1000 + 1 - count(*) FROM bar_1s WHERE symbol = (%s)"
        symbol = "SELECT id FROM names WHERE text = 'eurrub'"
        await until(lambda: stored(database, seconds % symbol) == ["0"], _LONG_S)

    assert refused["code"] == "store_unavailable"
    assert prices


async def test_a_killed_engine_need_not_wait_for_its_own_lease(postgres: Server, tmp_path: Path) -> None:
    """The next one on the same data directory goes on at once, with everything acknowledged."""
    database = postgres.database()
    async with visited(tmp_path, *on(database)) as (running, seen):
        placed = [await seen.place(_AGAIN)]
        for _ in range(3):
            os.kill(running.pids("engine")[-1], signal.SIGKILL)
            placed.append(await seen.place(_AGAIN))
        listed = await seen.listed()
        terms = stored(database, "SELECT term FROM lease")
        log = running.log

    assert "another engine" not in log
    assert terms == ["4"]
    assert listed == stored(database)
    assert {answer["order_id"] for answer in placed} <= set(listed)


async def test_a_start_without_the_server_serves_prices(postgres: Server, tmp_path: Path) -> None:
    """Orders are refused until it is there."""
    database = postgres.database()
    postgres.stop()
    try:
        async with visited(tmp_path, *on(database)) as (_running, seen):
            refused = await seen.place()
            prices = await goes_on(seen)
            postgres.start()
            accepted = await seen.place(_AGAIN)
            kept = stored(database)
    finally:
        if not postgres.running:
            postgres.start()

    assert refused["code"] == "store_unavailable"
    assert prices
    assert kept == [accepted["order_id"]]


async def test_a_second_program_waits_for_the_first(postgres: Server, tmp_path: Path) -> None:
    """It writes nothing until the first one ends; then it has its orders."""
    database = postgres.database()
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    async with visited(first, *on(database)) as (running, seen):
        placed = await seen.place(_AGAIN)
        with program(run(second, *on(database)), second) as other:
            await until(lambda: "follows: another engine leads" in other.log, _LONG_S)
            await until(lambda: " follows the engine that leads (" in other.output, _LONG_S)
            term, said = stored(database, "SELECT term FROM lease"), other.output
            running.process.terminate()
            running.wait()
            await until(lambda: "engine started epoch=" in other.log, _LONG_S)
            await address(other)
            after = stored(database, "SELECT term FROM lease")

    assert (term, after) == (["1"], ["2"])
    assert " serves " not in said
    assert stored(database) == [placed["order_id"]]


async def test_an_engine_that_loses_the_lease_ends_with_a_status_of_its_own(
    postgres: Server, tmp_path: Path
) -> None:
    """It starts again, and waits for its turn."""
    database = postgres.database()
    async with visited(tmp_path, *on(database)) as (running, seen):
        await seen.place(_AGAIN)
        with psycopg.connect(database, autocommit=True) as thief:

            def follows() -> bool:
                thief.execute("UPDATE lease SET until = clock_timestamp() + interval '3 s'")  # it is kept
                return "follows: another engine leads" in running.log

            thief.execute("UPDATE lease SET holder = 'other', term = term + 1")
            await until(follows, _LONG_S)
            thief.execute("UPDATE lease SET until = clock_timestamp()")
        again = await seen.place(_AGAIN)

    assert "another engine has taken over" in running.log
    assert "engine ended status=3" in running.log
    assert stored(database)[-1] == again["order_id"]


async def test_everything_moves_to_postgresql_once(postgres: Server, tmp_path: Path) -> None:
    """Orders, reports, bars, epoch: for clients nothing has changed; a second move is refused."""
    data, database = str(tmp_path / "data"), postgres.database()
    async with visited(tmp_path) as (running, seen):
        placed = [await seen.place() for _ in range(3)]
        epoch = seen.epoch()
        running.process.terminate()
        running.wait()
    with closing(sqlite3.connect(tmp_path / "data" / "history.db")) as file:
        ((bars,),) = file.execute("SELECT count(*) FROM bar")
    moved = command("move", "--from", "sqlite", "--to", database, "--data-dir", data)
    again = command("move", "--data-dir", data, CRYPTO_STREAM_DATABASE=database)
    counted = stored(database, "SELECT count(*) FROM bar")
    async with visited(tmp_path, *on(database)) as (running, seen):
        listed = await seen.listed()
        later = await seen.place()
        same = seen.epoch()

    assert moved.returncode == 0, moved.stderr
    assert "orders: 3 rows copied" in moved.stdout
    assert f"bar: {bars:,} rows copied" in moved.stdout
    assert (again.returncode, again.stdout) == (2, "")
    assert "it is not empty" in again.stderr
    assert counted == [str(bars)]
    assert listed == [one["order_id"] for one in placed]
    assert (later["store"], later["seq"]) == (placed[0]["store"], placed[-1]["seq"] + 1)
    assert same == epoch


def test_a_move_says_what_is_wrong(postgres: Server, tmp_path: Path) -> None:
    """No data, no database, a wrong password: one line, and nothing is moved."""
    database = postgres.database()
    empty = command("move", "--to", database, "--data-dir", str(tmp_path / "none"))
    nowhere = command("move", "--data-dir", str(tmp_path / "none"))
    backup = command("backup", str(tmp_path / "b"), CRYPTO_STREAM_DATABASE=database)

    for done, words in ((empty, "contains no data"), (nowhere, "--to postgresql://"), (backup, "pg_dump")):
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert PASSWORD not in done.stderr
