"""What `Client.watch` says while it is not connected, against real sockets."""

from __future__ import annotations

from crypto_stream.client import Client
from tests.ports import free_port


def test_what_is_said_is_why_this_connection_failed() -> None:
    """Not what the caller was handling already when it began to watch."""
    client = Client(f"http://127.0.0.1:{free_port()}")
    try:
        raise OSError("the caller's disk is full")
    except OSError:
        view = next(client.watch())

    assert not view.connected
    assert client.trouble is not None
    assert "refused" in client.trouble
