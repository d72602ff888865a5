"""Which running gateway a command means."""

from __future__ import annotations

import click

from crypto_stream.settings import load

PROGRAM = "python -m crypto_stream"

url_option = click.option("--url", help="Address of the gateway. [host and port of the settings]")


def address(url: str | None) -> str:
    """Return `url`, by default the address that the settings of this folder describe."""
    if url:
        return url
    settings = load({})
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    return f"http://{host}:{settings.port}"
