"""Answers of bytes with ETag, 304, gzip and Cache-Control: built once, given by both roads."""

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
# Live values: may be kept, must be asked for again; the ETag makes that cheap.
LIVE = "no-cache"
NEVER = "no-store"
PAGE = "public, max-age=60"
# Smaller bodies do not shrink enough to be worth it.
_GZIP_FROM = 500
# Headers of a body, which a 304 has not.
_OF_A_BODY = {"Content-Type", "Content-Length", "Content-Encoding"}

_encoder = msgspec.json.Encoder()
_NONE: Mapping[str, str] = MappingProxyType({})


class Prebuilt:
    """An answer to GET, whole: every header but those that each answer carries, and the body in two forms.

    The ordinary road (Flask) and the fast one (`gateway.fast`) both give it, so they cannot differ.
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
        """Keep them; `by_accept` says that the client's `Accept` chose this answer."""
        self.status = status
        self._body = body
        self._kind = kind
        self._cache = cache
        self._more = headers
        self._vary = "Accept, Accept-Encoding" if by_accept or kind == HTML else "Accept-Encoding"
        self.has_tag = status == 200 and cache != NEVER

    def body(self, zipped: bool) -> bytes:
        """Return the body, compressed where that was asked for and is worth it."""
        return self._zipped if self._zips(zipped) else self._body

    def tag(self, zipped: bool) -> str:
        """Return the ETag without quotes; both forms have their own."""
        return f"{self._tag}-gzip" if self._zips(zipped) else self._tag

    def headers(self, zipped: bool, date: str) -> list[tuple[str, str]]:
        """List the headers in their order."""
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
        """Return status, headers and body for a client that has `known_tag` already."""
        headers = self.headers(zipped, date)
        if self.has_tag and known_tag == self.tag(zipped):
            return _line(304), [one for one in headers if one[0] not in _OF_A_BODY], b""
        return _line(self.status), headers, self.body(zipped)

    def _zips(self, zipped: bool) -> bool:
        return zipped and len(self._body) >= _GZIP_FROM

    @cached_property
    def _tag(self) -> str:
        return hashlib.blake2b(self._body, digest_size=12).hexdigest()

    @cached_property
    def _zipped(self) -> bytes:
        return gzip.compress(self._body, 5, mtime=0)


def reply(prebuilt: Prebuilt) -> Response:
    """Give a prebuilt answer to the present request: 304 when it has it, compressed when it accepts that."""
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
    """Build the answer that is `value` as JSON."""
    body = _encoder.encode(value)
    return Prebuilt(body, JSON, status=status, cache=cache, headers=headers, by_accept=by_accept)


def json_answer(value: Any, *, cache: str = LIVE) -> Response:
    """Answer `value` as JSON, built for this request alone."""
    return reply(json_prebuilt(value, cache=cache))


def answer(
    body: bytes, kind: str, *, status: int = 200, cache: str = LIVE, by_accept: bool = False
) -> Response:
    """Answer bytes, built for this request alone."""
    return reply(Prebuilt(body, kind, status=status, cache=cache, by_accept=by_accept))


def _line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase.upper()}"
