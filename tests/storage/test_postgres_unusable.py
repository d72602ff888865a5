"""Databases that an engine cannot use: at the start it says why, in one line, and changes nothing."""

from __future__ import annotations

import secrets
from contextlib import closing
from pathlib import Path

import pytest

from crypto_stream.errors import SettingError, UsageError
from crypto_stream.storage.move import move
from crypto_stream.storage.postgres_stores import PostgresStores
from crypto_stream.storage.sqlite import SqliteStateStore
from crypto_stream.storage.sqlite_stores import STATE
from tests.ports import free_port
from tests.postgres import PASSWORD, USER, Server
from tests.storage.leases import execute
from tests.waiting import SCALE

pytestmark = pytest.mark.timeout(120 * SCALE)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("CREATE TABLE schema_version (version text)", "tables of another program"),
        ("REVOKE CREATE ON SCHEMA public FROM PUBLIC", "may not create tables"),
    ],
)
def test_a_database_in_which_our_tables_cannot_be_made(
    postgres: Server, tmp_path: Path, query: str, words: str
) -> None:
    """Another program's, or one in which our user has no right to make tables: said at the start."""
    address = postgres.database()
    execute(address, query)
    user = f"guest_{secrets.token_hex(4)}"
    execute(address, f"CREATE ROLE {user} LOGIN PASSWORD 'sesame'")
    as_guest = address.replace(f"{USER}:{PASSWORD}", f"{user}:sesame")
    with pytest.raises(SettingError, match=f"^database: PostgreSQL: [^\n]*{words}"):
        PostgresStores(as_guest, tmp_path).acquire()

    assert execute(address, "SELECT to_regclass('lease')") == [(None,)]


@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_a_server_without_the_required_encryption(postgres: Server, tmp_path: Path, mode: str) -> None:
    """It would be so at each attempt: an operator must change the address or the server."""
    address = f"{postgres.database()}?sslmode={mode}"
    with pytest.raises(SettingError, match=r"^database: PostgreSQL: [^\n]*(SSL|certificate)"):
        PostgresStores(address, tmp_path).acquire()


def test_errors_that_clients_are_told_name_nothing(postgres: Server, tmp_path: Path) -> None:
    """Neither server nor user nor database: those of orders are sent to whoever places one."""
    address = postgres.database()
    name = address.rpartition("/")[2]
    with closing(PostgresStores(address, tmp_path)) as stores:
        assert stores.acquire()
        writer, reader = stores.orders()
        said = []
        execute(address.replace(name, "postgres"), f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        for act in (writer.open, lambda: reader.positions("ann")):
            with pytest.raises(OSError, match="PostgreSQL: ") as caught:
                act()
            said.append(str(caught.value))
        execute(address.replace(name, "postgres"), f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    assert all('"…"' in text for text in said), said
    assert not any(word in text for text in said for word in (USER, PASSWORD, name, "127.0.0.1")), said


def test_a_move_to_a_server_that_is_away_says_why(postgres: Server, tmp_path: Path) -> None:
    """To whoever typed the command, with the server's address; nothing else has happened."""
    SqliteStateStore(tmp_path / STATE).save({"pin": "okx"})
    address = postgres.database().replace(str(postgres.port), str(free_port()))
    with pytest.raises(UsageError, match=r"^move: PostgreSQL: [^\n]*refused[^\n]*; nothing was moved$"):
        move(tmp_path, address)
