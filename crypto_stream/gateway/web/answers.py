"""Answers of bytes with ETag, 304, gzip and Cache-Control."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from flask import Response, request

JSON = "application/json"
HTML = "text/html; charset=utf-8"
# Live values: may be kept, must be asked for again; the ETag makes that cheap.
LIVE = "no-cache"
NEVER = "no-store"
PAGE = "public, max-age=60"
# Smaller bodies do not shrink enough to be worth it.
_GZIP_FROM = 500

_encoder = msgspec.json.Encoder()
_NONE: Mapping[str, str] = MappingProxyType({})


def json_answer(
    value: Any, *, status: int = 200, cache: str = LIVE, headers: Mapping[str, str] = _NONE
) -> Response:
    """Answer `value` as JSON."""
    return answer(_encoder.encode(value), JSON, status=status, cache=cache, headers=headers)


def answer(
    body: bytes, kind: str, *, status: int = 200, cache: str = LIVE, headers: Mapping[str, str] = _NONE
) -> Response:
    """Answer bytes: 304 when the client has them, compressed when it accepts that."""
    response = Response(body, status, content_type=kind)
    response.headers.extend(headers)
    response.headers["Cache-Control"] = cache
    response.vary.update(("Accept", "Accept-Encoding") if kind == HTML else ("Accept-Encoding",))
    tag = hashlib.blake2b(body, digest_size=12).hexdigest()
    if len(body) >= _GZIP_FROM and request.accept_encodings["gzip"] > 0:
        response.set_data(gzip.compress(body, 5, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
        tag += "-gzip"
    if status == 200 and cache != NEVER:
        response.set_etag(tag)
        response.make_conditional(request)
    return response
