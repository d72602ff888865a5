"""Which books are requested when: at first, without an answer, after losses, after a new connection."""

from __future__ import annotations

from crypto_stream.feed.books import AWAITED, Books
from crypto_stream.market.instruments import pair
from crypto_stream.market.ladder import DepthChange

BTC, ETH = pair("BTC-USDT"), pair("ETH-USDT")
S = 1_000_000_000
ACK_NS = 10 * S
NAMES = ["btcusdt", "ethusdt"]


def whole(number: int = 1) -> DepthChange:
    """Make a book of one level."""
    return DepthChange(BTC, [("9", "1")], [], whole=True, number=number)


def change(after: int) -> DepthChange:
    """Make a change of the book of this number."""
    return DepthChange(BTC, [("8", "1")], [], number=after + 1, after=after)


def test_a_book_is_requested_until_it_is_known() -> None:
    """Again after a pause that doubles, as long as nothing comes."""
    books = Books(ACK_NS)
    books.want(NAMES, 0)
    times = [second for second in range(100) if "btcusdt" in books.due(second * S)]
    books.take(whole(), 100 * S)

    assert times == [0, 10, 30, 70]
    assert books.due(1_000 * S) == ["ethusdt"]
    known = books.known("btcusdt")
    assert known is not None
    assert known.received_ns == 100 * S
    assert books.is_awaited("ethusdt")
    assert books.awaited() == ["ethusdt"]
    assert books.reason("ethusdt") == AWAITED


def test_a_lost_book_is_requested_at_once_but_not_again_and_again() -> None:
    """One that is lost as soon as it is known would cost a snapshot each time."""
    books = Books(ACK_NS)
    books.want(["btcusdt"], 0)
    requested = []
    for second in range(60):
        if books.due(second * S):
            requested.append(second)
            books.take(whole(), second * S)
        books.take(change(7), second * S)
    calm = 1_000 * S
    books.due(calm)
    books.take(whole(), calm)
    reason = books.take(change(7), calm + 100 * S)

    assert requested == [0, 1, 3, 7, 15, 31]
    assert reason == "changes are missing between 1 and 7"
    assert books.due(calm + 100 * S) == ["btcusdt"]


def test_what_is_no_longer_wanted_is_forgotten() -> None:
    """And is no longer read."""
    books = Books(ACK_NS)
    books.want(NAMES, 0)
    books.take(whole(), 0)
    gone = books.want(["ethusdt"], S)
    books.take(whole(2), S)

    assert gone == ["btcusdt"]
    assert "btcusdt" not in books
    assert books.known("btcusdt") is None


def test_the_number_grows_even_if_a_book_is_forgotten_and_wanted_again() -> None:
    """Who looks now and then sees by the number alone that something has changed."""
    books = Books(ACK_NS)
    numbers = [books.number("btcusdt")]
    for step in (
        lambda: books.want(["btcusdt"], 0),
        lambda: books.take(whole(), 0),
        lambda: books.want([], S),
        lambda: books.want(["btcusdt"], S),
        lambda: books.take(whole(), S),
        lambda: books.lose("btcusdt", "lost", S),
        lambda: books.renew("connection cut", S),
        lambda: books.refuse("btcusdt", "refused: no such pair"),
    ):
        step()
        numbers.append(books.number("btcusdt"))

    assert sorted(set(numbers)) == numbers


def test_what_is_ignored_does_not_make_a_book_younger() -> None:
    """A venue that numbers its books anew would otherwise show an old one as if it were current."""
    books = Books(ACK_NS)
    books.want(["btcusdt"], 0)
    books.take(whole(5), 0)
    number = books.number("btcusdt")
    books.take(whole(4), 10 * S)
    known = books.known("btcusdt")

    assert known is not None
    assert known.received_ns == 0
    assert books.number("btcusdt") == number


def test_a_new_connection_requests_all_books() -> None:
    """What was known is of the old one; the reason is why that ended."""
    books = Books(ACK_NS)
    books.want(NAMES, 0)
    books.due(0)
    books.take(whole(), 0)
    number = books.number("btcusdt")
    books.renew("connection cut", S)

    assert books.known("btcusdt") is None
    assert books.number("btcusdt") > number
    assert books.reason("btcusdt") == "connection cut"
    assert books.due(S) == NAMES


def test_a_refusal_is_a_reason_until_the_book_comes() -> None:
    """Of a book that is known it says nothing: another request was meant."""
    books = Books(ACK_NS)
    books.want(NAMES, 0)
    books.take(whole(), 0)
    for symbol in (*NAMES, "other"):
        books.refuse(symbol, "refused: no such pair")
    refused = books.reason("ethusdt")
    books.lose_all("a frame could not be read", S)

    assert refused == "refused: no such pair"
    assert not books.is_awaited("ethusdt")
    assert books.reason("btcusdt") == "a frame could not be read"
    assert books.known("btcusdt") is None
