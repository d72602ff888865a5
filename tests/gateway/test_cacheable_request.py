"""Which heads are certainly cacheable; all others must be left to the server's own parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.gateway.http_cache.request import MAX_HEAD, CacheableRequest, cacheable

SIMPLE = b"GET /courses HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n"
CHROMIUM = (
    b"GET /btcusdt HTTP/1.1\r\nHost: localhost:8000\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\n"
    b'sec-ch-ua: "Chromium";v="142", "Not_A Brand";v="99"\r\nsec-ch-ua-mobile: ?0\r\n'
    b"Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0.0.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n"
    b"Sec-Fetch-Site: none\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n"
    b'If-None-Match: "0123abc-gzip"\r\n\r\n'
)


def with_fields(*fields: bytes) -> bytes:
    """Add header fields to the simple head."""
    return SIMPLE[:-2] + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def test_a_browsers_request_is_cacheable() -> None:
    """Everything that its response depends on is parsed."""
    read = cacheable(CHROMIUM)

    assert read == CacheableRequest("/btcusdt", False, False, True, "0123abc-gzip", True)


@pytest.mark.parametrize(
    ("field", "want"),
    [
        (b"Accept: application/json", {"prefers_json": True}),
        (b"Accept: */*", {}),
        (b"Accept: text/html;q=0.1, application/json", {"prefers_json": True}),
        (b"Accept-Encoding: gzip", {"gzip": True}),
        (b"Accept-Encoding: gzip;q=0", {}),
        (b"Accept-Encoding: *", {"gzip": True}),
        (b"Accept-Encoding:br", {}),
        (b'If-None-Match: W/"abc"', {"known_tag": "abc"}),
        (b"CONNECTION: Keep-Alive", {"keep_alive": True}),
        (b"Cookie: a=b; c=d", {}),
        (b"Sec-Fetch-Mode: navigate", {}),
        (b"X-Forwarded-For: 192.0.2.1", {}),
    ],
)
def test_fields_are_parsed_as_flask_does(field: bytes, want: dict[str, object]) -> None:
    """One value each, parsed by the same library."""
    read = cacheable(with_fields(field))

    assert read == CacheableRequest("/courses", False, False, False, None, False)._replace(**want)  # type: ignore[arg-type]


NOT_SIMPLE = {
    "nothing": b"",
    "cut": SIMPLE[:-1],
    "cut in a line": SIMPLE[:30],
    "something behind it": SIMPLE + b"x",
    "another one behind it": SIMPLE + SIMPLE,
    "empty line before": b"\r\n" + SIMPLE,
    "POST": SIMPLE.replace(b"GET", b"POST"),
    "lower-case method": SIMPLE.replace(b"GET", b"get"),
    "HTTP/1.0": SIMPLE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/1.10": SIMPLE.replace(b"HTTP/1.1", b"HTTP/1.10"),
    "HTTP/2": SIMPLE.replace(b"HTTP/1.1", b"HTTP/2.0"),
    "no version": SIMPLE.replace(b" HTTP/1.1", b""),
    "two spaces": SIMPLE.replace(b"GET ", b"GET  "),
    "tab": SIMPLE.replace(b"GET ", b"GET\t"),
    "space behind": SIMPLE.replace(b"HTTP/1.1", b"HTTP/1.1 "),
    "query": SIMPLE.replace(b"/courses", b"/courses?a=1"),
    "fragment": SIMPLE.replace(b"/courses", b"/courses#a"),
    "escape": SIMPLE.replace(b"/courses", b"/%63ourses"),
    "absolute form": SIMPLE.replace(b"/courses", b"http://127.0.0.1:8000/courses"),
    "no Host": b"GET /courses HTTP/1.1\r\n\r\n",
    "two Hosts": with_fields(b"Host: 127.0.0.1:8000"),
    "empty Host": SIMPLE.replace(b"127.0.0.1:8000", b""),
    "Host with a path": SIMPLE.replace(b"127.0.0.1:8000", b"a/b"),
    "Host with a user": SIMPLE.replace(b"127.0.0.1:8000", b"a@b"),
    "Host with an empty label": SIMPLE.replace(b"127.0.0.1:8000", b"a..b"),
    "Host with a long label": SIMPLE.replace(b"127.0.0.1:8000", b"a" * 64),
    "bare LF": SIMPLE.replace(b"\r\n", b"\n"),
    "one bare LF": SIMPLE.replace(b"1.1\r\n", b"1.1\n"),
    "bare CR": SIMPLE.replace(b"1.1\r\n", b"1.1\r\n\r"),
    "NUL": with_fields(b"User-Agent: a\0b"),
    "vertical tab": with_fields(b"User-Agent: a\x0bb"),
    "tab in a value": with_fields(b"User-Agent: a\tb"),
    "not ASCII": with_fields(b"User-Agent: \xff"),
    "folded": with_fields(b"User-Agent: a", b" b"),
    "folded first": SIMPLE.replace(b"Host", b" Host"),
    "space before the colon": SIMPLE.replace(b"Host:", b"Host :"),
    "no colon": with_fields(b"User-Agent"),
    "no name": with_fields(b": a"),
    "no value": with_fields(b"User-Agent:"),
    "underscore": with_fields(b"X_Forwarded_For: a"),
    "Content-Length": with_fields(b"Content-Length: 0"),
    "Content-Length with a body": with_fields(b"Content-Length: 5"),
    "Transfer-Encoding": with_fields(b"Transfer-Encoding: chunked"),
    "Transfer-Encoding identity": with_fields(b"Transfer-Encoding: identity"),
    "Expect": with_fields(b"Expect: 100-continue"),
    "Upgrade": with_fields(b"Upgrade: websocket"),
    "Connection upgrade": with_fields(b"Connection: upgrade"),
    "Connection close": with_fields(b"Connection: close"),
    "Connection list": with_fields(b"Connection: keep-alive, host"),
    "two Connections": with_fields(b"Connection: keep-alive", b"Connection: keep-alive"),
    "Origin": with_fields(b"Origin: http://evil.example"),
    "Range": with_fields(b"Range: bytes=0-1"),
    "If-Match": with_fields(b'If-Match: "a"'),
    "If-Modified-Since": with_fields(b"If-Modified-Since: Sat, 21 Nov 2026 07:00:00 GMT"),
    "If-None-Match any": with_fields(b"If-None-Match: *"),
    "If-None-Match list": with_fields(b'If-None-Match: "a", "b"'),
    "If-None-Match bare": with_fields(b"If-None-Match: a"),
    "Accept twice": with_fields(b"Accept: */*", b"accept: text/html"),
    "Accept with quotes": with_fields(b'Accept: a/b;c="d"'),
    "unknown field": with_fields(b"Frobnicate: a"),
    "method override": with_fields(b"X-HTTP-Method-Override: DELETE"),
    "many fields": with_fields(*(b"Sec-%d: a" % at for at in range(60))),
    "long": with_fields(b"User-Agent: " + b"a" * MAX_HEAD),
}


@pytest.mark.parametrize("head", NOT_SIMPLE.values(), ids=NOT_SIMPLE.keys())
def test_other_requests_are_not_cacheable(head: bytes) -> None:
    """Whatever two parsers could interpret differently, and fields that matter elsewhere."""
    assert cacheable(head) is None


@given(st.binary(max_size=200), st.integers(0, len(CHROMIUM)), st.integers(0, 20))
def test_no_bytes_raise_an_error(noise: bytes, at: int, cut: int) -> None:
    """Parsed or not, never an error; what is parsed has one Host and no body."""
    head = CHROMIUM[:at] + noise + CHROMIUM[at + cut :]
    read = cacheable(head)

    assert read is None or (head.lower().count(b"\nhost:") == 1 and b"\ncontent-length" not in head.lower())
