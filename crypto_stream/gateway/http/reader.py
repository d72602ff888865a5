"""One request out of the bytes of a connection: whole, written anew, or refused. Pure.

Nothing else reads what strangers send: the server's own parser gets a request when all of it is here, with
one way of telling a body's length. What is kept meanwhile is bounded, and so is the time spent on each byte.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import NamedTuple

from crypto_stream.gateway.http.chunks import Chunks
from crypto_stream.gateway.http.head import MOST_HEAD, MOST_LINE, Head, bad, read_head, too_large

_END = b"\r\n\r\n"
# Line ends before a request that some old clients send behind a body.
_MOST_BLANK = 8
_ODD = re.compile(rb"(?P<control>[\x00-\x08\x0b\x0c\x0e-\x1f\x7f])|(?<!\r)\n|\r(?!\n|\Z)")


class Request(NamedTuple):
    """One request for the server's parser, and the bytes behind it.

    A request that is not `whole` has a body beyond the bound, which is left out: the application refuses it
    by its length, and the connection must be closed.
    """

    data: bytes
    rest: bytes
    whole: bool = True


class RequestReader:
    """Read one request; its body may have `most` bytes."""

    def __init__(self, most: int) -> None:
        self.head: Head | None = None
        self._most = most
        self._buffer = bytearray()
        self._scanned = self._blank = 0
        self._chunks: Chunks | None = None

    @property
    def held(self) -> int:
        """Count the bytes that are kept."""
        return len(self._buffer) + (len(self._chunks.body) if self._chunks else 0)

    @property
    def awaited(self) -> bool:
        """Say whether the client waits for a word (100 Continue) before it sends its body."""
        return self.head is not None and self.head.expects and not self.held

    def forget(self) -> None:
        """Free what is kept; no request can follow."""
        self._buffer = bytearray()
        self._chunks = None

    def feed(self, data: bytes) -> Request | None:
        """Take what came; return the request when it is whole, raise BadRequestError if it never can be."""
        self._buffer += data
        if self.head is None:
            self._find_head()
        head = self.head
        if head is None:
            return None
        if head.chunked:
            return self._in_chunks(head)
        if head.length > self._most:
            return self._cut(head, head.length)
        if len(self._buffer) < head.length:
            return None
        return self._made(head, bytes(self._buffer[: head.length]), bytes(self._buffer[head.length :]))

    def _find_head(self) -> None:
        buffer = self._buffer
        while not self._scanned and buffer.startswith(b"\r\n"):
            del buffer[:2]
            self._blank += 2
            if self._blank > _MOST_BLANK:
                raise bad("A request begins with: METHOD /path HTTP/1.1")
        end = buffer.find(_END, max(0, self._scanned - len(_END) + 1))
        until = end + len(_END) if end >= 0 else len(buffer)
        odd = _ODD.search(buffer, max(0, self._scanned - 1), until)
        if odd is not None:
            what = "control characters" if odd["control"] else "CR or LF alone: lines end in CR LF"
            raise bad(f"A request's head may not hold {what}.")
        if end >= 0:
            if end > MOST_HEAD:
                raise too_large(line=False)
            self.head = read_head(bytes(buffer[:end]))
            del buffer[:until]
            return
        # A head that begins with a line end alone is not counted as scanned: the next byte decides.
        self._scanned = 0 if buffer == b"\r" else len(buffer)
        begun = buffer.rfind(b"\r\n") + 2 if b"\r\n" in buffer else 0
        if len(buffer) - begun > MOST_LINE or len(buffer) > MOST_HEAD:
            raise too_large(line=not begun)

    def _in_chunks(self, head: Head) -> Request | None:
        if self._chunks is None:
            self._chunks = Chunks(self._most)
        self._chunks.feed(self._buffer)
        if self._chunks.overfull:
            return self._cut(head, max(len(self._chunks.body), self._most + 1))
        if not self._chunks.done:
            return None
        return self._made(head, bytes(self._chunks.body), bytes(self._buffer))

    def _made(self, head: Head, body: bytes, rest: bytes) -> Request:
        if not head.wanted:
            body = b""
        lengths = [b"Content-Length: %d" % len(body)] if body or (head.wanted and head.chunked) else []
        return Request(b"\r\n".join((head.line, *head.fields, *lengths, b"", body)), rest)

    def _cut(self, head: Head, length: int) -> Request:
        if not head.wanted:
            text = "A request that needs no body may not have such a large one."
            raise bad(text, "request_entity_too_large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        kept = [one for one in head.fields if not one.lower().startswith(b"connection:")]
        ends = (b"Content-Length: %d" % length, b"Connection: close")
        return Request(b"\r\n".join((head.line, *kept, *ends, b"", b"")), b"", whole=False)
