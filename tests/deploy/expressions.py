"""What deploy/ asks of Prometheus: its alerts, the expressions of its panels, the metrics of both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

from tests.process.programs import ROOT

RULES = ROOT / "deploy" / "prometheus-rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
JOB = "crypto-stream"
# What Grafana puts in place of its variables.
_VARIABLES = {"$job": JOB, "$__rate_interval": "10s"}


def alerts() -> list[str]:
    """List the names of all alerts."""
    return re.findall(r"^ +- alert: (\w+)$", RULES.read_text("utf-8"), re.MULTILINE)


def panels() -> dict[str, list[str]]:
    """Return the expressions of each panel by its title, as Grafana would send them."""
    found: dict[str, list[str]] = {}
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        expressions = [str(target["expr"]) for target in panel["targets"]]
        for variable, value in _VARIABLES.items():
            expressions = [each.replace(variable, value) for each in expressions]
        assert panel["title"] not in found
        found[panel["title"]] = expressions
    return found


def named(texts: Iterable[str]) -> set[str]:
    """Return the names of our metrics in these texts."""
    return {name for text in texts for name in re.findall(r"\bcrypto_stream_\w+", text)}


def exported(text: str) -> set[str]:
    """Return all names that /metrics has, also of families without a sample so far."""
    suffixes = {
        "counter": ["_total"],
        "histogram": ["_bucket", "_sum", "_count"],
        "summary": ["_sum", "_count"],
    }
    return {
        family.name + suffix
        for family in text_string_to_metric_families(text)
        for suffix in suffixes.get(family.type, [""])
    }
