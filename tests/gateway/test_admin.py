"""Log lines about refused pins."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from flask import Flask

from crypto_stream.bus.local_gateway import LocalGatewayPort
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web import problems
from crypto_stream.gateway.web.admin import admin


@pytest.mark.parametrize(("token", "status"), [("secret", 401), (None, 401), ("", 401)])
def test_a_refused_pin_is_logged_once_a_minute_with_its_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, token: str | None, status: int
) -> None:
    """Guessing tokens is visible but cannot fill the log; no token is ever logged."""
    app = Flask(__name__)
    problems.install(app)
    app.register_blueprint(admin(Mirror(), LocalGatewayPort(tmp_path / "bus"), token))
    client = app.test_client()

    with caplog.at_level(logging.INFO, "crypto_stream"):
        answers = [
            client.post(
                "/sources/active",
                json={"source": "auto"},
                headers={"Authorization": "Bearer guessed"},
                environ_base={"REMOTE_ADDR": address},
            )
            for address in ("10.0.0.1", "10.0.0.1", "10.0.0.2")
        ]

    assert [one.status_code for one in answers] == [status] * 3
    assert [(one.levelname, one.message, vars(one)["address"]) for one in caplog.records] == [
        ("WARNING", "pin refused", "10.0.0.1"),
        ("WARNING", "pin refused", "10.0.0.2"),
    ]
    assert "guessed" not in str([vars(one) for one in caplog.records])
