"""Several engines that want the lease of one database, for the tests of stores."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count

import psycopg

from crypto_stream.storage.interface import FencedError
from crypto_stream.storage.postgres_stores import PostgresStores
from tests.waiting import DEADLINE_S

# Makes the stores of an engine, given the database's address and the name of a data directory.
Make = Callable[[str, str], PostgresStores]


def kill(stores: PostgresStores) -> None:
    """Let an engine neither keep nor release its lease."""
    stores.lease._over.set()
    stores.lease._thread.join()


def acquire(stores: PostgresStores) -> int:
    """Ask for the lease until it is ours; return how often that took."""
    deadline = time.monotonic() + DEADLINE_S
    for asked in count(1):
        if stores.acquire():
            return asked
        assert time.monotonic() < deadline
        time.sleep(0.01)
    raise AssertionError


def execute(address: str, query: str) -> list[tuple[object, ...]]:
    """Execute a statement in a session of its own, and return its rows."""
    with psycopg.connect(address, autocommit=True) as session:
        found = session.execute(query.encode())
        return found.fetchall() if found.description else []


def expire(address: str) -> None:
    """Let the lease run out, as if nobody had kept it."""
    execute(address, "UPDATE lease SET until = clock_timestamp() - interval '1 s'")


def until_lost(stores: PostgresStores) -> None:
    """Wait until the stores know that another engine has them."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            _ = stores.lease.term
        except FencedError:
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)
