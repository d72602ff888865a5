"""Sessions of one store: a writer's, whose transactions are fenced, and the readers'."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import psycopg
from psycopg import errors

from crypto_stream.storage.postgres_connection import (
    READ_S,
    WRITE_S,
    Connection,
    Row,
    connect,
    failing_as_os_error,
)
from crypto_stream.storage.postgres_lease import Lease

# Division by zero unless the lease still has this term. The lock does not delay its holder, who keeps it by
# changing no key, but whoever takes it must wait until this transaction has ended.
FENCE = (
    "SELECT 1 / count(*) FROM (SELECT 1 FROM lease WHERE name = 'engine' AND term = {} FOR KEY SHARE) mine"
)
# A commit waits for a synchronous standby as long as it takes. A time-out of the server would end that and
# report success, although a failover could still lose the transaction: so we stop waiting by ourselves.
_COMMIT = "SET LOCAL statement_timeout = 0; COMMIT"
# Sessions for reading that are kept while nobody uses them.
_IDLE_READERS = 4
# What errors of a connection name, with the address that a name of a server stands for.
_NAMES = re.compile(r"""("[^"]*"|'[^']*')( \([^)]*\))?""")

Found = TypeVar("Found")


class Writer:
    """The session of a store's only writer, on one thread; it begins again after each error."""

    def __init__(self, lease: Lease, set_up: str = "") -> None:
        """Write in the term of `lease`; each session begins with the statement `set_up`."""
        self._lease = lease
        self._set_up = set_up
        self._connection: Connection | None = None
        self._names: dict[str, int] = {}

    def connection(self) -> Connection:
        """Return the session, outside of transactions; raise OSError if there can be none."""
        if self._connection is None or self._connection.closed:
            self._connection = None
            connection = open_session(self._lease, WRITE_S)
            try:
                with failing_as_os_error():
                    if self._set_up:
                        connection.execute(self._set_up.encode())
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    @contextmanager
    def transaction(self, first: str = "SELECT 1") -> Iterator[psycopg.Cursor[Row]]:
        """Run a transaction that begins with the fence and the statement `first`; yield its result.

        Raises FencedError, after which nothing can be written, or another OSError: nothing was written,
        unless the connection was lost in the commit itself.
        """
        fence = FENCE.format(self._lease.term)
        connection = self.connection()
        try:
            with failing_as_os_error():
                try:
                    result = connection.execute(f"BEGIN; {fence}; {first}".encode(), prepare=False)
                except errors.DivisionByZero:
                    raise self._lease.lose("another engine has taken the lease") from None
                while result.nextset():
                    pass
                yield result
                connection.execute(_COMMIT, prepare=False)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Read outside of transactions."""
        try:
            with failing_as_os_error():
                yield self.connection()
        except OSError:
            self.close()
            raise

    def ids(self, names: Collection[str]) -> Mapping[str, int]:
        """Return the ids of names, storing new ones; only within a transaction."""
        missing = sorted({name for name in names if name not in self._names})
        if missing:
            connection = self.connection()
            connection.execute(
                # An id is used up by each attempt to insert, hence only what is not there.
                "INSERT INTO names (text) SELECT text FROM unnest(%s::text[]) AS given (text) "
                "WHERE NOT EXISTS (SELECT FROM names WHERE names.text = given.text) "
                "ORDER BY text ON CONFLICT DO NOTHING",
                (missing,),
            )
            found = connection.execute("SELECT text, id FROM names WHERE text = ANY(%s)", (missing,))
            self._names.update(found.fetchall())
        return self._names

    def close(self) -> None:
        """Close the session; the next call opens another one."""
        self._names.clear()  # they may have been rolled back
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Readers:
    """Sessions for reading, on any thread."""

    def __init__(self, lease: Lease) -> None:
        """Read the database of `lease`, whoever has it."""
        self._lease = lease
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    def read(self, query: Callable[[Connection], Found]) -> Found:
        """Return what `query` reads; raise OSError if that fails."""
        while True:
            idle = self._take()
            connection = idle or open_session(self._lease, READ_S)
            try:
                with failing_as_os_error():
                    found = query(connection)
            except BaseException as error:
                # A session may have ended while nobody used it, as when the server was restarted.
                ended = idle is not None and connection.broken and isinstance(error, OSError)
                connection.close()
                if not ended:
                    raise
            else:
                self._keep(connection)
                return found

    def rows(self, query: str, values: tuple[object, ...] = ()) -> list[Row]:
        """Return all rows of a query; raise OSError if that fails."""
        return self.read(lambda connection: connection.execute(query.encode(), values).fetchall())

    def close(self) -> None:
        """Close the sessions that are not in use."""
        while (idle := self._take()) is not None:
            idle.close()

    def _take(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _keep(self, connection: Connection) -> None:
        with self._lock:
            if len(self._idle) < _IDLE_READERS:
                self._idle.append(connection)
                return
        connection.close()


def open_session(lease: Lease, statement_s: float) -> Connection:
    """Open a session; clients may be told its errors, so they name no server, user or database.

    The lease logs them whole.
    """
    try:
        return connect(lease.address, lease.name, statement_s)
    except OSError as error:
        raise OSError(_NAMES.sub('"…"', str(error))) from None
