"""A handler for a venue with every peculiarity: token, greeting, pings both ways, losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import httpx
import msgspec

from crypto_stream.feed.handler import (
    ARRIVAL,
    Acked,
    Event,
    Ignored,
    Instrument,
    Keepalive,
    Limits,
    Opening,
    Pong,
    Reply,
    Request,
    Resync,
    Trade,
    Update,
    VenueStatus,
    Wanted,
)

URLS = ["ws://127.0.0.1:1"]
REST_URL = "http://127.0.0.1:1"
LIMITS = Limits(
    instruments=2,
    connections=2,
    pace_s=0.0,
    frame_bytes=4 * 1024 * 1024,
    keepalive=Keepalive('{"do":"ping"}', 0.2, always=True),
)


class _Frame(msgspec.Struct):
    is_a: str
    of: str = ""
    topic: str = ""
    number: int = 0
    text: str = ""
    size: str = ""


_decode = msgspec.json.Decoder(_Frame).decode
_OF_THE_CONNECTION: Mapping[str, Callable[[_Frame], Event]] = {
    "ping": lambda data: Reply(f'{{"do":"pong","number":{data.number}}}'),
    "ack": lambda data: Acked(f"{data.topic} {data.of}"),
    "pong": lambda _: Pong(),
    "state": lambda data: VenueStatus(data.text),
}


def venue_id(pair: Instrument) -> str | None:
    """Join base and quote with a slash."""
    return f"{pair.base}/{pair.quote}" if pair.base and pair.quote else None


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split it again."""
    base, _, quote = venue_id.partition("/")
    return (base, quote) if quote else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Fetch a token, which the address must carry."""
    answer = await http.get("/token")
    answer.raise_for_status()
    return Opening(f"/stream?token={answer.json()}", {"X-Habit": "yes"}, ['{"do":"greet"}'])


class Reader:
    """Numbers the trades of its connection, and reports when one is missing."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        """Start with no number seen."""
        self._instruments = instruments
        self._last: dict[str, int] = {}

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Subscribe to each topic separately."""
        return [_request("subscribe", each) for each in wanted if each.topic != "day"]

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Unsubscribe."""
        return [_request("unsubscribe", each)._replace(keys=()) for each in wanted if each.topic != "day"]

    def read(self, frame: bytes) -> list[Event]:
        """Read one frame."""
        data = _decode(frame)
        instrument = self._instruments.get(data.of)
        if (event := _OF_THE_CONNECTION.get(data.is_a)) is not None:
            return [event(data)]
        if instrument is None:
            return [Ignored(data.is_a)]
        if data.is_a == "top":
            return [Update(instrument, "top", ARRIVAL, None, bid=data.text, ask=None)]
        lost = data.number > self._last.get(data.of, data.number) + 1
        self._last[data.of] = data.number
        events: list[Event] = [Trade(instrument, "trade", data.number, None, data.text, data.size)]
        return [Resync(instrument, "trades", "a number is missing"), *events] if lost else events


def _request(verb: str, wanted: Wanted) -> Request:
    key = f"{wanted.topic} {wanted.id}"
    text = msgspec.json.encode({"do": verb, "topic": wanted.topic, "of": wanted.id}).decode()
    return Request(text, keys=(key,), wanted=(wanted,))
