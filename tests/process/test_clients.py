"""Clients as people have them, with no option set: npm's socket.io-client and python-socketio."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import socketio

from tests.process.programs import ROOT, address, program
from tests.waiting import SCALE

pytestmark = pytest.mark.timeout(120 * SCALE)


def _run(folder: Path, server: str) -> list[str]:
    own = ["--port", "0", "--data-dir", str(folder / "data"), "--log-file", str(folder / "app.log")]
    return ["-m", "crypto_stream", "run", "--sources", "synthetic", "--server", server, *own]


@pytest.mark.parametrize("server", ["eventlet", "gevent"])
async def test_default_io_of_npm(tmp_path: Path, server: str, require_program: Callable[[str], str]) -> None:
    """A default `io()` (polling first) is greeted, subscribes, gets a snapshot, then quotes."""
    node = require_program("node")
    with program(_run(tmp_path, server), tmp_path) as running:
        script = [node, str(ROOT / "tests" / "process" / "viewer.mjs"), await address(running)]
        done = await asyncio.to_thread(
            subprocess.run, script, cwd=ROOT, capture_output=True, text=True, timeout=30 * SCALE, check=False
        )
    lines = done.stdout.splitlines()
    events = [line.split(" ")[0] for line in lines]

    assert done.stderr == ""
    assert lines[0] == "opened polling"
    assert events.index("hello") < events.index("snapshot") < events.index("quotes")
    assert "snapshot 2" in lines
    ack = json.loads(next(line for line in lines if line.startswith("ack ")).removeprefix("ack "))
    assert ack["ok"] is True
    assert ack["symbols"] == ["ticker_00", "ticker_01"]


async def test_default_client_of_python(tmp_path: Path) -> None:
    """python-socketio's client with no option set subscribes, gets a snapshot, then quotes."""
    events: list[str] = []
    async with socketio.AsyncSimpleClient() as viewer:
        with program(_run(tmp_path, "eventlet"), tmp_path) as running:
            await viewer.connect(await address(running))
            answer = await viewer.call("subscribe", {"symbols": "all"}, timeout=10 * SCALE)
            while "quotes" not in events:
                event, _payload = await viewer.receive(timeout=10 * SCALE)
                events.append(event)

    assert answer["ok"] is True
    assert len(answer["symbols"]) == 103
    assert events.index("snapshot") < events.index("quotes")
