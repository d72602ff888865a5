"""A body in chunks, taken apart as it comes, in bounds. Pure."""

from __future__ import annotations

import re

from crypto_stream.gateway.http.head import bad

# Bytes of a chunk's first line and of a trailer, and of all trailers.
_MOST_LINE = 256
_MOST_TRAILERS = 4 * 1024
# Bytes on the wire for each byte that a body may have: chunks of one byte need six.
_OVERHEAD = 8
# A size has at most 8 digits; extensions mean nothing, but must be visible text.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t -~]*)?")
_TRAILER = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+:[\t -~\x80-\xff]*")


class Chunks:
    """Collect the body from what `feed` is given; `done` at its end, `overfull` beyond `most` bytes."""

    def __init__(self, most: int) -> None:
        self.body = bytearray()
        self.done = self.overfull = False
        self._most = most
        self._left = 0  # of the present chunk, its line end included
        self._last = False
        self._trailers = 0
        self._wire = 0

    def feed(self, buffer: bytearray) -> None:
        """Take from the front of `buffer` what is whole; raise BadRequestError where it breaks the rules."""
        at = 0
        while not self.done and not self.overfull:
            taken = self._data(buffer, at) if self._left else self._line(buffer, at)
            if not taken:
                break
            at += taken
            self._wire += taken
            self.overfull |= self._wire > self._most * _OVERHEAD
        del buffer[:at]

    def _data(self, buffer: bytearray, at: int) -> int:
        """Take some of the present chunk; return how many bytes."""
        size = min(self._left - 2, len(buffer) - at)
        if size > 0:
            self.body += buffer[at : at + size]
            self._left -= size
            return size
        if self._left > 2 or len(buffer) - at < 2:
            return 0
        if buffer[at : at + 2] != b"\r\n":
            raise bad("A chunk must be as long as it says, and end in CR LF.")
        self._left = 0
        return 2

    def _line(self, buffer: bytearray, at: int) -> int:
        """Take a chunk's first line or a trailer; return how many bytes."""
        end = buffer.find(b"\n", at, at + _MOST_LINE)
        if end < 0:
            if len(buffer) - at >= _MOST_LINE:
                raise bad(f"A chunk's first line and a trailer may have {_MOST_LINE} bytes.")
            return 0
        if buffer[end - 1 : end] != b"\r" or end == at:
            raise bad("The lines of a body in chunks must end in CR LF.")
        line = bytes(buffer[at : end - 1])
        if self._last:
            self._trailer(line)
        else:
            self._begin(line)
        return end + 1 - at

    def _begin(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise bad("A chunk begins with its size in hexadecimal digits.")
        size = int(found[1], 16)
        self._last = not size
        self._left = size + 2 if size else 0
        self.overfull = len(self.body) + size > self._most

    def _trailer(self, line: bytes) -> None:
        if not line:
            self.done = True
            return
        self._trailers += len(line)
        if not _TRAILER.fullmatch(line) or self._trailers > _MOST_TRAILERS:
            raise bad(f"Trailers must be header lines, {_MOST_TRAILERS} bytes in all.")
