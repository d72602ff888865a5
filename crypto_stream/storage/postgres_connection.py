"""Connections to PostgreSQL: their settings, their deadlines, and their errors as OSError."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors
from psycopg.abc import RV, PQGen

from crypto_stream.errors import SettingError

Row = tuple[Any, ...]

CONNECT_S = 3
# A lock that another session holds for longer, or a transaction that pauses for longer, belongs to a process
# that hangs. Statements of a writer are short; those of readers may scan.
_LOCK_S, _IDLE_S = 1.0, 2.0
WRITE_S, READ_S = 3.0, 10.0
# How much later than the server's own time-out we stop waiting: then the server, or the way to it, hangs.
_GRACE_S = 1.0
# What PostgreSQL, or what checks its certificate, answers if it does not let us in until an operator changes
# something. There is no code for it before a session has begun; in another language it counts as an error
# that may pass.
_REFUSALS = (
    *("authentication failed", "no password supplied", "no pg_hba.conf entry", "pg_hba.conf rejects"),
    *("does not exist", "does not support SSL", "certificate verify failed", "does not match host name"),
)
_PASSING = (
    psycopg.OperationalError,
    psycopg.InternalError,
    psycopg.InterfaceError,
    # An operator has taken something away, and can give it back.
    errors.InsufficientPrivilege,
    errors.UndefinedTable,
)


class LoginError(OSError):
    """PostgreSQL answered, and did not let us in, or is not the one whose certificate we trust."""


class Connection(psycopg.Connection[Row]):
    """A connection on which nothing waits for long: it is closed if an answer does not come in time.

    Nothing begins a transaction implicitly (`autocommit`).
    """

    wait_s = WRITE_S + _GRACE_S

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for an answer, at most `wait_s`; TCP alone would wait for hours for a stopped server."""
        began = time.monotonic()
        try:
            return super().wait(gen, interval, self.wait_s if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if time.monotonic() - began < self.wait_s:
                raise
            self.close()  # whatever it would still answer belongs to nobody
            raise psycopg.OperationalError(f"no answer within {self.wait_s:.0f} s") from error


@contextmanager
def failing_as_os_error() -> Iterator[None]:
    """Turn the errors that a server can cause into OSError, but no programming errors."""
    try:
        yield
    except _PASSING as error:
        raise OSError(f"PostgreSQL: {_one_line(error)}") from None


def connect(address: str, name: str, statement_s: float = WRITE_S) -> Connection:
    """Open a session called `name` in which each statement may take `statement_s`.

    Raises LoginError or another OSError, and SettingError if `address` cannot be parsed.
    """
    try:
        connection = Connection.connect(
            address,
            autocommit=True,
            application_name=name,
            client_encoding="UTF8",
            connect_timeout=CONNECT_S,
            tcp_user_timeout=int(WRITE_S * 1000),
            target_session_attrs="read-write",  # of several servers, the one that is no standby
        )
    except psycopg.OperationalError as error:
        text = _one_line(error)
        refused = any(words in text for words in _REFUSALS)
        raise (LoginError if refused else OSError)(f"PostgreSQL: {text}") from None
    except psycopg.Error:  # the text would repeat the address, with its password
        raise SettingError("database: the address is not one of PostgreSQL, or malformed") from None
    connection.wait_s = statement_s + _GRACE_S
    try:
        with failing_as_os_error():
            connection.execute(
                f"SET statement_timeout = {_ms(statement_s)}; SET lock_timeout = {_ms(_LOCK_S)}; "
                f"SET idle_in_transaction_session_timeout = {_ms(_IDLE_S)}; "
                "SET default_transaction_isolation = 'read committed'; "
                # What is acknowledged is on the disk, whatever the server's default.
                "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') = 'off'",
                prepare=False,
            )
    except BaseException:
        connection.close()
        raise
    return connection


def storable(text: str | None) -> str | None:
    """Return a text as PostgreSQL can store it: NUL is replaced."""
    return text if text is None or "\0" not in text else text.replace("\0", "\ufffd")


def _one_line(error: psycopg.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines) or type(error).__name__


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
