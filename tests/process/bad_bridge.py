"""A bridge that misbehaves: `python tests/process/bad_bridge.py HOW`; its environment says where to connect.

It lists BTC/USDT, is asked for it, and then does its worst with prices that nobody may ever see.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

_WRONG = "1.00"  # far from any price


def _line(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, **fields}).encode() + b"\n"


def _quote(instrument: str) -> bytes:
    return _line("quote", instrument=instrument, bid=_WRONG, bid_size="1", ask=_WRONG, ask_size="1")


def _nonsense(server: socket.socket) -> None:
    while True:
        server.sendall(b'{"type":"quote","instrument":"BTC/USDT","bid":1.0}\n{{{{\n\xff\xfe\n[]\n' * 100)


def _floods(server: socket.socket) -> None:
    server.setblocking(True)
    while True:
        server.sendall(_line("heartbeat") * 1_000)


def _stalls(server: socket.socket) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _claims(server: socket.socket) -> None:
    """Send prices of what it was not asked for: another source's pair, a synthetic ticker."""
    while True:
        for instrument in ("ETH/USDT", "ethusdt", "ticker_00", "eurusd"):
            server.sendall(_quote(instrument) + _line("trade", instrument=instrument, price=_WRONG))
        server.recv(65536)


def _half(server: socket.socket) -> None:
    """Die in the middle of a line."""
    server.sendall(_quote("BTC/USDT").rstrip(b"}\n"))
    os.kill(os.getpid(), signal.SIGKILL)


_WAYS: dict[str, Callable[[socket.socket], None]] = {
    "nonsense": _nonsense,
    "floods": _floods,
    "stalls": _stalls,
    "claims": _claims,
    "half": _half,
}


def main() -> None:
    """Connect, be asked for data, misbehave."""
    how = sys.argv[1]
    server = socket.socket(socket.AF_UNIX)
    server.connect(os.environ["BRIDGE_ADDRESS"])
    server.sendall(_line("hello", protocol=1, name=os.environ["BRIDGE_NAME"], venue="Nowhere"))
    entries = [{"id": "BTC/USDT", "base": "BTC", "quote": "USDT"}]
    server.sendall(_line("instruments", instruments=entries))
    heard = b""
    while b'"subscribe"' not in heard:
        heard += server.recv(65536)
    server.sendall(_line("ack", request=1))
    _WAYS[how](server)


if __name__ == "__main__":
    main()
