"""Reads one request from the bytes of a connection: complete and rewritten, or refused. Pure.

Only this package parses untrusted bytes: the server's own parser gets a request once it is complete, with a
single way of stating the body's length. Memory is bounded, and so is the time spent on each byte.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from crypto_stream.gateway.http.chunks import Chunks
from crypto_stream.gateway.http.head import (
    MAX_HEAD,
    MAX_LINE,
    BadRequestError,
    Head,
    bad_request,
    read_head,
    too_large,
)

_END = b"\r\n\r\n"
# Bytes of blank lines before a request: some old clients send a line end after a body.
_MAX_BLANK = 8
# All bytes but control characters; tab, CR and LF are checked elsewhere.
_TEXT = bytes(byte for byte in range(256) if byte in b"\t\r\n" or (byte >= 0x20 and byte != 0x7F))


class HttpRequest(NamedTuple):
    """One request for the server's parser, and the bytes received after it.

    If it is not `complete`, its body is larger than allowed and left out: the application refuses the request
    because of the stated length, and the connection must be closed.
    """

    data: bytes
    rest: bytes
    complete: bool = True


class RequestReader:
    """Reads one request, whose body may have `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self.head: Head | None = None
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._scanned = self._blank = 0
        self._chunks: Chunks | None = None

    @property
    def buffered(self) -> int:
        """The number of buffered bytes."""
        return len(self._buffer) + (len(self._chunks.body) if self._chunks else 0)

    @property
    def awaits_continue(self) -> bool:
        """Whether the client waits for 100 Continue before it sends its body."""
        return self.head is not None and self.head.expects_continue and not self.buffered

    def forget(self) -> None:
        """Free the buffers; nothing can be read afterwards."""
        self._buffer = bytearray()
        self._chunks = None

    def feed(self, data: bytes) -> HttpRequest | None:
        """Add received bytes; return the request once it is complete. BadRequestError if it is invalid."""
        self._buffer += data
        if self.head is None:
            self._find_head()
        head = self.head
        if head is None:
            return None
        if head.chunked:
            return self._in_chunks(head)
        if head.length > self._max_bytes:
            return self._without_body(head, head.length)
        if len(self._buffer) < head.length:
            return None
        return self._complete(head, bytes(self._buffer[: head.length]), bytes(self._buffer[head.length :]))

    def _find_head(self) -> None:
        buffer = self._buffer
        while not self._scanned and buffer.startswith(b"\r\n"):
            del buffer[:2]
            self._blank += 2
            if self._blank > _MAX_BLANK:
                raise bad_request("A request begins with: METHOD /path HTTP/1.1")
        end = buffer.find(_END, max(0, self._scanned - len(_END) + 1))
        until = end + len(_END) if end >= 0 else len(buffer)
        # A CR at the end of what was scanned is looked at again: it needs the LF that came since.
        _check_text(bytes(buffer[self._scanned - buffer.endswith(b"\r", 0, self._scanned) : until]))
        if end >= 0:
            if end > MAX_HEAD:
                raise too_large(line=False)
            self.head = read_head(bytes(buffer[:end]))
            del buffer[:until]
            return
        # A single CR at the beginning does not count as scanned: the next byte decides what it is.
        self._scanned = 0 if buffer == b"\r" else len(buffer)
        begun = buffer.rfind(b"\r\n") + 2 if b"\r\n" in buffer else 0
        if len(buffer) - begun > MAX_LINE or len(buffer) > MAX_HEAD:
            raise too_large(line=not begun)

    def _in_chunks(self, head: Head) -> HttpRequest | None:
        if self._chunks is None:
            self._chunks = Chunks(self._max_bytes)
        self._chunks.feed(self._buffer)
        if self._chunks.too_large:
            return self._without_body(head, max(len(self._chunks.body), self._max_bytes + 1))
        if not self._chunks.done:
            return None
        return self._complete(head, bytes(self._chunks.body), bytes(self._buffer))

    def _complete(self, head: Head, body: bytes, rest: bytes) -> HttpRequest:
        if not head.takes_body:
            body = b""
        lengths = [b"Content-Length: %d" % len(body)] if body or (head.takes_body and head.chunked) else []
        return HttpRequest(b"\r\n".join((head.line, *head.fields, *lengths, b"", body)), rest)

    def _without_body(self, head: Head, length: int) -> HttpRequest:
        if not head.takes_body:
            text = "The body is too large for a request of this method."
            raise bad_request(text, "request_entity_too_large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        kept = [one for one in head.fields if not one.lower().startswith(b"connection:")]
        ends = (b"Content-Length: %d" % length, b"Connection: close")
        return HttpRequest(b"\r\n".join((head.line, *kept, *ends, b"", b"")), b"", complete=False)


def is_unfinished(data: bytes) -> bool:
    """Return whether a request may begin with `data`, and the end of its head is missing."""
    if _END in data:
        return False
    try:
        RequestReader(0).feed(data)
    except BadRequestError:
        return False
    return True


def _check_text(part: bytes) -> None:
    """Refuse control characters, and a CR or LF alone, in a part of a head; its last CR may lack an LF.

    Counting takes a twentieth of the time of one regular expression for all three.
    """
    if part.translate(None, _TEXT):
        raise bad_request("A request's head may not hold control characters.")
    line_ends = part.count(b"\r\n")
    if part.count(b"\n") != line_ends or part.count(b"\r") - part.endswith(b"\r") != line_ends:
        raise bad_request("A request's head may not hold CR or LF alone: lines end in CR LF.")
