"""The viewers of a measurement: one process on the second core, controlled over its pipes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psutil

from benchmarks.on_core import CLIENTS
from benchmarks.servers import Served, on_core
from benchmarks.system import Process, cpu_s

_READY_S = 150.0
_ANSWER_S = 60.0
_DRAIN_S = 20.0


class Viewing:
    """The viewers of one server; all were ready `took_s` seconds after they began to connect."""

    def __init__(self, process: Process) -> None:
        """Wait until all are ready."""
        self._process = process
        self._watched = psutil.Process(process.pid)
        ready = json.loads(process.line(_READY_S))
        self.count: int = ready["ready"]
        self.took_s: float = ready["took_s"]

    def ask(self, line: str) -> dict[str, Any]:
        """Send one command (`mark`, `halt N`, `resume`, `report LAST`) and return the answer."""
        self._process.send_line(line)
        answer: dict[str, Any] = json.loads(self._process.line(_ANSWER_S))
        return answer

    def report(self, last: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was seen since the mark; `last` is what the newest quotes must be."""
        return self.ask(f"report {json.dumps(last)}")

    def settle(self, last: Mapping[str, Any], seconds: float = _DRAIN_S) -> dict[str, Any]:
        """Wait until every viewer has the newest; return the report, with errors if that took too long."""
        deadline = time.monotonic() + seconds
        while (seen := self.report(last))["errors"] and time.monotonic() < deadline:
            time.sleep(0.5)
        return seen

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the viewers' own process."""
        return cpu_s(self._watched)


@contextmanager
def viewing(
    server: Served,
    count: int,
    subscription: Mapping[str, object] | None,
    *,
    core: int | None = CLIENTS,
    **wish: object,
) -> Iterator[Viewing]:
    """Connect `count` viewers; `subscription` is for our gateway, None for peers (they send to all)."""
    given = {"port": server.port, "count": count, "socketio": server.socketio, "subscription": subscription}
    command = [sys.executable, "-m", "benchmarks.crowd", json.dumps({**given, **wish})]
    with on_core(core, command) as process:
        yield Viewing(process)
