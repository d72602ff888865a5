"""TLS to PostgreSQL, with a server whose certificate can be checked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from crypto_stream.errors import SettingError
from crypto_stream.storage.postgres_stores import PostgresStores
from tests.certificates import Certificates
from tests.postgres import server
from tests.storage.leases import execute
from tests.waiting import SCALE

pytestmark = pytest.mark.timeout(120 * SCALE)

_ENCRYPTED = (
    "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
    "WHERE starts_with(application_name, 'cs:')"
)


def test_sessions_are_encrypted_and_the_server_is_the_right_one(
    require_program: Callable[[str], str], tmp_path: Path
) -> None:
    """As docs/operations.md says; a certificate of another authority ends the start in one line."""
    made = []
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        made.append(Certificates(tmp_path / name, require_program("openssl")))
    ours, theirs = made
    with server(require_program) as postgres:
        postgres.use_tls(ours.path("server.pem"), ours.path("server.key"))
        postgres.stop()
        postgres.start()
        checked = f"{postgres.database()}?sslmode=verify-full&sslrootcert="
        with closing(PostgresStores(checked + ours.path("ca.pem"), tmp_path)) as stores:
            assert stores.acquire()
            stores.state().load()
            encrypted = execute(checked + ours.path("ca.pem"), _ENCRYPTED)
        with pytest.raises(SettingError, match=r"^database: PostgreSQL: [^\n]*certificate verify failed"):
            PostgresStores(checked + theirs.path("ca.pem"), tmp_path).acquire()

    assert encrypted == [(True,)]
