"""Old bars in PostgreSQL that cannot be removed: new ones must not wait for that."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from crypto_stream.storage.interface import Batch, Retention, StoredBar
from crypto_stream.storage.postgres_stores import PostgresStores
from tests.postgres import Server
from tests.storage.bars import bar
from tests.storage.leases import execute
from tests.waiting import SCALE

pytestmark = pytest.mark.timeout(120 * SCALE)
DAY = 86_400_000


def test_a_copy_of_the_database_delays_new_bars_once(postgres: Server, tmp_path: Path) -> None:
    """As pg_dump makes, which locks all tables while it runs: to drop one is tried again a minute later."""
    address = postgres.database()
    by = Retention(9 * DAY, steady=True)
    with closing(PostgresStores(address, tmp_path)) as stores:
        assert stores.acquire()
        writer, _ = stores.history()
        writer.write(Batch([StoredBar("eurusd", "1s", bar(day * DAY)) for day in range(4)], [], 1))
        with psycopg.connect(address) as dump:
            dump.execute("SELECT 1 FROM bar_1s_19700101")
            with pytest.raises(OSError, match="PostgreSQL: "):
                writer.prune("eurusd", "1s", DAY, by)
            writer.write(Batch([StoredBar("eurusd", "1s", bar(4 * DAY))], [], 2))
            again = writer.prune("eurusd", "1s", DAY, by)
        writer.close()

    assert again == 0
    assert execute(address, "SELECT count(*) FROM bar_1s") == [(5,)]
