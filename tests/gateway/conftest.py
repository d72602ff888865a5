"""A short place for the bus, a small engine, and a real gateway of each kind, once per module."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.gateway.engine import Engine
from tests.gateway.process import Gateway, Viewer, running, viewing


@pytest.fixture(scope="module")
def bus() -> Iterator[Path]:
    """Name a bus socket; paths of Unix sockets end at 107 bytes, so pytest's own folders are too long."""
    with tempfile.TemporaryDirectory(prefix="cs") as folder:
        yield Path(folder) / "bus"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(bus: Path) -> AsyncIterator[Engine]:
    """Run an engine for the whole module."""
    async with Engine(bus) as running_engine:
        yield running_engine


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["eventlet", "gevent"])
async def gateway(bus: Path, engine: Engine, request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    """Run a gateway that has heard the engine, for the whole module."""
    async with running(bus, server=request.param) as gateway:
        await gateway.ready()
        yield gateway


@pytest_asyncio.fixture(loop_scope="module")
async def viewer(gateway: Gateway) -> AsyncIterator[Viewer]:
    """Connect a WebSocket viewer that has got `hello`."""
    async with viewing(gateway.url) as viewer:
        await viewer.until("hello")
        yield viewer
