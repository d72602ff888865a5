"""Load on the HTTP side of a running Crypto Stream: `locust -f loadtests/locustfile.py --headless …`.

Against loopback only. Locust brings gevent into its own process; ours are started apart from it.
"""

from __future__ import annotations

from locust import FastHttpUser, constant_throughput, task

_PAGES = ("/btcusdt", "/ethusdt", "/xrpusdt")


class Reader(FastHttpUser):
    """One reader: mostly all quotes, sometimes each instrument as page or JSON; ten tasks a second."""

    host = "http://127.0.0.1:8000"
    wait_time = constant_throughput(10)

    @task(7)
    def courses(self) -> None:
        """Read all quotes; where nothing is fresh, 503 with the last known ones is the right answer."""
        with self.client.get("/courses", catch_response=True) as answer:
            if answer.status_code == 503 and answer.text.startswith("["):
                answer.success()

    @task(2)
    def pages(self) -> None:
        """Open each instrument's page."""
        for path in _PAGES:
            self.client.get(path, headers={"Accept": "text/html"})

    @task(1)
    def quotes(self) -> None:
        """Read each instrument's quote at the address of its page."""
        for path in _PAGES:
            self.client.get(path, headers={"Accept": "application/json"}, name=f"{path} (JSON)")
