"""The lease: of all engines on one database, one may write at a time.

Only PostgreSQL's clock decides when a lease has expired. Each change of hands begins a new `term`, which
every writing transaction checks first (the fence): an engine that was paused, or cut off, and wakes up in an
old term cannot write.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from psycopg import errors

from crypto_stream.errors import SettingError
from crypto_stream.log_throttle import TroubleLog
from crypto_stream.storage.interface import FencedError, UnusableError
from crypto_stream.storage.postgres_connection import (
    CONNECT_S,
    Connection,
    LoginError,
    connect,
    failing_as_os_error,
)
from crypto_stream.storage.postgres_schema import migrate

log = logging.getLogger(__name__)

# What follows it takes up to 0.7 s (docs/scale.md), and viewers should see a pause of 3.5 s at most.
_LASTS_S = 2.5
_EVERY_S = 0.5
_UNTIL = f"clock_timestamp() + interval '{_LASTS_S} s'"
_NOW = "clock_timestamp()"
# A lease that ends later than that was kept before the server's clock was set back; its holder would have
# corrected it within half a second.
_AHEAD = "interval '10 s'"
_PREFIX = "cs:"
_NOBODY = ""  # the holder of a lease that was released
# After PostgreSQL was away, an expired lease is left to its holder for so long, or until it was kept again:
# its holder must connect again, too.
_PATIENCE_S = CONNECT_S + 2 * _EVERY_S
# How long another engine, which is ready, is given to take what we have released for it.
_YIELDS_S = 1.0
# How long a transaction of the former holder may keep us from taking a lease that is free.
_LOCKED_S = 0.2
# Sessions of other engines that could take the lease: they look ten times a second. Those of a machine that
# vanished without a word remain for hours.
_FOLLOWERS = (
    "FROM pg_stat_activity WHERE usename = current_user AND datname = current_database() "
    f"AND starts_with(application_name, '{_PREFIX}') AND NOT starts_with(application_name, %s) "
    "AND query_start > clock_timestamp() - interval '5 s'"
)
_COUNTS_EVERY_S = 2.0
# How long the engine may stand still before its lease is no longer kept.
_HANGS_S = 2.0


class Lease:
    """The lease of one life of an engine; `name` is what its sessions are called in PostgreSQL.

    `holder` names the data directory, which only one process can have locked: another life of the same holder
    has ended, and need not expire. All methods may be called on any thread.
    """

    def __init__(self, address: str, holder: str) -> None:
        """Use the database at `address`; nothing is opened yet."""
        self.address = address
        self.name = f"{_PREFIX}{holder}:{secrets.token_hex(4)}"
        self._holder = holder
        self._term: int | None = None
        self._lost: FencedError | None = None
        self._told: Callable[[], object] = _ignore
        self._connection: Connection | None = None
        self._follows = False
        self._is_held = False  # by another engine, when we looked last
        self._was_away = False
        self._not_before_s = 0.0
        self._patient_until_s = 0.0
        self._seen_until: float | None = None  # when the lease would end, as we saw it first since then
        self.followers: int | None = None  # None: not known, or this engine does not lead
        self._counts_from_s = 0.0
        self.pulse_s: float | None = None
        self._looked_s = 0.0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._log = TroubleLog(
            log, "PostgreSQL cannot be used", "PostgreSQL can be used again", level=logging.ERROR
        )
        self._hung = TroubleLog(
            log, "the engine hangs, its lease is not kept", "the engine moves again", level=logging.ERROR
        )

    @property
    def term(self) -> int:
        """The term in which this engine may write; raises FencedError once it is over, OSError before it."""
        if self._lost is not None:
            raise FencedError(str(self._lost))
        if self._term is None:
            raise OSError("PostgreSQL: it could not be reached yet")  # clients of orders are told this
        return self._term

    @property
    def trouble(self) -> str | None:
        """Why PostgreSQL cannot be used, for an operator; None if it can."""
        return self._log.reason

    def acquire(self) -> bool:
        """Take the lease if it is free, and keep it on a thread; see `Stores.acquire`."""
        try:
            taken = self._take()
            self._log.works()
        except OSError as error:
            refused = isinstance(error, LoginError) and not self._follows
            if refused or isinstance(error, UnusableError):
                raise SettingError(f"database: {error}") from None
            self._fail(error)
            taken = not self._follows  # prices need no database
        if taken:
            self._thread.start()
        elif not self._follows:
            self._follows = True
            log.info("follows: another engine leads")
        return taken

    def listen(self, told: Callable[[], object]) -> None:
        """Call `told` when the lease is lost, at once if it is lost already."""
        with self._lock:
            self._told = told
            if self._lost is not None:
                told()

    def pulse(self, at_s: float | None) -> None:
        """Note that the engine moves, at this monotonic time; None: it need not.

        An engine that hangs keeps no lease: without a note for two seconds another one may take it.
        """
        self.pulse_s = at_s

    def lose(self, reason: str) -> FencedError:
        """Note that another engine may write now; return the error that says so."""
        with self._lock:
            if self._lost is None:
                self._lost = FencedError(f"{reason}; this engine restarts")
                self._told()
            return FencedError(str(self._lost))

    def close(self) -> None:
        """Stop keeping the lease, and let another engine take it at once."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._term is not None and self._lost is None:
            with suppress(OSError), failing_as_os_error():
                self._open().execute(
                    "UPDATE lease SET holder = %s, until = clock_timestamp() "
                    "WHERE name = 'engine' AND term = %s",
                    (_NOBODY, self._term),
                )
        self._term = None
        self._hang_up()

    def _run(self) -> None:
        """Keep the lease; take it first if PostgreSQL could not be reached at the start."""
        try:
            while not self._over.wait(_EVERY_S):
                if self._hangs():
                    continue
                try:
                    self._keep()
                    self._log.works()
                except FencedError as error:
                    self.lose(str(error))
                    return
                except OSError as error:
                    self._fail(error)
        except Exception as error:  # the engine must not go on as if it had the lease
            log.exception("keeping the lease failed")
            self.lose(f"internal error: {error}")

    def _hangs(self) -> bool:
        now_s, pulse_s = time.monotonic(), self.pulse_s
        stopped = now_s - self._looked_s > _HANGS_S  # all of this process was, or this thread has waited
        self._looked_s = now_s
        hangs = pulse_s is not None and now_s - pulse_s > _HANGS_S and not stopped
        if hangs:
            self._hung.fails(f"no sign of life for {_HANGS_S:g} s")
        else:
            self._hung.works()
        return hangs

    def _keep(self) -> None:
        if self._term is None:
            if not self._take() and self._is_held:
                raise FencedError("another engine took over while PostgreSQL could not be reached")
            return
        with failing_as_os_error():
            kept = self._open().execute(
                f"UPDATE lease SET until = {_UNTIL} WHERE name = 'engine' AND holder = %s AND term = %s",
                (self._holder, self._term),
            )
            if not kept.rowcount:
                raise FencedError(f"another engine has ended term {self._term}")
            self._count_followers()

    def _count_followers(self) -> None:
        """Count the engines that could take over, once in a while."""
        if (now_s := time.monotonic()) < self._counts_from_s:
            return
        self._counts_from_s = now_s + _COUNTS_EVERY_S
        query = f"SELECT count(DISTINCT split_part(application_name, ':', 2)) {_FOLLOWERS}"
        ((self.followers,),) = self._open().execute(query.encode(), (self._own_sessions,))

    @property
    def _own_sessions(self) -> str:
        """What the names of the sessions of this engine, and of its earlier lives, begin with."""
        return f"{_PREFIX}{self._holder}:"

    def _take(self) -> bool:
        """Take the lease if it is free; end the sessions of its former holder if they hold on to it."""
        if self._connection is None:
            migrate(self.address, self.name)
        with failing_as_os_error():
            connection = self._open()
            # Looking does not disturb the holder, whose transactions would wait for a lock of ours.
            if not self._is_free(connection, "") or self._yields(connection):
                return False
            try:
                begin = f"BEGIN; SET LOCAL lock_timeout = {round(_LOCKED_S * 1000)}"
                connection.execute(begin, prepare=False)
                if not self._is_free(connection, "FOR UPDATE"):
                    connection.execute("ROLLBACK")
                    return False
                query = (
                    f"UPDATE lease SET holder = %s, term = term + 1, until = {_UNTIL} "
                    "WHERE name = 'engine' RETURNING term"
                )
                ((term,),) = connection.execute(query, (self._holder,))
                connection.execute("COMMIT")
            except errors.LockNotAvailable:
                connection.execute("ROLLBACK")
                self._end_former(connection)
                return False  # the next attempt will find it free
        self._term = term
        log.info("leads", extra={"term": term})
        return True

    def _is_free(self, connection: Connection, lock: str) -> bool:
        """Return whether this engine may take the lease now: an earlier life of it has it, or nobody."""
        query = (
            "SELECT holder, extract(epoch FROM until)::float8, "
            f"until NOT BETWEEN {_NOW} AND {_NOW} + {_AHEAD} FROM lease {lock}"
        )
        ((holder, until, expired),) = connection.execute(query)
        self._is_held = holder not in (_NOBODY, self._holder) and not expired
        if self._seen_until is None:
            self._seen_until = until
        if until > self._seen_until:  # its holder is connected again, or only we were cut off
            self._patient_until_s = 0.0
        waits = time.monotonic() < max(self._not_before_s, self._patient_until_s)
        return holder == self._holder or not (self._is_held or waits)

    def _yields(self, connection: Connection) -> bool:
        """Release the lease of our earlier life if another engine follows: its sources are connected."""
        released = connection.execute(
            "UPDATE lease SET holder = %s, until = clock_timestamp() WHERE name = 'engine' AND holder = %s "
            f"AND EXISTS (SELECT {_FOLLOWERS})",
            (_NOBODY, self._holder, self._own_sessions),
        )
        if released.rowcount:
            log.info("the engine that follows is given the lead")
            self._not_before_s = time.monotonic() + _YIELDS_S
        return bool(released.rowcount)

    def _end_former(self, connection: Connection) -> None:
        """End the sessions that hold the lease's row although the lease is free: their engine hangs.

        Of a released lease nobody knows whose they are: those that have been in a transaction all the time.
        One may wait in its commit for a standby, for ever and whatever has become of its engine.
        """
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity, lease WHERE usename = current_user "
            "AND datname = current_database() AND application_name <> %s AND ("
            f"starts_with(application_name, '{_PREFIX}' || holder || ':') OR holder = '{_NOBODY}' "
            f"AND starts_with(application_name, '{_PREFIX}') "
            f"AND xact_start < clock_timestamp() - interval '{_LOCKED_S / 2} s')",
            (self.name,),
        )
        log.warning("ended the sessions of the engine that had the lease", extra={"sessions": ended.rowcount})

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self.address, self.name)
            # No standby need know who leads: what is written under a term follows it in the log.
            self._connection.execute("SET synchronous_commit = local")
            if self._was_away:
                self._was_away = False
                self._seen_until = None
                self._patient_until_s = time.monotonic() + _PATIENCE_S
        return self._connection

    def _fail(self, error: OSError) -> None:
        self._log.fails(str(error))
        self.followers = None
        self._was_away = True
        self._hang_up()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _ignore() -> None:
    """Nobody listens yet."""
