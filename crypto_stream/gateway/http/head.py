"""The head of a request, read strictly: what two parsers could read in two ways is refused. Pure.

The rules are those of RFC 9112 for servers, and where it leaves a choice nginx's stricter one.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import NamedTuple

from crypto_stream.errors import CryptoStreamError

# Bytes of one line, and of a whole head; browsers send less than 1,000.
MOST_LINE = 8 * 1024
MOST_HEAD = 32 * 1024
# The standard library's own parser, which both servers use, takes no more.
_MOST_FIELDS = 100

_LINE = re.compile(rb"([A-Z][A-Z_-]{0,31}) ([!-~\x80-\xff]+) HTTP/([0-9])\.([0-9])")
_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)(.*)")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_FRAMING = {b"content-length", b"transfer-encoding"}
_ONCE = _FRAMING | {b"host"}
_BODILESS = {b"GET", b"HEAD", b"OPTIONS", b"TRACE"}


class BadRequestError(CryptoStreamError):
    """A request that is refused before anything reads it: its HTTP status, a stable code, a sentence."""

    def __init__(self, status: HTTPStatus, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


class Head(NamedTuple):
    """A head that can be read in one way only; `fields` are written anew, without those about the body.

    A body that is not `wanted` may come, in bounds, and is dropped.
    """

    line: bytes
    fields: list[bytes]
    length: int
    chunked: bool
    expects: bool
    wanted: bool


def bad(
    detail: str, code: str = "bad_request", status: HTTPStatus = HTTPStatus.BAD_REQUEST
) -> BadRequestError:
    """Make a refusal, 400 unless said."""
    return BadRequestError(status, code, detail)


def too_large(*, line: bool) -> BadRequestError:
    """Make the refusal of a request line, or else of header fields, beyond the bounds."""
    if line:
        text = f"The request line may have {MOST_LINE} bytes."
        return bad(text, "uri_too_long", HTTPStatus.REQUEST_URI_TOO_LONG)
    text = f"A header field may have {MOST_LINE} bytes, all together {MOST_HEAD} and {_MOST_FIELDS} fields."
    return bad(text, "header_too_large", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)


def read_head(data: bytes) -> Head:
    """Read a head without its last empty line, all of whose lines end in CR LF; raise BadRequestError."""
    first, *lines = data.split(b"\r\n")
    if len(first) > MOST_LINE:
        raise too_large(line=True)
    if len(lines) > _MOST_FIELDS or any(len(line) > MOST_LINE for line in lines):
        raise too_large(line=False)
    method, target, version, authority = _request_line(first)
    fields = [_field(line) for line in lines]
    given = _given_once(fields)
    host = given.get(b"host")
    if host is None and version != b"HTTP/1.0":
        raise bad("A Host header field is needed.")
    if host is not None and not _HOST.fullmatch(host):
        raise bad("The Host must be a name or address, with a port at most.")
    length, chunked = _body(version, given)
    if authority is not None:
        fields = [(b"Host", authority), *(one for one in fields if one[0].lower() != b"host")]
    return Head(
        b"%s %s %s" % (method, target, version),
        [b"%s: %s" % one for one in fields if one[0].lower() not in {*_FRAMING, b"expect"}],
        length,
        chunked,
        any(name.lower() == b"expect" and value.lower() == b"100-continue" for name, value in fields),
        method not in _BODILESS,
    )


def _request_line(line: bytes) -> tuple[bytes, bytes, bytes, bytes | None]:
    """Give method, path with query, version, and the host of a target in absolute form."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise bad("A request begins with: METHOD /path HTTP/1.1")
    method, target, major, minor = found.groups()
    if major != b"1":
        text = "HTTP/1.1 and HTTP/1.0 are spoken here."
        raise bad(text, "http_version_not_supported", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if method == b"CONNECT":
        raise bad("This is no proxy.", "method_not_allowed", HTTPStatus.METHOD_NOT_ALLOWED)
    authority = None
    if absolute := _ABSOLUTE.fullmatch(target):
        authority, target = absolute.groups()
        if not _HOST.fullmatch(authority):
            raise bad("The host of the request target must be a name or address, with a port at most.")
        target = target if target.startswith(b"/") else b"/" + target
    if not target.startswith(b"/"):
        raise bad("The request target must begin with / or http://.")
    plain = b"".join(b"%%%02X" % byte if byte > 0x7E else bytes((byte,)) for byte in target)
    return method, plain, b"HTTP/1.0" if minor == b"0" else b"HTTP/1.1", authority


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon:
        raise bad("Each header line needs a colon.")
    if not _NAME.fullmatch(name):
        raise bad("A header's name must be a token, with nothing before it or between it and its colon.")
    # A tab is white space to some parsers only: where it would matter it stays, and is refused.
    return name, value.strip(b" " if name.lower() in _ONCE else b" \t")


def _given_once(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    given: dict[bytes, bytes] = {}
    for name, value in fields:
        lower = name.lower()
        if lower in _ONCE:
            if lower in given:
                raise bad(f"{name.decode('latin-1')} may be given once.")
            given[lower] = value
    return given


def _body(version: bytes, given: dict[bytes, bytes]) -> tuple[int, bool]:
    """Return the body's length, or 0 and whether it comes in chunks."""
    coding, length = given.get(b"transfer-encoding"), given.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise bad("Content-Length and Transfer-Encoding may not be given together.")
        if version == b"HTTP/1.0":
            raise bad("HTTP/1.0 knows no Transfer-Encoding.")
        if coding.lower() != b"chunked":
            text = "The only Transfer-Encoding taken is: chunked"
            raise bad(text, "not_implemented", HTTPStatus.NOT_IMPLEMENTED)
    if length is not None and not _LENGTH.fullmatch(length):
        raise bad("Content-Length must be one number of decimal digits.")
    return int(length or b"0"), coding is not None
