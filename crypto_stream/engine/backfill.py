"""Backfill: bars from before the first recorded trade, fetched from the venues' REST interfaces."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress

import httpx

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.names import Names
from crypto_stream.feed.rest import rest_client
from crypto_stream.feed.sources import Source
from crypto_stream.history.history import History
from crypto_stream.market.instruments import Instrument

log = logging.getLogger(__name__)

_INTERVALS = ("1h", "1m")
_PAUSE_S = 0.25  # between two requests: a tenth of the rate that venues allow
_RETRY_S = 600.0
_MAX_CLOCK_PAUSES = 20  # to wait until a venue's clock is known
# After this many failed instruments in a row the venue is skipped until the next retry.
_MAX_FAILURES = 5
_BLOCKED = frozenset({403, 418, 429, 451})


async def backfill(
    history: History,
    sources: Sequence[Source],
    carried: Mapping[str, Sequence[Instrument]],
    names: Mapping[str, Names],
    grown: asyncio.Event | None = None,
) -> None:
    """Fetch older bars of each real instrument, from the preferred source first, until none is missing.

    Runs in the background. First waits briefly until a venue's clock is known, which decides whether a bar is
    closed. Whatever no venue delivers is requested again ten minutes later. With `grown`, which is set when
    instruments are added, it goes on for ever.
    """
    venues = [source for source in sources if source.rest is not None and source.rest.candles is not None]
    for _ in range(_MAX_CLOCK_PAUSES):
        if any(history.clock.knows_time_of(source.name) for source in venues):
            break
        await asyncio.sleep(_PAUSE_S)
    while True:
        for source in venues:
            await _backfill_from(source, history, carried.get(source.name, ()), names[source.name])
        missing = any(_missing(history, each) for source in venues for each in carried.get(source.name, ()))
        if grown is None and not missing:
            return
        await _pause(_RETRY_S if missing else None, grown)


async def _pause(seconds: float | None, grown: asyncio.Event | None) -> None:
    """Wait so long (None: for ever), or until instruments are added."""
    grown = grown or asyncio.Event()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await grown.wait()
    grown.clear()


async def _backfill_from(
    source: Source, history: History, carried: Sequence[Instrument], names: Names
) -> None:
    assert source.rest is not None
    counts: list[int | None] = []
    try:
        async with rest_client(source.rest.url) as http:
            for instrument in list(carried):
                venue_id = names.id_of(instrument.symbol)
                if venue_id and _missing(history, instrument):
                    counts.append(await _backfill_one(source, history, http, instrument, venue_id))
                if counts[-_MAX_FAILURES:] == [None] * _MAX_FAILURES:
                    break
    except httpx.HTTPError as error:  # concerns the venue, not one instrument
        log.info(
            "older bars not available", extra={"source": source.name, "reason": str(error) or repr(error)}
        )
    if count := sum(each or 0 for each in counts):
        log.info("older bars fetched", extra={"source": source.name, "bars": count})


async def _backfill_one(
    source: Source, history: History, http: httpx.AsyncClient, instrument: Instrument, venue_id: str
) -> int | None:
    """Fetch one instrument's older bars and return their number; None if that fails for this instrument.

    Raises httpx.HTTPError if the venue cannot be reached or refuses further requests.
    """
    assert source.rest is not None
    assert source.rest.candles is not None
    count: int | None = 0
    extra = {"source": source.name, "symbol": instrument.symbol}
    try:
        for interval in _missing(history, instrument):
            bars = await source.rest.candles(http, venue_id, interval)
            count = (count or 0) + history.add_backfill(instrument.symbol, interval, bars)
            await asyncio.sleep(_PAUSE_S)
        return count
    except (httpx.ConnectError, httpx.ProxyError):
        raise
    except (httpx.HTTPError, MalformedFrame) as error:
        if isinstance(error, httpx.HTTPStatusError) and error.response.status_code in _BLOCKED:
            raise
        log.info("older bars not available", extra={**extra, "reason": str(error) or repr(error)})
    except Exception:  # a bug in a handler must not stop the engine
        log.exception("error in a handler", extra=extra)
    await asyncio.sleep(_PAUSE_S)
    return None


def _missing(history: History, instrument: Instrument) -> list[str]:
    return [interval for interval in _INTERVALS if history.needs_backfill(instrument.symbol, interval)]
