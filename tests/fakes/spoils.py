"""Faults of what is sent: missing, repeated, out of order, broken or unknown frames and acknowledgements."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Any

from tests.fakes.fault import Fault

if TYPE_CHECKING:
    from tests.fakes.client import Client
    from tests.fakes.venue import FakeVenue


_CHANNELS = {
    "top": {
        "bookTicker",
        "bbo-tbt",
        "orderbook.1",
        "order_book",
        "spot.book_ticker",
        "obu",
        "books1",
        "bbo",
        "book",
        "orderbook",
    },
    "trade": {
        *("aggTrade", "trades", "trade", "publicTrade", "live_trades", "market_trades", "spot.trades"),
        *("trade.detail", "deals"),
    },
    "ticker": {"ticker", "tickers", "spot.tickers", "activeAssetCtx", "miniTicker"},
}

# The fields around the values, of any venue, from the outside to the inside.
_ENVELOPES = ("events", "tickers", "trades", "result", "tick", "data", "d")

# The fields of times, of any venue.
_TIMES = {
    *("E", "T", "M", "t", "ts", "time", "timestamp", "microtimestamp"),
    *("time_ms", "create_time", "create_time_ms", "quoteTime", "trade_timestamp", "sendTime"),
    "1",  # of a trade in an array
}
_DIGITS_OF_SECONDS = 10  # three more for ms, six for us, nine for ns


class Freeze(Fault):
    """No data; pings and requests are answered."""

    def spoil(self, client: Client, channel: str, symbol: str, frame: str) -> Iterator[str | bytes]:
        yield from ()


class Repeat(Fault):
    """The same frame without end."""

    def spoil(self, client: Client, channel: str, symbol: str, frame: str) -> Iterator[str | bytes]:
        yield client.held.setdefault(("repeat", ""), frame)


class OfOneChannel(Fault):
    """A fault of one channel only: `top`, `trade` or `ticker` after the colon."""

    def __init__(self, venue: FakeVenue, argument: str = "", symbols: frozenset[str] = frozenset()) -> None:
        super().__init__(venue, "", symbols)
        self._channels = _CHANNELS[argument or "trade"]

    def spoil(self, client: Client, channel: str, symbol: str, frame: str) -> Iterator[str | bytes]:
        if channel in self._channels:
            yield from self.instead(client, (channel, symbol), frame)
        else:
            yield frame

    def instead(self, client: Client, stream: tuple[str, str], frame: str) -> Iterator[str | bytes]:
        """Return what is sent in place of a frame of that channel."""
        raise NotImplementedError


class Silent(OfOneChannel):
    """That channel sends nothing."""

    def instead(self, client: Client, stream: tuple[str, str], frame: str) -> Iterator[str | bytes]:
        yield from ()


class Same(OfOneChannel):
    """That channel repeats its first frame."""

    def instead(self, client: Client, stream: tuple[str, str], frame: str) -> Iterator[str | bytes]:
        yield client.held.setdefault(stream, frame)


class Broken(OfOneChannel):
    """That channel sends frames that cannot be read."""

    def instead(self, client: Client, stream: tuple[str, str], frame: str) -> Iterator[str | bytes]:
        yield changed(frame, _replaced([]))


class Old(OfOneChannel):
    """That channel sends times of an hour ago."""

    def instead(self, client: Client, stream: tuple[str, str], frame: str) -> Iterator[str | bytes]:
        yield json.dumps(shifted(json.loads(frame), -3_600))


class Between(Fault):
    """Something unusable before every good frame."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._makers = cycle(self.makers())

    def makers(self) -> list[Callable[[str], str | bytes]]:
        """List the variants of a good frame, in turn."""
        raise NotImplementedError

    def spoil(self, client: Client, channel: str, symbol: str, frame: str) -> Iterator[str | bytes]:
        yield next(self._makers)(frame)
        yield frame


class Garbage(Between):
    """Bad JSON, binary data, truncated frames and other shapes between the good ones."""

    def makers(self) -> list[Callable[[str], str | bytes]]:
        return [
            lambda frame: "{not json",
            lambda frame: b"\x00\xff\xfe" + frame.encode()[:20],
            lambda frame: frame[: len(frame) // 2],
            lambda frame: "",
            lambda frame: "[1, 2, 3",
            json.dumps,
            lambda frame: "[" * 20_000,
        ]


class WrongTypes(Between):
    """Fields of other types, empty or missing, between the good frames."""

    def makers(self) -> list[Callable[[str], str | bytes]]:
        return [partial(changed, change=change) for change in _WRONG]


class UnknownEvents(Between):
    """Future events between the good frames."""

    def makers(self) -> list[Callable[[str], str | bytes]]:
        return [lambda frame: self.venue.unknown_event()]


class ExtraFields(Fault):
    """Future fields in every frame."""

    def spoil(self, client: Client, channel: str, symbol: str, frame: str) -> Iterator[str | bytes]:
        message = json.loads(frame)
        if isinstance(message, dict):
            message["newField"] = {"deep": [1, None, "x"]}
        yield changed(json.dumps(message), lambda data: data.update(zz="1", extra=[1, 2]))


class Duplicates(Fault):
    """Every frame twice."""

    def spoil(self, client: Client, channel: str, symbol: str, frame: str) -> Iterator[str | bytes]:
        yield from (frame, frame)


class OutOfOrder(Fault):
    """Of each two frames of a channel the second is sent first."""

    def spoil(self, client: Client, channel: str, symbol: str, frame: str) -> Iterator[str | bytes]:
        earlier = client.held.pop((channel, symbol), None)
        if earlier is None:
            client.held[channel, symbol] = frame
        else:
            yield from (frame, earlier)


class LateAck(Fault):
    """Acknowledgements are delayed by the given seconds; data is not."""

    default = 3

    def acks(self, frame: str, symbols: set[str]) -> float | None:
        return self.numbers[0] if any(map(self.touches, symbols)) else 0.0


class NoAck(Fault):
    """Acknowledgements are not sent."""

    def acks(self, frame: str, symbols: set[str]) -> float | None:
        return None if any(map(self.touches, symbols)) else 0.0


class ErrorAck(Fault):
    """A subscription of the symbol is refused, in the venue's format."""

    def refuses(self, symbol: str) -> bool:
        return self.touches(symbol)


class WholeAck(Fault):
    """A request with the symbol is refused as a whole: the venue echoes it, or names nothing."""

    word = "echo"

    def refuses_all(self, symbols: set[str]) -> str:
        return self.word if any(map(self.touches, symbols)) else ""


class NamelessAck(WholeAck):
    """A request with the symbol is refused with a text that names neither request nor symbol."""

    word = "nameless"


class BusyAck(WholeAck):
    """The venue is too busy for requests."""

    word = "busy"


class Burst(Fault):
    """The given number of top-of-book changes per second, over all symbols together."""

    default = 1000

    def rate(self, rate: float) -> float:
        moving = sum(not walk.calm for walk in self.venue.walks.values())
        return self.numbers[0] / max(moving, 1)


def payload_of(message: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a data frame that contains the values, of any venue."""
    payload = message
    for name in _ENVELOPES:
        inner = payload.get(name)
        if isinstance(inner, list):
            inner = inner[0] if inner else None
        if isinstance(inner, dict):
            payload = inner
    return payload


def changed(frame: str, change: Callable[[dict[str, Any]], object]) -> str:
    """Return `frame` with its values changed; the values of an array have their places as names."""
    message = json.loads(frame)
    if isinstance(message, list):
        _change_places(message, change)
    else:
        change(payload_of(message))
    return json.dumps(message)


def _change_places(values: list[Any], change: Callable[[dict[str, Any]], object]) -> None:
    """Change the innermost arrays."""
    if inner := [each for each in values if isinstance(each, list)]:
        for each in inner:
            _change_places(each, change)
        return
    named = {str(place): value for place, value in enumerate(values)}
    change(named)
    values[:] = named.values()


def shifted(value: Any, by_s: int, name: str = "") -> Any:
    """Return a message with its times later by `by_s` seconds, whatever their units."""
    if isinstance(value, dict):
        return {key: shifted(each, by_s, key) for key, each in value.items()}
    if isinstance(value, list):
        return [shifted(each, by_s, str(place)) for place, each in enumerate(value)]
    return _later(value, by_s) if name in _TIMES else value


def _later(time: Any, by_s: int) -> Any:
    """Move a time: an integer of s to ns, also as a text and with a fraction, or ISO 8601."""
    if isinstance(time, bool) or not isinstance(time, int | str):
        return time
    whole, dot, fraction = str(time).partition(".")
    if whole.isdecimal():
        if len(whole) < _DIGITS_OF_SECONDS:
            return time
        later = int(whole) + by_s * 10 ** (len(whole) - _DIGITS_OF_SECONDS)
        return later if isinstance(time, int) else f"{later}{dot}{fraction}"
    try:
        return (datetime.fromisoformat(str(time)) + timedelta(seconds=by_s)).isoformat()
    except ValueError:
        return time


def _replaced(value: object) -> Callable[[dict[str, Any]], object]:
    return lambda data: data.update({key: value for key in data if key not in {"s", "instId", "e", "symbol"}})


_WRONG: list[Callable[[dict[str, Any]], object]] = [
    _replaced(1.5),
    _replaced([]),
    _replaced({}),
    _replaced(None),
    _replaced("abc"),
    _replaced("NaN"),
    lambda data: data.clear(),
    lambda data: data.update(s=7, ts=True, u="x"),
]
