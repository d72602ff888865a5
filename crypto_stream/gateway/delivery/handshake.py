"""The response to a WebSocket handshake, from a WSGI environ. Pure."""

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
_log.setLevel(logging.CRITICAL)  # a client learns of its bad handshake from the response
_HEADERS = ("CONNECTION", "UPGRADE", "SEC_WEBSOCKET_KEY", "SEC_WEBSOCKET_VERSION", "SEC_WEBSOCKET_EXTENSIONS")


class HandshakeResponse(NamedTuple):
    """The response; with `status` 101 the WebSocket is open and uses `extensions`."""

    status: int
    phrase: str
    headers: list[tuple[str, str]]
    body: bytes
    extensions: Sequence[Extension]

    def serialized(self) -> bytes:
        """Return the response as bytes."""
        lines = [f"HTTP/1.1 {self.status} {self.phrase}", *(f"{name}: {text}" for name, text in self.headers)]
        return "\r\n".join((*lines, "", "")).encode("latin-1") + self.body


class _SharedDeflate(ServerPerMessageDeflateFactory):
    """permessage-deflate with a full window and no context takeover: all viewers can share a frame."""

    def __init__(self) -> None:
        super().__init__(server_no_context_takeover=True, client_no_context_takeover=True)

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        made, extension = super().process_request_params(params, accepted_extensions)
        if extension.local_max_window_bits < 15:  # the client could not decompress the shared frame
            raise NegotiationError("a smaller window is not served")
        return made, extension


_OFFERED = (_SharedDeflate(),)


def respond(environ: Mapping[str, Any], *, compression: bool) -> HandshakeResponse:
    """Respond to a WebSocket handshake; callers check the path and the `Origin`."""
    headers = Headers()
    for name in _HEADERS:
        text = environ.get(f"HTTP_{name}")
        if text is not None:
            try:
                headers[name.replace("_", "-")] = text
            except InvalidHeaderValue:  # a control character
                return refusal(HTTPStatus.BAD_REQUEST, f"a bad {name.replace('_', '-').title()} header")
    protocol = ServerProtocol(extensions=_OFFERED if compression else None, logger=_log)
    request = Request(
        "/",
        headers,
        environ.get("REQUEST_METHOD", "GET"),
        environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
    )
    made = protocol.accept(request)
    extensions = protocol.extensions if made.status_code == 101 else []
    return HandshakeResponse(
        made.status_code, made.reason_phrase, list(made.headers.raw_items()), bytes(made.body), extensions
    )


def refusal(status: HTTPStatus, reason: str) -> HandshakeResponse:
    """Make a response that refuses the handshake, with the reason."""
    body = f"{reason}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    return HandshakeResponse(status.value, status.phrase, headers, body, ())
