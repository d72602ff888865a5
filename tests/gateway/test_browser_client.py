"""The browsers' client, as installed by npm, against both servers."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.engine import Engine
from tests.gateway.process import ROOT, Gateway
from tests.waiting import DEADLINE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_default_io_polls_first_upgrades_and_gets_snapshot_then_quotes(
    gateway: Gateway, engine: Engine, require_program: Callable[[str], str]
) -> None:
    """No option is needed: `io(url)`, `emit("subscribe")`, and the live prices come."""
    node = require_program("node")
    if not (ROOT / "node_modules" / "socket.io-client").exists():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("socket.io-client is not installed")
    script = Path(__file__).with_name("default_io.mjs")
    process = await asyncio.create_subprocess_exec(
        node, str(script), gateway.url, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    got: list[tuple[str, Any]] = []
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not {"upgrade", "quotes", "acknowledged"} <= {name for name, _ in got}:
                got.append(tuple(json.loads(await process.stdout.readline())))
                if got[-1][0] == "snapshot":
                    changed = engine.change(price=f"{engine.seq}.125")
    finally:
        process.kill()
        await process.wait()

    events = [name for name, _ in got if name in {"hello", "snapshot", "quotes"}]
    received = dict(got)
    assert events[:3] == ["hello", "snapshot", "quotes"]
    assert received["acknowledged"]["symbols"] == ["btcusdt"]
    assert [(one["symbol"], one["price"]) for one in received["quotes"]] == [("btcusdt", changed.price)]
