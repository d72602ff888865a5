"""Strict parser of a request's head: anything that two parsers could interpret differently is refused. Pure.

It follows the rules of RFC 9112 for servers; where the RFC leaves a choice, it is as strict as nginx.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import NamedTuple

from crypto_stream.errors import CryptoStreamError

# Bytes of one line, and of a whole head; browsers send less than 1,000.
MAX_LINE = 8 * 1024
MAX_HEAD = 32 * 1024
# The limit of the standard library's parser, which both servers use.
_MAX_FIELDS = 100

_LINE = re.compile(rb"([A-Z][A-Z_-]{0,31}) ([!-~\x80-\xff]+) HTTP/([0-9])\.([0-9])")
_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)(.*)")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_FRAMING = {b"content-length", b"transfer-encoding"}
_ONCE = _FRAMING | {b"host"}
_BODILESS = {b"GET", b"HEAD", b"OPTIONS", b"TRACE"}


class BadRequestError(CryptoStreamError):
    """A request that is refused before the server sees it, with an HTTP status, a stable code, a sentence."""

    def __init__(self, status: HTTPStatus, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


class Head(NamedTuple):
    """An unambiguous head; `fields` are rewritten, without those about the body.

    If the method does not take a body (`takes_body`), one may still come, within limits, and is discarded.
    """

    line: bytes
    fields: list[bytes]
    length: int
    chunked: bool
    expects_continue: bool
    takes_body: bool


def bad_request(
    detail: str, code: str = "bad_request", status: HTTPStatus = HTTPStatus.BAD_REQUEST
) -> BadRequestError:
    """Make a refusal, by default with status 400."""
    return BadRequestError(status, code, detail)


def too_large(*, line: bool) -> BadRequestError:
    """Make the refusal of a request line, or else of header fields, beyond the limits."""
    if line:
        text = f"The request line may have at most {MAX_LINE} bytes."
        return bad_request(text, "uri_too_long", HTTPStatus.REQUEST_URI_TOO_LONG)
    text = f"A header field may have at most {MAX_LINE} bytes, the head {MAX_HEAD} and {_MAX_FIELDS} fields."
    return bad_request(text, "header_too_large", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)


def read_head(data: bytes) -> Head:
    """Parse a head, without its final empty line, whose lines all end in CR LF; raise BadRequestError."""
    first, *lines = data.split(b"\r\n")
    if len(first) > MAX_LINE:
        raise too_large(line=True)
    if len(lines) > _MAX_FIELDS or any(len(line) > MAX_LINE for line in lines):
        raise too_large(line=False)
    method, target, version, authority = _request_line(first)
    fields = [_field(line) for line in lines]
    given = _given_once(fields)
    host = given.get(b"host")
    if host is None and version != b"HTTP/1.0":
        raise bad_request("A Host header field is required.")
    if host is not None and not _HOST.fullmatch(host):
        raise bad_request("The Host must be a name or address, optionally followed by a port.")
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
    """Return the method, path with query, version, and the host if the target is in absolute form."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise bad_request("A request begins with: METHOD /path HTTP/1.1")
    method, target, major, minor = found.groups()
    if major != b"1":
        text = "Only versions 1.0 and 1.1 of HTTP are supported."
        raise bad_request(text, "http_version_not_supported", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if method == b"CONNECT":
        raise bad_request("This server is not a proxy.", "method_not_allowed", HTTPStatus.METHOD_NOT_ALLOWED)
    authority = None
    if absolute := _ABSOLUTE.fullmatch(target):
        authority, target = absolute.groups()
        if not _HOST.fullmatch(authority):
            raise bad_request(
                "The host of the request target must be a name or address, optionally followed by a port."
            )
        target = target if target.startswith(b"/") else b"/" + target
    if not target.startswith(b"/"):
        raise bad_request("The request target must begin with / or http://.")
    plain = b"".join(b"%%%02X" % byte if byte > 0x7E else bytes((byte,)) for byte in target)
    return method, plain, b"HTTP/1.0" if minor == b"0" else b"HTTP/1.1", authority


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon:
        raise bad_request("Each header line needs a colon.")
    if not _NAME.fullmatch(name):
        raise bad_request(
            "A header's name must be a token, with nothing before it or between it and its colon."
        )
    # Only some parsers treat a tab as white space: where it would matter it is kept, and refused later.
    return name, value.strip(b" " if name.lower() in _ONCE else b" \t")


def _given_once(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    given: dict[bytes, bytes] = {}
    for name, value in fields:
        lower = name.lower()
        if lower in _ONCE:
            if lower in given:
                raise bad_request(f"{name.decode('latin-1')} must not be repeated.")
            given[lower] = value
    return given


def _body(version: bytes, given: dict[bytes, bytes]) -> tuple[int, bool]:
    """Return the length of the body, and whether it is chunked."""
    coding, length = given.get(b"transfer-encoding"), given.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise bad_request("Content-Length and Transfer-Encoding may not be given together.")
        if version == b"HTTP/1.0":
            raise bad_request("Transfer-Encoding is not allowed in HTTP/1.0.")
        if coding.lower() != b"chunked":
            text = "The only supported Transfer-Encoding is chunked."
            raise bad_request(text, "not_implemented", HTTPStatus.NOT_IMPLEMENTED)
    if length is not None and not _LENGTH.fullmatch(length):
        raise bad_request("Content-Length must be one number of decimal digits.")
    return int(length or b"0"), coding is not None
