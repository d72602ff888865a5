"""Real servers for the bus over Redis, and both buses for what holds of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bus.ends import Bus, LocalBus, RedisBus
from tests.redis_server import RedisServer, running


@pytest.fixture
def server(require_program: Callable[[str], str], tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis server of this test's own."""
    with running(require_program("redis-server"), tmp_path / "redis-1") as server:
        yield server


@pytest.fixture
def other_server(require_program: Callable[[str], str], tmp_path: Path) -> Iterator[RedisServer]:
    """Run a second one."""
    with running(require_program("redis-server"), tmp_path / "redis-2") as server:
        yield server


@pytest.fixture(params=["local", "redis", "two relays"])
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Bus:
    """Return each bus in turn."""
    if request.param == "local":
        return LocalBus(tmp_path / "bus.sock")
    urls = [request.getfixturevalue("server").url()]
    if request.param == "two relays":
        urls.append(request.getfixturevalue("other_server").url())
    return RedisBus(",".join(urls))
