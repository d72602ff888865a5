"""An engine with the instruments of the exercise; its record of commands is cleared for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.gateway.engine import Engine
from tests.gateway.order_sessions.trader import EXCHANGED, Trader, trading
from tests.gateway.process import Gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(bus: Path) -> AsyncIterator[Engine]:
    """Run an engine for the whole module."""
    async with Engine(bus, instruments=EXCHANGED) as running_engine:
        yield running_engine


@pytest_asyncio.fixture(loop_scope="module")
async def trader(engine: Engine, gateway: Gateway) -> AsyncIterator[Trader]:
    """Connect to `/ws`, after clearing the engine's record of commands."""
    engine.commands.clear()
    async with trading(gateway.url) as trader:
        await trader.attached(engine)
        yield trader


@pytest_asyncio.fixture(loop_scope="module")
async def extended(engine: Engine, gateway: Gateway) -> AsyncIterator[Trader]:
    """Connect to `/ws` in the extended mode, after clearing the engine's record of commands."""
    engine.commands.clear()
    async with trading(gateway.url, "mode=extended") as trader:
        await trader.attached(engine)
        yield trader
