"""Plain Flask on eventlet, one view that returns bytes.

python -m benchmarks.peers.plain_flask PORT ANSWER
"""

from __future__ import annotations

import sys
import warnings

warnings.simplefilter("ignore")  # eventlet warns at every import that it is in maintenance mode
import eventlet  # noqa: E402

eventlet.monkey_patch()

import json  # noqa: E402 - only now may anything else be imported
from pathlib import Path  # noqa: E402

import eventlet.wsgi  # noqa: E402
from flask import Flask, Response  # noqa: E402

ANSWER = json.loads(Path(sys.argv[2]).read_text("utf-8"))
BODY, HEADERS = ANSWER["body"].encode(), ANSWER["headers"]
app = Flask("plain")


@app.get("/courses")
def courses() -> Response:
    """Return the bytes."""
    return Response(BODY, headers=HEADERS)


eventlet.wsgi.server(eventlet.listen(("127.0.0.1", int(sys.argv[1]))), app, log_output=False)
