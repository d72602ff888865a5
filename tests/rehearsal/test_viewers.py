"""The judgement of a viewer: what may come, and what nobody should get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.rehearsal.viewers import Viewer


@pytest.fixture
async def viewer() -> AsyncIterator[Viewer]:
    """Return one that has connected once."""
    async with aiohttp.ClientSession() as session:
        one = Viewer(session)
        one.connects = 1
        yield one


def quote(seq: int, *, stale: bool = False) -> dict[str, Any]:
    return {"symbol": "btcusdt", "seq": seq, "stale": stale}


async def _tell(viewer: Viewer, *events: tuple[str, Any]) -> None:
    for name, content in events:
        await viewer.client.handlers["/"][name](content)


async def test_a_gateway_that_has_just_started_greets_twice(viewer: Viewer) -> None:
    """First it knows no engine, and shows nothing."""
    await _tell(viewer, ("hello", {"epoch": None}), ("snapshot", []))
    await _tell(viewer, ("hello", {"epoch": "e"}), ("snapshot", [quote(1)]), ("quotes", [quote(2)]))

    assert (viewer.unexplained(), viewer.faults) == (0, [])


async def test_a_greeting_without_a_connection_is_no_pause(viewer: Viewer) -> None:
    """Nor is a snapshot, or another data set."""
    await _tell(viewer, ("hello", {"epoch": "e"}), ("snapshot", [quote(1)]))
    await _tell(viewer, ("hello", {"epoch": "f"}), ("snapshot", [quote(2)]))

    assert viewer.unexplained() == 2
    assert viewer.faults == ["the epoch was e, is f"]


async def test_what_goes_back_or_is_stale_at_once_is_a_fault(viewer: Viewer) -> None:
    """Prices stay live for five seconds, and numbers increase."""
    await _tell(viewer, ("hello", {"epoch": "e"}), ("snapshot", [quote(5)]), ("quotes", [quote(4)]))
    await _tell(viewer, ("quotes", [quote(6, stale=True)]))

    assert viewer.stale == 1
    assert viewer.faults[0] == "btcusdt: seq went back from 5 to 4"
    assert viewer.faults[1].startswith("btcusdt: stale ")
