"""Locust users of a running Crypto Stream (HTTP readers, Socket.IO viewers), and the thresholds.

Started by `python -m loadtests`; Locust needs gevent, so it has its own process. The thresholds are in
Locust's exit code: requests a second, the 95th percentile of requests, and no failure at all.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from typing import Any
from urllib.parse import urlsplit

import websocket
from locust import FastHttpUser, User, constant_throughput, events, task
from locust.env import Environment
from locust.stats import StatsEntry

_PACE = float(os.environ.get("LOADTEST_PACE", "20"))  # requests a second of one reader
_VIEWERS = int(os.environ.get("LOADTEST_VIEWERS", "20"))
_LEAST_RPS = float(os.environ.get("LOADTEST_RPS", "1500"))
_MOST_P95_MS = float(os.environ.get("LOADTEST_P95_MS", "50"))
_SILENCE_S = (
    15.0  # a viewer that receives nothing for this long has failed; the server sends `status` every 5 s
)
_SUBSCRIPTION: dict[str, Any] = {"symbols": ["btcusdt", "ethusdt", "xrpusdt"], "interval_ms": 0}
# Prices over all venues, which each fourth viewer also gets.
_TOPICS = ("best", "index", "depth")
_TOPICS_EVERY = 4
_numbers = itertools.count(1)
# What is not prebuilt: prices over all venues, some of the quotes.
_COMPUTED = itertools.cycle(
    ["/best/btcusdt", "/index/btcusdt", "/depth/btcusdt", "/courses?symbols=btcusdt,ethusdt"]
)


class Reader(FastHttpUser):
    """One reader of all quotes, sometimes of a page, or of prices over all venues."""

    wait_time = constant_throughput(_PACE)

    @task(7)
    def courses(self) -> None:
        """Read all quotes."""
        self.client.get("/courses")

    @task(1)
    def btcusdt(self) -> None:
        """Open this instrument's page."""
        self.client.get("/btcusdt", headers={"Accept": "text/html"})

    @task(1)
    def ethusdt(self) -> None:
        """Open this instrument's page."""
        self.client.get("/ethusdt", headers={"Accept": "text/html"})

    @task(1)
    def xrpusdt(self) -> None:
        """Open this instrument's page."""
        self.client.get("/xrpusdt", headers={"Accept": "text/html"})

    @task(1)
    def markets(self) -> None:
        """Open the page of all markets."""
        self.client.get("/markets", headers={"Accept": "text/html"})

    @task(1)
    def computed(self) -> None:
        """Read what is computed for each request, in turn."""
        self.client.get(next(_COMPUTED))


class Viewer(User):
    """One viewer of every change; each `quotes` counts with the time since its newest was published.

    An `index` counts with its age; `best` and `depth` have no time.
    """

    fixed_count = _VIEWERS

    def on_start(self) -> None:
        """Connect at the first task."""
        self._socket: websocket.WebSocket | None = None
        self._seq = 0
        self._topics = [] if next(_numbers) % _TOPICS_EVERY else list(_TOPICS)

    def on_stop(self) -> None:
        """Leave."""
        if self._socket:
            self._socket.close()

    @task
    def watch(self) -> None:
        """Handle one packet; an error is one failure, and the next task reconnects."""
        try:
            if self._socket is None:
                self._connect()
            else:
                self._take(self._socket.recv())
        except (OSError, ValueError, websocket.WebSocketException) as error:
            self._report("failed", 0.0, 0, error)
            self._socket = None
            time.sleep(1)  # gevent's sleep: the others continue

    def _connect(self) -> None:
        begun = time.perf_counter()
        address = urlsplit(self.host or "").netloc
        self._socket = websocket.create_connection(
            f"ws://{address}/socket.io/?EIO=4&transport=websocket", timeout=_SILENCE_S
        )
        self._seq = 0
        self._report("connect", (time.perf_counter() - begun) * 1000, 0)

    def _take(self, text: str | bytes) -> None:
        now_ms = time.time() * 1000
        packet = text if isinstance(text, str) else text.decode()
        if packet.startswith("42"):
            name, payload = json.loads(packet[2:])
            if name in ("snapshot", "quotes"):
                self._quotes(name, payload, now_ms, len(packet))
            elif name in _TOPICS:
                at_ms = payload.get("time")
                self._report(name, None if at_ms is None else max(0.0, now_ms - at_ms), len(packet))
        elif packet.startswith("40"):
            self._send("420" + json.dumps(["subscribe", {**_SUBSCRIPTION, "topics": self._topics}]))
        elif packet.startswith("0"):
            self._send("40")
        elif packet == "2":
            self._send("3")
        elif not packet.startswith('430[{"ok":true'):
            raise ValueError(f"not understood: {packet[:200]!r}")

    def _quotes(self, name: str, quotes: list[dict[str, Any]], now_ms: float, size: int) -> None:
        newest = max(quotes, key=lambda quote: int(quote["seq"]))
        if newest["seq"] < self._seq:
            raise ValueError(f"seq went back from {self._seq} to {newest['seq']}")
        self._seq = newest["seq"]
        if name == "quotes":
            self._report("quotes", max(0.0, now_ms - newest["published"]), size)

    def _send(self, text: str) -> None:
        assert self._socket
        self._socket.send(text)

    def _report(self, name: str, took_ms: float | None, size: int, error: Exception | None = None) -> None:
        self.environment.events.request.fire(
            request_type="PUSH",
            name=name,
            response_time=took_ms,
            response_length=size,
            exception=error,
            context={},
        )


def shortfalls(environment: Environment) -> list[str]:
    """List the thresholds that do not hold; requests and pushes are checked separately."""
    stats = environment.stats
    requests = StatsEntry(stats, "requests", "GET", use_response_times_cache=False)
    pushes = dict.fromkeys(("quotes", *_TOPICS), 0)
    for (name, kind), entry in stats.entries.items():
        if kind == "GET":
            requests.extend(entry)
        elif name in pushes:
            pushes[name] += entry.num_requests
    p95 = requests.get_response_time_percentile(0.95)
    print(f"{requests.total_rps:.0f} requests a second, p95 {p95} ms, {stats.num_failures} failures")
    checks = [
        (requests.total_rps < _LEAST_RPS, f"fewer than {_LEAST_RPS:g} requests a second"),
        (p95 > _MOST_P95_MS, f"p95 above {_MOST_P95_MS:g} ms"),
        (stats.num_failures > 0, "failures"),
        (len(stats.errors) > 0 and not stats.num_failures, "errors"),
        (_VIEWERS > 0 and not pushes["quotes"], "no quote was pushed"),
        *((_VIEWERS >= _TOPICS_EVERY and not pushes[name], f"no {name} was pushed") for name in _TOPICS),
    ]
    return [what for wrong, what in checks if wrong]


def _judge(environment: Environment, **_: object) -> None:
    """Set the exit code; of several Locust processes, only the first one does."""
    if type(environment.runner).__name__ == "WorkerRunner":
        return
    missed = shortfalls(environment)
    for what in missed:
        print(f"NOT REACHED: {what}")
    environment.process_exit_code = 1 if missed else 0


events.quitting.add_listener(_judge)  # type: ignore[no-untyped-call]
