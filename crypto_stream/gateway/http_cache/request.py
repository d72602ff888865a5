"""Which requests are certainly simple: read from the bytes of a head, without any I/O.

It is no HTTP parser. Whatever two parsers could read in two ways, or the application looks at elsewhere, is
`None` here, and the server's own parser decides.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

END = b"\r\n\r\n"
# Bytes of a head; browsers send less than 1,000.
MOST = 4096
_MOST_FIELDS = 50

_LINE = re.compile(r"(GET|HEAD) (/[A-Za-z0-9._/-]*) HTTP/1\.1")
# Visible ASCII, spaces only inside, one perhaps before: no folding, no control character, no empty value.
_FIELD = re.compile(r"([A-Za-z0-9-]+): ?([!-~](?:[ -~]*[!-~])?)")
_LABEL = "[A-Za-z0-9-]{1,63}"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL}){{0,9}}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?")
_ACCEPT = re.compile(r"[A-Za-z0-9/+*.;=, -]+")
_TAG = re.compile(r'(?:W/)?"([!#-~]+)"')

# What clients and proxies send and the application never looks at, besides those that are read below.
_IGNORED = {
    *("accept-charset", "accept-language", "cache-control", "cdn-loop", "cookie", "dnt", "forwarded", "from"),
    *("pragma", "priority", "referer", "save-data", "upgrade-insecure-requests", "user-agent", "via"),
    *("x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip"),
    *("x-request-id",),
}
_READ = {"host", "accept", "accept-encoding", "connection", "if-none-match"}


class CacheableRequest(NamedTuple):
    """All that the answer to a simple request can depend on, besides the state of the world."""

    path: str
    head_only: bool
    prefers_json: bool
    zipped: bool
    known_tag: str | None
    keep_alive: bool


def cacheable(head: bytes) -> CacheableRequest | None:
    """Read one whole head, its empty line included; None where it is not certainly simple."""
    if len(head) > MOST or not head.isascii() or not head.endswith(END):
        return None
    first, *lines = head[: -len(END)].decode("ascii").split("\r\n")
    asked = _LINE.fullmatch(first)
    fields = simple_fields(lines)
    if asked is None or fields is None or not all(map(_known, fields)):
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
        asked[2],
        asked[1] == "HEAD",
        kinds["application/json"] > kinds["text/html"],
        parse_accept_header(encoding)["gzip"] > 0,
        tag[1] if tag else None,
        connection == "keep-alive",
    )


def _known(name: str) -> bool:
    return name in _READ or name in _IGNORED or name.startswith("sec-")


def simple_fields(lines: list[str]) -> dict[str, str] | None:
    """Read header fields by lower-case name, a good Host among them; None where one is odd or there twice."""
    if len(lines) > _MOST_FIELDS:
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
