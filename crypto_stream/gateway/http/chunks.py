"""Incremental parser of a chunked body, within limits. Pure."""

from __future__ import annotations

import re

from crypto_stream.gateway.http.head import bad_request

# Bytes of a chunk's size line or of one trailer, and of all trailers.
_MAX_LINE = 256
_MAX_TRAILERS = 4 * 1024
# Bytes received per byte that a body may have: chunks of one byte take six.
_OVERHEAD = 8
# A size has at most 8 digits; extensions are ignored, but must be printable.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t -~]*)?")
_TRAILER = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+:[\t -~\x80-\xff]*")


class Chunks:
    """Collect the body from what `feed` is given; `done` at its end, `too_large` beyond `max_bytes` bytes."""

    def __init__(self, max_bytes: int) -> None:
        self.body = bytearray()
        self.done = self.too_large = False
        self._max_bytes = max_bytes
        self._remaining = 0  # of the present chunk, its line end included
        self._last = False
        self._trailers = 0
        self._wire = 0

    def feed(self, buffer: bytearray) -> None:
        """Remove what is complete from the front of `buffer`; BadRequestError if it is malformed."""
        at = 0
        while not self.done and not self.too_large:
            taken = self._data(buffer, at) if self._remaining else self._line(buffer, at)
            if not taken:
                break
            at += taken
            self._wire += taken
            self.too_large |= self._wire > self._max_bytes * _OVERHEAD
        del buffer[:at]

    def _data(self, buffer: bytearray, at: int) -> int:
        """Consume data of the current chunk; return how many bytes."""
        size = min(self._remaining - 2, len(buffer) - at)
        if size > 0:
            self.body += buffer[at : at + size]
            self._remaining -= size
            return size
        if self._remaining > 2 or len(buffer) - at < 2:
            return 0
        if buffer[at : at + 2] != b"\r\n":
            raise bad_request("A chunk must have its stated size and end in CR LF.")
        self._remaining = 0
        return 2

    def _line(self, buffer: bytearray, at: int) -> int:
        """Consume a chunk's size line or a trailer; return how many bytes."""
        end = buffer.find(b"\n", at, at + _MAX_LINE)
        if end < 0:
            if len(buffer) - at >= _MAX_LINE:
                raise bad_request(
                    f"The first line of a chunk, or a trailer, may have at most {_MAX_LINE} bytes."
                )
            return 0
        if buffer[end - 1 : end] != b"\r" or end == at:
            raise bad_request("The lines of a body in chunks must end in CR LF.")
        line = bytes(buffer[at : end - 1])
        if self._last:
            self._trailer(line)
        else:
            self._begin(line)
        return end + 1 - at

    def _begin(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise bad_request("A chunk begins with its size in hexadecimal digits.")
        size = int(found[1], 16)
        self._last = not size
        self._remaining = size + 2 if size else 0
        self.too_large = len(self.body) + size > self._max_bytes

    def _trailer(self, line: bytes) -> None:
        if not line:
            self.done = True
            return
        self._trailers += len(line)
        if not _TRAILER.fullmatch(line) or self._trailers > _MAX_TRAILERS:
            raise bad_request(f"Trailers must be header lines, {_MAX_TRAILERS} bytes in total.")
