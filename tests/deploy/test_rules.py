"""The alerts: promtool accepts them, each fires and is silent in a case of its own, and has its row."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.deploy.expressions import RULES, alerts
from tests.process.programs import ROOT
from tests.waiting import SCALE

CASES = Path(__file__).with_name("alerts.yml")


def _promtool(path: str, *arguments: str) -> str:
    done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=60 * SCALE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_accepts_the_rules(require_program: Callable[[str], str]) -> None:
    """And finds as many as there are."""
    said = _promtool(require_program("promtool"), "check", "rules", str(RULES))

    assert f"SUCCESS: {len(alerts())} rules found" in said


def test_each_case_is_as_expected(require_program: Callable[[str], str]) -> None:
    """When alerts fire, with which labels and sentence, and when they do not."""
    said = _promtool(require_program("promtool"), "test", "rules", str(CASES))

    assert "SUCCESS" in said


def test_each_alert_fires_and_is_silent_in_some_case() -> None:
    """Otherwise a rule that always or never fires would pass."""
    cases = CASES.read_text("utf-8").split("- alertname: ")[1:]
    fires = {case.split()[0] for case in cases if "exp_alerts" in case}
    silent = {case.split()[0] for case in cases if "exp_alerts" not in case}

    assert fires == set(alerts())
    assert silent >= set(alerts()) - {"GatewayBehind"}  # its case has a gateway that is not named


def test_each_alert_is_documented() -> None:
    """docs/operations.md says what to do, in the rules' order."""
    text = (ROOT / "docs" / "operations.md").read_text("utf-8").split("| alert |")[1].split("\n\n")[0]

    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == alerts()
