"""The pages as Lighthouse judges them; its reports are kept in build/lighthouse."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.system import System
from tests.waiting import SCALE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240 * SCALE)]

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests/lighthouse/node_modules/lighthouse/cli/index.js"
KEPT = ROOT / "build/lighthouse"
FLAGS = "--headless=new --no-sandbox --disable-gpu"


def judged(url: str, name: str, chromium: str) -> dict[str, Any]:
    """Let Lighthouse judge a page; return its report, which is kept.

    Where it gave no judgement, because Chromium did not answer it in time, it is asked once more.
    """
    KEPT.mkdir(parents=True, exist_ok=True)
    report = KEPT / f"{name}.json"
    command = [
        *("node", str(PROGRAM), url, "--quiet", f"--chrome-flags={FLAGS}", "--output=json"),
        *(f"--output-path={report}", "--only-categories=accessibility,best-practices"),
        *("--max-wait-for-load=8000", "--throttling-method=provided"),
    ]
    environment = {**os.environ, "CHROME_PATH": chromium}
    done = subprocess.run(command, check=False, env=environment, timeout=100 * SCALE)
    if done.returncode:
        subprocess.run(command, check=True, env=environment, timeout=100 * SCALE)
    found: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return found


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "board"),
        ("/btcusdt", "instrument"),
        ("/instruments", "instruments"),
        ("/markets", "markets"),
        ("/orders", "orders"),
        ("/status", "status"),
    ],
)
def test_every_page_is_for_everybody(
    system: System, require_program: Callable[[str], str], path: str, name: str
) -> None:
    """Accessibility is 100, best practices are at least 95; what is lacking is told."""
    require_program("node")
    report = judged(f"{system.url}{path}", name, require_program("chromium"))
    scores = {key: category["score"] * 100 for key, category in report["categories"].items()}
    lacking = [
        f"{audit['id']}: {audit['title']}"
        for audit in report["audits"].values()
        if audit.get("score") is not None and audit["score"] < 1
    ]

    assert scores["accessibility"] == 100, lacking
    assert scores["best-practices"] >= 95, lacking
