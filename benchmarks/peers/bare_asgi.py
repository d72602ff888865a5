"""The smallest ASGI application: it responds with the bytes of the file named by ANSWER.

Run by uvicorn and by granian as `benchmarks.peers.bare_asgi:app`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_ANSWER = json.loads(Path(os.environ["ANSWER"]).read_text("utf-8"))
_BODY = _ANSWER["body"].encode()
_HEADERS = [(name.lower().encode(), value.encode()) for name, value in _ANSWER["headers"].items()]
_HEADERS.append((b"content-length", str(len(_BODY)).encode()))
_START = {"type": "http.response.start", "status": 200, "headers": _HEADERS}
_END = {"type": "http.response.body", "body": _BODY}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Respond."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])  # no lifespan events, which servers accept
    await send(_START)
    await send(_END)
