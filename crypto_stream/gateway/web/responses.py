"""Responses with ETag, 304, gzip and Cache-Control, built once for Flask and for the HTTP cache."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from functools import cached_property
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import msgspec
from flask import Response, request
from werkzeug.http import http_date

JSON = "application/json"
HTML = "text/html; charset=utf-8"
# Live values: may be stored but must be revalidated, which the ETag makes cheap.
LIVE = "no-cache"
NEVER = "no-store"
PAGE = "public, max-age=60"
# Smaller bodies do not shrink enough to be worth compressing.
_GZIP_MIN_BYTES = 500
# Left out of a 304, which has no body.
_BODY_HEADERS = {"Content-Type", "Content-Length", "Content-Encoding"}

_encoder = msgspec.json.Encoder()
_NONE: Mapping[str, str] = MappingProxyType({})


class Prebuilt:
    """A complete response to GET: the body, uncompressed and gzipped, and its own headers.

    Flask and `gateway.http_cache` both send it, so that they cannot differ. The headers common to all
    responses are added by each (`web.headers`).
    """

    def __init__(
        self,
        body: bytes,
        kind: str,
        *,
        status: int = 200,
        cache: str = LIVE,
        headers: Mapping[str, str] = _NONE,
        by_accept: bool = False,
    ) -> None:
        """`by_accept` says that the client's `Accept` header chose this response."""
        self.status = status
        self._body = body
        self._kind = kind
        self._cache = cache
        self._more = headers
        self._vary = "Accept, Accept-Encoding" if by_accept or kind == HTML else "Accept-Encoding"
        self.has_tag = status == 200 and cache != NEVER

    def body(self, zipped: bool) -> bytes:
        """Return the body, gzipped if the client accepts that (`zipped`) and it is worth it."""
        return self._zipped if self._zips(zipped) else self._body

    def tag(self, zipped: bool) -> str:
        """Return the ETag without quotes; the gzipped body has its own."""
        return f"{self._tag}-gzip" if self._zips(zipped) else self._tag

    def headers(self, zipped: bool, date: str) -> list[tuple[str, str]]:
        """List the headers in order."""
        made = [("Content-Type", self._kind), ("Content-Length", str(len(self.body(zipped))))]
        made += [*self._more.items(), ("Cache-Control", self._cache), ("Vary", self._vary)]
        if self._zips(zipped):
            made.append(("Content-Encoding", "gzip"))
        if self.has_tag:
            made.append(("ETag", f'"{self.tag(zipped)}"'))
        return [*made, ("Date", date)]

    def answer(
        self, zipped: bool, known_tag: str | None, date: str
    ) -> tuple[str, list[tuple[str, str]], bytes]:
        """Return status, headers and body for a client that already holds the version `known_tag`."""
        headers = self.headers(zipped, date)
        if self.has_tag and known_tag == self.tag(zipped):
            return _line(304), [one for one in headers if one[0] not in _BODY_HEADERS], b""
        return _line(self.status), headers, self.body(zipped)

    def _zips(self, zipped: bool) -> bool:
        return zipped and len(self._body) >= _GZIP_MIN_BYTES

    @cached_property
    def _tag(self) -> str:
        return hashlib.blake2b(self._body, digest_size=12).hexdigest()

    @cached_property
    def _zipped(self) -> bytes:
        return gzip.compress(self._body, 5, mtime=0)


def respond(prebuilt: Prebuilt) -> Response:
    """Respond to the current request: 304 if the client holds this version, gzipped if it accepts that."""
    zipped = request.accept_encodings["gzip"] > 0
    headers = prebuilt.headers(zipped, http_date())
    response = Response(prebuilt.body(zipped), prebuilt.status, headers)
    if prebuilt.has_tag:
        response.make_conditional(request)
    return response


def json_prebuilt(
    value: Any,
    *,
    status: int = 200,
    cache: str = LIVE,
    headers: Mapping[str, str] = _NONE,
    by_accept: bool = False,
) -> Prebuilt:
    """Build a response with `value` as JSON."""
    body = _encoder.encode(value)
    return Prebuilt(body, JSON, status=status, cache=cache, headers=headers, by_accept=by_accept)


def json_response(value: Any, *, cache: str = LIVE) -> Response:
    """Respond with `value` as JSON, built for this request alone."""
    return respond(json_prebuilt(value, cache=cache))


def body_response(
    body: bytes, kind: str, *, status: int = 200, cache: str = LIVE, by_accept: bool = False
) -> Response:
    """Respond with bytes, built for this request alone."""
    return respond(Prebuilt(body, kind, status=status, cache=cache, by_accept=by_accept))


def _line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase.upper()}"
