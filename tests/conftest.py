"""What every test may ask for; keep it small."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.installed import installed

if TYPE_CHECKING:
    from crypto_stream.storage.interface import Stores
    from tests.postgres import Server
    from tests.stores import StoreFactory

# No test fails for being slow: these machines are shared. Under CI=true Hypothesis says so by itself.
settings.register_profile("shared", deadline=None)
if os.environ.get("CI") != "true":
    settings.load_profile("shared")

# A test run that was started in the background, or under nohup, may ignore these; so would every program that
# a test starts and asks to end.
for _sign in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_sign) is signal.SIG_IGN:
        signal.signal(_sign, signal.default_int_handler if _sign == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(scope="session")
def require_program() -> Callable[[str], str]:
    """Return a function: the path of a program, else skip; under CI=true a missing one fails instead."""

    def find(name: str) -> str:
        path = installed(name)
        if path is None:
            missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            missing(f"{name} is not installed")
        return path

    return find


@pytest.fixture(scope="session")
def postgres(require_program: Callable[[str], str]) -> Iterator[Server]:
    """Run a PostgreSQL server for all tests of this process; each asks it for a database of its own."""
    from tests.postgres import server  # here, because few tests need it

    with server(require_program) as one:
        yield one


@pytest.fixture(params=["sqlite", "postgres"])
def store_factory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StoreFactory]:
    """Make stores of each kind, also for several examples of one test."""
    from tests.stores import StoreFactory

    server = request.getfixturevalue("postgres") if request.param == "postgres" else None
    one = StoreFactory(tmp_path_factory.mktemp("stores"), server)
    yield one
    one.close()


@pytest.fixture
def stores(store_factory: StoreFactory) -> Stores:
    """Return empty stores of each kind."""
    return store_factory.stores()
