"""Requests from bytes: what is accepted, what is refused and how, and that memory is bounded."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crypto_stream.gateway.http.head import MAX_HEAD, MAX_LINE, BadRequestError
from crypto_stream.gateway.http.reader import HttpRequest, RequestReader

MAX_BODY = 1000


def read(sent: bytes, max_body: int = MAX_BODY) -> HttpRequest | None:
    """Feed everything at once."""
    return RequestReader(max_body).feed(sent)


def get(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join((line, host, *fields, b"", b""))


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return get(*fields, line=b"POST /p HTTP/1.1") + body


CHUNKED = b"Transfer-Encoding: chunked"
BAD_FRAMING: dict[str, tuple[int, bytes]] = {
    "two lengths": (400, post(b"Content-Length: 1", b"Content-Length: 1", body=b"a")),
    "two lengths, spelled otherwise": (400, post(b"Content-Length: 1", b"content-LENGTH: 2", body=b"aa")),
    "two lengths in one": (400, post(b"Content-Length: 1, 1", body=b"a")),
    "a length with a sign": (400, post(b"Content-Length: +1", body=b"a")),
    "a length below zero": (400, post(b"Content-Length: -1", body=b"a")),
    "a length in hex": (400, post(b"Content-Length: 0x1", body=b"a")),
    "a length with an underscore": (400, post(b"Content-Length: 1_0", body=b"a" * 10)),
    "a length of other digits": (400, post("Content-Length: \N{SUPERSCRIPT TWO}".encode("latin-1"))),
    "a length without digits": (400, post(b"Content-Length:")),
    "a length behind a tab": (400, post(b"Content-Length:\t1", body=b"a")),
    "a space before the colon": (400, post(b"Content-Length : 1", body=b"a")),
    "a tab before the colon": (400, post(b"Content-Length\t: 1", body=b"a")),
    "a space before a name": (400, post(b" Content-Length: 1", body=b"a")),
    "a folded line": (400, get(b"X: a", b" b")),
    "a folded line, by a tab": (400, get(b"X: a", b"\tb")),
    "no colon": (400, get(b"Nonsense")),
    "no name": (400, get(b": a")),
    "a name that is no token": (400, get(b"X(a): b")),
    "a bare CR in a line": (400, get(b"X: a\rContent-Length: 1")),
    "a bare LF in a line": (400, get(b"X: a\nContent-Length: 1")),
    "a bare LF behind the request line": (400, b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    "bare LFs alone": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "a NUL": (400, get(b"X: a\0b")),
    "a vertical tab": (400, get(b"X: a\x0bb")),
    "a DEL": (400, get(b"X: a\x7fb")),
    "no Host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, get(b"Host: a")),
    "an empty Host": (400, get(host=b"Host: ")),
    "a Host with a path": (400, get(host=b"Host: a/b")),
    "a Host with a user": (400, get(host=b"Host: a@b")),
    "two hosts in one": (400, get(host=b"Host: a, b")),
    "a Host with a broken bracket": (400, get(host=b"Host: [::1")),
    "chunked and a length": (400, post(CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n")),
    "a length and chunked": (400, post(b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n")),
    "chunked twice": (400, post(CHUNKED, CHUNKED, body=b"0\r\n\r\n")),
    "chunked twice in one": (501, post(CHUNKED + b", chunked", body=b"0\r\n\r\n")),
    "chunked, identity": (501, post(CHUNKED + b", identity", body=b"0\r\n\r\n")),
    "identity": (501, post(b"Transfer-Encoding: identity")),
    "gzip, chunked": (501, post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")),
    "xchunked": (501, post(b"Transfer-Encoding: xchunked")),
    "chunked behind a tab": (501, post(b"Transfer-Encoding:\tchunked", body=b"0\r\n\r\n")),
    "no coding": (501, post(b"Transfer-Encoding:")),
    "chunked in HTTP/1.0": (400, get(CHUNKED, line=b"POST / HTTP/1.0") + b"0\r\n\r\n"),
    "a size with 0x": (400, post(CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n")),
    "a size below zero": (400, post(CHUNKED, body=b"-1\r\n\r\n")),
    "a size with a plus": (400, post(CHUNKED, body=b"+5\r\nhello\r\n0\r\n\r\n")),
    "a size with an underscore": (400, post(CHUNKED, body=b"1_0\r\n")),
    "a size with a space before": (400, post(CHUNKED, body=b" 5\r\nhello\r\n0\r\n\r\n")),
    "a size with a space behind": (400, post(CHUNKED, body=b"5 \r\nhello\r\n0\r\n\r\n")),
    "no size": (400, post(CHUNKED, body=b"\r\nhello\r\n0\r\n\r\n")),
    "a size of nine digits": (400, post(CHUNKED, body=b"000000005\r\n")),
    "a size line ended by LF": (400, post(CHUNKED, body=b"5\nhello\r\n0\r\n\r\n")),
    "a chunk ended by LF": (400, post(CHUNKED, body=b"5\r\nhello\n0\r\n\r\n")),
    "a chunk longer than it says": (400, post(CHUNKED, body=b"5\r\nhello!\r\n0\r\n\r\n")),
    "a CR in an extension": (400, post(CHUNKED, body=b"5;a\rb\r\nhello\r\n0\r\n\r\n")),
    "a trailer without a colon": (400, post(CHUNKED, body=b"0\r\nNonsense\r\n\r\n")),
    "a large body with GET": (413, get(b"Content-Length: 100000") + b"a"),
    "large chunks with GET": (413, get(CHUNKED) + b"1ffff\r\n"),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "HTTP/2.0": (505, b"PRI * HTTP/2.0\r\n\r\n"),
    "http/1.1": (400, get(line=b"GET / http/1.1")),
    "HTTP/1.1 and more": (400, get(line=b"GET / HTTP/1.1 x")),
    "HTTP/11": (400, get(line=b"GET / HTTP/11")),
    "two spaces": (400, get(line=b"GET  / HTTP/1.1")),
    "a tab for a space": (400, get(line=b"GET\t/ HTTP/1.1")),
    "a method in small letters": (400, get(line=b"get / HTTP/1.1")),
    "a space in the path": (400, get(line=b"GET /a b HTTP/1.1")),
    "a path without a slash": (400, get(line=b"GET a HTTP/1.1")),
    "another scheme": (400, get(line=b"GET ftp://a/ HTTP/1.1")),
    "a target with a user": (400, get(line=b"GET http://u@a/ HTTP/1.1")),
    "a target without a host": (400, get(line=b"GET http:/// HTTP/1.1")),
    "CONNECT": (405, get(line=b"CONNECT a:443 HTTP/1.1")),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "a long request line": (414, get(line=b"GET /" + b"a" * MAX_LINE + b" HTTP/1.1")),
    "a long field": (431, get(b"X: " + b"a" * MAX_LINE)),
    "a long head": (431, get(*[b"X: " + b"a" * 8000] * 5)),
    "many fields": (431, get(*[b"X: a"] * 101)),
    "blank lines without end": (400, b"\r\n" * 100),
}


@pytest.mark.parametrize(("status", "sent"), BAD_FRAMING.values(), ids=BAD_FRAMING.keys())
def test_ambiguous_requests_are_refused(status: int, sent: bytes) -> None:
    """At once and byte by byte, with a reason."""
    by_bytes = RequestReader(MAX_BODY)

    with pytest.raises(BadRequestError) as refused:
        read(sent)
    with pytest.raises(BadRequestError) as refused_later:
        _ = [by_bytes.feed(sent[at : at + 1]) for at in range(len(sent))]

    assert (refused.value.status, refused_later.value.status) == (status, status)
    assert refused.value.detail


TAKEN: dict[str, tuple[bytes, bytes]] = {
    "the simplest": (get(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "HTTP/1.0 without a Host": (b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"),
    "a later minor version": (get(line=b"GET / HTTP/1.3"), get()),
    "a line end before it": (b"\r\n" + get(), get()),
    "white space round a value": (get(b"X:  a\t "), get(b"X: a")),
    "an empty value": (get(b"X:"), get(b"X: ")),
    "letters beyond ASCII": (
        get(b"X: \xc3\xa4", line=b"GET /\xc3\xa0?\xa0 HTTP/1.1"),
        get(b"X: \xc3\xa4", line=b"GET /%C3%A0?%A0 HTTP/1.1"),
    ),
    "an absolute target": (
        get(line=b"GET http://b:80/c?d HTTP/1.1"),
        get(line=b"GET /c?d HTTP/1.1", host=b"Host: b:80"),
    ),
    "an absolute target without a path": (
        get(line=b"GET HTTP://b?d HTTP/1.1"),
        get(line=b"GET /?d HTTP/1.1", host=b"Host: b"),
    ),
    "an IPv6 Host": (get(host=b"Host: [::1]:8000"), get(host=b"Host: [::1]:8000")),
    "a Host with an underscore": (get(host=b"Host: a_b"), get(host=b"Host: a_b")),
    "a body with GET": (get(b"Content-Length: 1") + b"a", get()),
    "chunks with GET": (get(CHUNKED) + b"1\r\na\r\n0\r\n\r\n", get()),
    "a body with HEAD": (
        get(b"Content-Length: 1", line=b"HEAD / HTTP/1.1") + b"a",
        get(line=b"HEAD / HTTP/1.1"),
    ),
    "no body told": (get(b"Content-Length: 0"), get()),
    "a body": (post(b"Content-Length: 05", body=b"hello"), post(b"Content-Length: 5", body=b"hello")),
    "chunks": (
        post(CHUNKED, body=b"2;a=b\r\nhe\r\n03\r\nllo\r\n000\r\nT: x\r\n\r\n"),
        post(b"Content-Length: 5", body=b"hello"),
    ),
    "chunks in capitals": (
        post(b"transfer-encoding: CHUNKED", body=b"A\r\n0123456789\r\n0\r\n\r\n"),
        post(b"Content-Length: 10", body=b"0123456789"),
    ),
    "a patient client": (
        post(b"Expect: 100-continue", b"Content-Length: 1", body=b"a"),
        post(b"Content-Length: 1", body=b"a"),
    ),
}


@pytest.mark.parametrize(("sent", "made"), TAKEN.values(), ids=TAKEN.keys())
def test_valid_requests_are_rewritten(sent: bytes, made: bytes) -> None:
    """However the bytes are split; the length of the body is stated in a single way."""
    whole = read(sent + b"GET /next")
    pieces = RequestReader(MAX_BODY)
    parts = [pieces.feed(sent[at : at + 1]) for at in range(len(sent))]

    assert whole == (made, b"GET /next", True)
    assert parts == [None] * (len(sent) - 1) + [(made, b"", True)]


@pytest.mark.parametrize(
    "sent",
    [
        post(b"Content-Length: 1001"),
        post(b"Content-Length: 999999999999"),
        post(CHUNKED, body=b"3e9\r\n"),
        post(CHUNKED, body=b"3e8\r\n" + b"a" * 1000 + b"\r\n1\r\n"),
        post(CHUNKED, body=b"ffffffff\r\n"),
    ],
)
def test_a_body_that_is_too_large_is_left_out(sent: bytes) -> None:
    """The application gets its length, so that it can respond with 413."""
    request = read(sent + b"GET /smuggled")
    assert request is not None
    head, _, body = request.data.partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)

    assert (request.complete, request.rest, body) == (False, b"", b"")
    assert b"Connection: close" in head
    assert length is not None
    assert int(length[1]) > MAX_BODY


ENDLESS = {
    "a method": (b"", b"A"),
    "a path": (b"GET /", b"a"),
    "a field": (b"GET / HTTP/1.1\r\nX: ", b"a"),
    "fields": (b"GET / HTTP/1.1\r\n", b"X: a\r\n"),
    "line ends": (b"", b"\r\n"),
    "a size": (post(CHUNKED), b"a"),
    "an extension": (post(CHUNKED) + b"1;", b"a"),
    "tiny chunks": (post(CHUNKED), b"1\r\na\r\n"),
    "long extensions": (post(CHUNKED), b"1;" + b"a" * 200 + b"\r\na\r\n"),
    "a trailer": (post(CHUNKED) + b"0\r\n", b"a"),
    "trailers": (post(CHUNKED) + b"0\r\n", b"T: a\r\n"),
    "a chunk": (post(CHUNKED) + b"ffffffff\r\n", b"a"),
}


@pytest.mark.parametrize(("begin", "again"), ENDLESS.values(), ids=ENDLESS.keys())
def test_endless_input_is_not_buffered(begin: bytes, again: bytes) -> None:
    """Each ends within the limits of a head or a body: refused, or with its body left out."""
    reader = RequestReader(MAX_BODY)
    held = sent = 0
    try:
        request = reader.feed(begin)
        while request is None:
            request = reader.feed(again)
            sent += len(again)
            held = max(held, reader.buffered)
    except BadRequestError:
        request = None

    assert request is None or not request.complete
    assert sent <= MAX_HEAD
    assert held <= MAX_HEAD


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.integers(1, 7), st.binary(max_size=20))
def test_a_chunked_body_is_the_same_however_it_is_split(
    chunks: list[bytes], step: int, behind: bytes
) -> None:
    """Chunks of any bytes, in pieces of any size."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in chunks) + b"0\r\n\r\n"
    sent = post(CHUNKED, body=body)
    reader = RequestReader(MAX_BODY)
    for at in range(0, len(sent), step):
        request = reader.feed(sent[at : at + step])
    together = read(sent + behind)

    made = post(b"Content-Length: %d" % sum(map(len, chunks)), body=b"".join(chunks))
    assert request == (made, b"", True)
    assert together == (made, behind, True)


ODD = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?!\n|\Z)")
PIECES = [b"\r\n", b"\r", b"\n", b"\t", b"\x0b", b"\x7f", b"x"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8), st.data())
def test_a_head_is_refused_at_its_first_odd_byte(pieces: list[bytes], data: st.DataObject) -> None:
    """An LF or CR alone, or a control character, however it is split; a last CR may await its LF."""
    sent = b"GET / HTTP/1.1" + b"".join(pieces)
    assume(b"\r\n\r\n" not in sent)
    reader, at = RequestReader(MAX_BODY), 0
    while at < len(sent):
        until = data.draw(st.integers(at + 1, len(sent)))
        if ODD.search(sent, 0, until):
            with pytest.raises(BadRequestError, match="A request's head may not hold"):
                reader.feed(sent[at:until])
            return
        assert reader.feed(sent[at:until]) is None
        at = until


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_request_or_a_refusal_or_nothing_yet(sent: bytes) -> None:
    """No other error, whatever is received."""
    for begin in (b"", b"GET / HTTP/1.1\r\nHost: a\r\n", post(CHUNKED)):
        try:
            request = read(begin + sent)
        except BadRequestError:
            continue
        assert (
            request is None
            or request.data.endswith((b"\r\n\r\n", sent[-1:]))
            or b"Content-Length" in request.data
        )
