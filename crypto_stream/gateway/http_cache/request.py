"""Recognises cacheable requests from the bytes of their head. Pure.

This is not an HTTP parser: whatever two parsers could interpret differently, and every header field that
matters to the application elsewhere, makes a request not cacheable, so that the server's own parser decides.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

HEAD_END = b"\r\n\r\n"
# Bytes of a head; browsers send less than 1,000.
MAX_HEAD = 4096
_MAX_FIELDS = 50

_LINE = re.compile(r"(GET|HEAD) (/[A-Za-z0-9._/-]*) HTTP/1\.1")
# Printable ASCII, at most one space before it: no folding, no control character, no empty value.
_FIELD = re.compile(r"([A-Za-z0-9-]+): ?([!-~](?:[ -~]*[!-~])?)")
_LABEL = "[A-Za-z0-9-]{1,63}"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL}){{0,9}}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?")
_ACCEPT = re.compile(r"[A-Za-z0-9/+*.;=, -]+")
_TAG = re.compile(r'(?:W/)?"([!#-~]+)"')

# Fields of clients and proxies that the application ignores; those it reads are below.
_IGNORED = {
    "accept-charset",
    "accept-language",
    "cache-control",
    "cdn-loop",
    "cookie",
    "dnt",
    "forwarded",
    "from",
    "pragma",
    "priority",
    "referer",
    "save-data",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
}
_READ = {"host", "accept", "accept-encoding", "connection", "if-none-match"}


class CacheableRequest(NamedTuple):
    """Everything in a request that its response depends on."""

    path: str
    head_only: bool
    prefers_json: bool
    gzip: bool
    known_tag: str | None
    keep_alive: bool


def cacheable(head: bytes) -> CacheableRequest | None:
    """Parse one complete head, its empty line included; None if it is not certainly cacheable."""
    if len(head) > MAX_HEAD or not head.isascii() or not head.endswith(HEAD_END):
        return None
    first, *lines = head[: -len(HEAD_END)].decode("ascii").split("\r\n")
    line = _LINE.fullmatch(first)
    fields = simple_fields(lines)
    if line is None or fields is None or not all(map(_known, fields)):
        return None
    accept, encoding = fields.get("accept"), fields.get("accept-encoding")
    tag = _TAG.fullmatch(fields["if-none-match"]) if "if-none-match" in fields else None
    connection = fields.get("connection", "").lower()
    if connection not in {"", "keep-alive"} or (tag is None and "if-none-match" in fields):
        return None
    if any(one is not None and not _ACCEPT.fullmatch(one) for one in (accept, encoding)):
        return None
    kinds = parse_accept_header(accept, MIMEAccept)
    return CacheableRequest(
        line[2],
        line[1] == "HEAD",
        kinds["application/json"] > kinds["text/html"],
        parse_accept_header(encoding)["gzip"] > 0,
        tag[1] if tag else None,
        connection == "keep-alive",
    )


def _known(name: str) -> bool:
    return name in _READ or name in _IGNORED or name.startswith("sec-")


def simple_fields(lines: list[str]) -> dict[str, str] | None:
    """Parse header fields, by lower-case name; None if one is unusual or repeated, or the Host is invalid."""
    if len(lines) > _MAX_FIELDS:
        return None
    fields: dict[str, str] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            return None
        name = field[1].lower()
        if name in fields:
            return None
        fields[name] = field[2]
    return fields if _HOST.fullmatch(fields.get("host", "")) else None
