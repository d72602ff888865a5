"""The WebSocket handshake, judged from a WSGI environ. Pure."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeaderValue, NegotiationError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import ExtensionParameter

_log = logging.getLogger(__name__)
_log.setLevel(logging.CRITICAL)  # a client's bad handshake is its own affair; it is answered
_ASKED = ("CONNECTION", "UPGRADE", "SEC_WEBSOCKET_KEY", "SEC_WEBSOCKET_VERSION", "SEC_WEBSOCKET_EXTENSIONS")


class Answer(NamedTuple):
    """What to answer; `status` 101 accepts, with `extensions` for the incoming frames."""

    status: int
    phrase: str
    headers: list[tuple[str, str]]
    body: bytes
    extensions: Sequence[Extension]

    def serialized(self) -> bytes:
        """Write the answer as it goes over the wire."""
        lines = [f"HTTP/1.1 {self.status} {self.phrase}", *(f"{name}: {text}" for name, text in self.headers)]
        return "\r\n".join((*lines, "", "")).encode("latin-1") + self.body


class _SharedDeflate(ServerPerMessageDeflateFactory):
    """permessage-deflate of which one compressed frame serves every viewer: full window, no memory."""

    def __init__(self) -> None:
        super().__init__(server_no_context_takeover=True, client_no_context_takeover=True)

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        made, extension = super().process_request_params(params, accepted_extensions)
        if extension.local_max_window_bits < 15:  # it could not read the shared frame
            raise NegotiationError("a smaller window is not served")
        return made, extension


_OFFERED = (_SharedDeflate(),)


def answer(environ: Mapping[str, Any], *, compression: bool) -> Answer:
    """Answer a WebSocket handshake; the WSGI server has read the request, `Origin` is judged elsewhere."""
    headers = Headers()
    for name in _ASKED:
        text = environ.get(f"HTTP_{name}")
        if text is not None:
            try:
                headers[name.replace("_", "-")] = text
            except InvalidHeaderValue:  # a control character
                return refusal(HTTPStatus.BAD_REQUEST, f"a bad {name.replace('_', '-').title()} header")
    protocol = ServerProtocol(extensions=_OFFERED if compression else None, logger=_log)
    request = Request(
        "/",  # whoever called has judged the path
        headers,
        environ.get("REQUEST_METHOD", "GET"),
        environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
    )
    made = protocol.accept(request)
    extensions = protocol.extensions if made.status_code == 101 else []
    return Answer(
        made.status_code, made.reason_phrase, list(made.headers.raw_items()), bytes(made.body), extensions
    )


def refusal(status: HTTPStatus, reason: str) -> Answer:
    """Make an answer that refuses and says why."""
    body = f"{reason}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    return Answer(status.value, status.phrase, headers, body, ())
