"""A handler for a venue without WebSockets, polled over REST."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from crypto_stream.feed.handler import Event, Instrument, Trade, Update

REST_URL = "http://127.0.0.1:1"
EVERY_S = 0.05


def venue_id(pair: Instrument) -> str | None:
    """Join base and quote with a dash."""
    return f"{pair.base}-{pair.quote}" if pair.base and pair.quote else None


async def poll(http: httpx.AsyncClient, instruments: Mapping[str, Instrument]) -> list[Event]:
    """Fetch the newest quote of every instrument at once."""
    answer = await http.get("/newest", params={"of": ",".join(instruments)})
    answer.raise_for_status()
    events: list[Event] = []
    for each in answer.json():
        instrument = instruments[each["id"]]
        events.append(Update(instrument, "top", each["n"], None, bid=each["bid"], ask=each["ask"]))
        events.append(Trade(instrument, "trade", each["n"], None, each["bid"], "1"))
    return events
