"""The order gateway as a program in JavaScript meets it: npm's ws, no option set."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.process.programs import ROOT
from tests.process.serving import Service, trading
from tests.waiting import SCALE

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120 * SCALE)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """Run the program, with a walk that soon goes below 87."""
    async with trading(tmp_path_factory.mktemp("run"), "--seed", "38") as running:
        yield running


@pytest.mark.parametrize("path", ["/ws", "/ws/"])
async def test_the_four_examples_work_as_they_stand(
    path: str, service: Service, require_program: Callable[[str], str]
) -> None:
    """The order is filled, quotes come, what does not exist is refused; camelCase is answered alike."""
    node = require_program("node")
    if not (ROOT / "node_modules" / "ws").exists():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("ws is not installed")
    script = [node, str(Path(__file__).with_name("trader.mjs")), service.url.replace("http", "ws") + path]
    done = await asyncio.to_thread(
        subprocess.run, script, cwd=ROOT, capture_output=True, text=True, timeout=60 * SCALE, check=False
    )
    *frames, end = done.stdout.splitlines()
    messages = [json.loads(frame) for frame in frames]

    def of(kind: int) -> list[dict[str, Any]]:
        return [each["message"] for each in messages if each["messageType"] == kind]

    first, filled, resting, cancelled = of(3)
    assert (done.stderr, end) == ("", "closed 1000")
    assert [set(report) for report in (first, filled, resting)] == [{"order_id", "order_status"}] * 3
    assert [report["order_status"] for report in (first, filled, resting)] == [1, 2, 1]
    assert first["order_id"] == filled["order_id"] != resting["order_id"]
    assert cancelled == {"orderId": resting["order_id"], "orderStatus": 4}
    assert [set(each) for each in of(1)] == [{"subscription_id"}]
    assert of(4)[0]["subscription_id"] == of(1)[0]["subscription_id"]
    assert set(of(4)[0]["quotes"][0]) == {"bid", "offer", "min_amount", "max_amount", "timestamp"}
    assert ["5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5" in refused["reason"] for refused in of(2)] == [True, True]
