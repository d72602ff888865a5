"""Bars from before our first moment: what the venues' REST interfaces give, marked as theirs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

import httpx

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.names import Names
from crypto_stream.feed.rest import rest_client
from crypto_stream.feed.sources import Source
from crypto_stream.history.history import History
from crypto_stream.market.instruments import Instrument

log = logging.getLogger(__name__)

_INTERVALS = ("1h", "1m")
_PAUSE_S = 0.25  # between two requests: a tenth of what the venues allow
_RETRY_S = 600.0
_LOOKS = 20  # in pauses: so long the venues may take to tell their time
# So many instruments in a row without an answer, and the venue has none now.
_MOST_FAILURES = 5
_NO_MORE = frozenset({403, 418, 429, 451})


async def seed(
    history: History,
    sources: Sequence[Source],
    carried: Mapping[str, Sequence[Instrument]],
    names: Mapping[str, Names],
) -> None:
    """Fetch what was before the first moment of each real instrument, best source first, until all have it.

    Nothing waits for it; it waits a moment for the venues' time, which tells which bars are finished.
    What no venue gives now is asked for again after ten minutes, at the latest.
    """
    asked = [source for source in sources if source.rest is not None and source.rest.candles is not None]
    for _ in range(_LOOKS):
        if any(history.clock.knows_time_of(source.name) for source in asked):
            break
        await asyncio.sleep(_PAUSE_S)
    while True:
        for source in asked:
            await _seed_from(source, history, carried.get(source.name, ()), names[source.name])
        if not any(_missing(history, each) for source in asked for each in carried.get(source.name, ())):
            return
        await asyncio.sleep(_RETRY_S)


async def _seed_from(source: Source, history: History, carried: Sequence[Instrument], names: Names) -> None:
    assert source.rest is not None
    counts: list[int | None] = []
    try:
        async with rest_client(source.rest.url) as http:
            for instrument in carried:
                named = names.id_of(instrument.symbol)
                if named and _missing(history, instrument):
                    counts.append(await _seed_one(source, history, http, instrument, named))
                if counts[-_MOST_FAILURES:] == [None] * _MOST_FAILURES:
                    break
    except httpx.HTTPError as error:  # of the venue, not of one instrument
        log.info("no older bars", extra={"source": source.name, "reason": str(error) or repr(error)})
    if count := sum(each or 0 for each in counts):
        log.info("older bars fetched", extra={"source": source.name, "bars": count})


async def _seed_one(
    source: Source, history: History, http: httpx.AsyncClient, instrument: Instrument, named: str
) -> int | None:
    """Fetch one instrument's past, and count its bars; None where that fails, which costs it alone.

    Raises httpx.HTTPError where the venue cannot be reached, or wants no more requests.
    """
    assert source.rest is not None
    assert source.rest.candles is not None
    count: int | None = 0
    extra = {"source": source.name, "symbol": instrument.symbol}
    try:
        for interval in _missing(history, instrument):
            bars = await source.rest.candles(http, named, interval)
            count = (count or 0) + history.seed(instrument.symbol, interval, bars)
            await asyncio.sleep(_PAUSE_S)
        return count
    except (httpx.ConnectError, httpx.ProxyError):
        raise
    except (httpx.HTTPError, MalformedFrame) as error:
        if isinstance(error, httpx.HTTPStatusError) and error.response.status_code in _NO_MORE:
            raise
        log.info("no older bars", extra={**extra, "reason": str(error) or repr(error)})
    except Exception:  # a handler's bug; prices go on without the past
        log.exception("error in a handler", extra=extra)
    await asyncio.sleep(_PAUSE_S)
    return None


def _missing(history: History, instrument: Instrument) -> list[str]:
    return [interval for interval in _INTERVALS if history.wants_past(instrument.symbol, interval)]
