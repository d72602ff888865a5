"""Answers to gateways' requests for history, and awaiting an answer that arrives by callback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Any

from crypto_stream.bus.codec import encode_value
from crypto_stream.bus.messages import GetHistory, HistoryPage, SparkParts
from crypto_stream.errors import RefusedError
from crypto_stream.history.history import History
from crypto_stream.history.queries import HistoryQuery
from crypto_stream.market.bars import INTERVALS

# Sparklines made in one piece: about half a millisecond.
_LINES_AT_ONCE = 25


async def page(history: History, request: GetHistory, epoch: str, seq: int) -> HistoryPage:
    """Read one page of bars; it includes at least everything up to `seq`."""
    question = HistoryQuery(request.interval, request.points, request.from_ms, request.to_ms, request.limit)
    try:
        found = await history.query(request.symbol, question)
    except OSError:
        raise RefusedError(
            "history_unavailable", "the history cannot be read now; prices are not affected"
        ) from None
    return HistoryPage(
        symbol=request.symbol,
        interval=found.interval,
        interval_ms=INTERVALS[found.interval],
        epoch=epoch,
        seq=seq,
        older=found.older,
        newer=found.newer,
        bars=found.bars,
        gaps=found.gaps,
    )


async def sparks(history: History, epoch: str, seq: int) -> SparkParts:
    """Make the sparkline of every instrument, a few at a time, between which prices pass.

    They include at least everything up to `seq`; instruments may be removed meanwhile.
    """
    lines = {}
    symbols = iter(list(history.recent.symbols))
    while some := list(islice(symbols, _LINES_AT_ONCE)):
        for symbol in some:
            if symbol in history.series:
                lines[symbol] = encode_value(history.recent.spark(symbol))
        await asyncio.sleep(0)
    return SparkParts(epoch, seq, INTERVALS["1m"], lines)


async def from_callbacks(
    begin: Callable[[Callable[[Any], None], Callable[[RefusedError], None]], None],
) -> Any:
    """Call `begin(done, refuse)` and await the value passed to `done` or the error passed to `refuse`."""
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def done(value: Any) -> None:
        if not answer.done():
            answer.set_result(value)

    def refuse(error: RefusedError) -> None:
        if not answer.done():
            answer.set_exception(error)

    begin(done, refuse)
    return await answer
