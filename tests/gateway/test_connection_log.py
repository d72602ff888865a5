"""Log lines for viewers that connect and leave."""

from __future__ import annotations

import pytest

from crypto_stream.gateway.connection_log import ConnectionLog


def test_many_viewers_are_logged_as_a_count(caplog: pytest.LogCaptureFixture) -> None:
    """The first ones get a line each, all others one together; then it starts again."""
    caplog.set_level("INFO")
    connection_log = ConnectionLog()

    for number in range(100):
        connection_log.connected(f"v{number}", "127.0.0.1")
        connection_log.left(f"v{number}", "client disconnect")
    connection_log.flush()
    connection_log.flush()
    connection_log.connected("last", "127.0.0.1")
    told = [record.getMessage() for record in caplog.records]
    counts = vars(caplog.records[-2])

    assert told == [
        *["client connected", "client left"] * 10,
        "more clients connected or left",
        "client connected",
    ]
    assert (counts["connected"], counts["left"]) == (90, 90)
