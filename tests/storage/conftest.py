"""What tests of stores may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from crypto_stream.storage.postgres_stores import PostgresStores
    from tests.storage.leases import Make


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Make]:
    """Return a function: the stores of an engine on a data directory of this name."""
    from crypto_stream.storage.postgres_stores import PostgresStores

    engines: list[PostgresStores] = []

    def make(address: str, name: str) -> PostgresStores:
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        engines.append(PostgresStores(address, place))
        return engines[-1]

    yield make
    for each in engines:
        each.close()
