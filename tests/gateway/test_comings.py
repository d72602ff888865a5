"""Who comes and goes, in the log."""

from __future__ import annotations

import pytest

from crypto_stream.gateway.comings import Comings


def test_of_a_crowd_a_line_tells_how_many(caplog: pytest.LogCaptureFixture) -> None:
    """The first have a line each, of all others there is one; then again."""
    caplog.set_level("INFO")
    comings = Comings()

    for number in range(100):
        comings.came(f"v{number}", "127.0.0.1")
        comings.left(f"v{number}", "client disconnect")
    comings.tell()
    comings.tell()
    comings.came("last", "127.0.0.1")
    told = [record.getMessage() for record in caplog.records]
    crowd = vars(caplog.records[-2])

    assert told == [
        *["client connected", "client left"] * 10,
        "more clients came or left",
        "client connected",
    ]
    assert (crowd["connected"], crowd["left"]) == (90, 90)
