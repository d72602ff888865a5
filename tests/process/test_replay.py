"""Recordings of real venues through the whole program: `run --sources replay:VENUE:FILE`.

Skipped unless CRYPTO_STREAM_RECORDINGS names the folder of recordings, which are not part of the project.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.handlers.test_recordings import FILES, received, recompute_binance, recompute_okx, recordings
from tests.process.programs import address, program
from tests.waiting import SCALE

__all__ = ["recordings"]  # the fixture

pytestmark = pytest.mark.timeout(120 * SCALE)


async def _ended(http: httpx.AsyncClient) -> dict[str, Any]:
    """Return the source's status once the recording is over and its last quotes are published."""
    async with asyncio.timeout(30 * SCALE):
        while True:
            (replayed,) = (await http.get("/sources")).json()["sources"]
            if replayed["state"] == "ended" and all(
                quote["source"] for quote in (await http.get("/courses")).json()
            ):
                return dict(replayed)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", FILES)
async def test_a_replay_ends_with_the_recomputed_figures(tmp_path: Path, recordings: Path, name: str) -> None:
    """/sources counts every received frame once; /courses ends with the recomputed texts, stale."""
    file, venue = recordings / name, name.partition("/")[0]
    _, expected = (recompute_binance if venue == "binance" else recompute_okx)(file)
    own = ["--port", "0", "--data-dir", str(tmp_path / "data"), "--log-file", str(tmp_path / "app.log")]
    source = ["--sources", f"replay:{venue}:{file}", "--replay-speed", "full"]
    with program(["-m", "crypto_stream", "run", *own, *source], tmp_path) as running:
        url = await address(running)
        async with httpx.AsyncClient(base_url=url) as http:
            replayed = await _ended(http)
            courses = await http.get("/courses")

    figures = {quote["symbol"]: (quote["bid"], quote["ask"], quote["price"]) for quote in courses.json()}
    assert sum(replayed["frames"].values()) == sum(1 for _ in received(file))
    assert figures == expected
    assert courses.status_code == 503
    assert {quote["source"] for quote in courses.json()} <= {f"replay:{venue}"}
    assert all(quote["stale"] and not quote["synthetic"] for quote in courses.json())
