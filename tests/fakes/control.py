"""The page that controls a fake venue running as a process: GET /_fake, on its own port.

`?fault=freeze&symbol=btcusdt&seconds=5` · `?calm=1&symbol=btcusdt` · `?symbol=btcusdt&bid=1&ask=2&price=1`;
the answer is always the counters, as JSON.
"""

from __future__ import annotations

import json
from decimal import InvalidOperation
from http import HTTPStatus
from typing import TYPE_CHECKING

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Response

from tests.fakes.faults import FAULTS, make_fault

if TYPE_CHECKING:
    from tests.fakes.venue import FakeVenue


async def control(venue: FakeVenue, connection: ServerConnection, query: dict[str, str]) -> Response:
    """Execute `query` and answer with the counters; 400 with the valid values for an invalid one."""
    symbol = query.get("symbol", "")
    try:
        if "fault" in query:
            # In the background: what cuts all connections must not cut this answer.
            make_fault(venue, query["fault"], symbol)
            venue.soon(venue.fault(query["fault"], symbol, seconds=float(query.get("seconds", 0))))
        if "announce" in query:
            venue.announce()
        if "calm" in query:
            venue.calm(symbol, query["calm"] != "0")
        values = {name: query[name] for name in ("bid", "ask", "price") if name in query}
        if values:
            await venue.push(symbol, **values)
    except (KeyError, ValueError, InvalidOperation) as error:
        problem = {"error": repr(error), "faults": sorted(FAULTS), "symbols": sorted(venue.walks)}
        return as_json(connection, problem, HTTPStatus.BAD_REQUEST)
    return as_json(connection, venue.counters(), HTTPStatus.OK)


def as_json(connection: ServerConnection, value: object, status: HTTPStatus) -> Response:
    """Return a JSON response."""
    response = connection.respond(status, json.dumps(value))
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response
