"""Stock Flask-SocketIO under a green server, as its documentation shows it.

python -m benchmarks.peers.stock PORT FEEDER eventlet|gevent
"""

from __future__ import annotations

import sys
import warnings

PORT, FEEDER, MODE = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if MODE == "eventlet":
    warnings.simplefilter("ignore")  # eventlet warns at every import that it is in maintenance mode
    import eventlet

    eventlet.monkey_patch()
else:
    from gevent import monkey

    monkey.patch_all()

import json  # noqa: E402 - only now may anything else be imported
import logging  # noqa: E402
import socket  # noqa: E402
from typing import Any  # noqa: E402

from flask import Flask  # noqa: E402
from flask_socketio import SocketIO  # noqa: E402

app = Flask("stock")
socketio = SocketIO(app, async_mode=MODE)


def follow() -> None:
    """Emit each line of the feeder to all clients."""
    with socket.create_connection(("127.0.0.1", FEEDER)) as feed:
        for line in feed.makefile("rb"):
            socketio.emit("quotes", json.loads(line))


logging.getLogger("werkzeug").disabled = True
socketio.start_background_task(follow)
# Without max_size the 1025th connection would hang.
options: dict[str, Any] = {"max_size": 20_000} if MODE == "eventlet" else {}
socketio.run(app, "127.0.0.1", PORT, log_output=False, **options)
