"""Answers to what gateways ask of the history, and the wait for one that comes later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from crypto_stream.bus.messages import GetHistory, HistoryPage, Sparks
from crypto_stream.errors import RefusedError
from crypto_stream.history.history import History
from crypto_stream.history.queries import Question
from crypto_stream.market.bars import INTERVALS


async def page(history: History, ask: GetHistory, epoch: str, seq: int) -> HistoryPage:
    """Read one page of bars; it may show more than the state `seq`, never less."""
    question = Question(ask.interval, ask.points, ask.from_ms, ask.to_ms, ask.limit)
    try:
        found = await history.ask(ask.symbol, question)
    except OSError:
        raise RefusedError("history_unavailable", "the history cannot be read now; prices go on") from None
    return HistoryPage(
        *(ask.symbol, found.interval, INTERVALS[found.interval], epoch, seq),
        *(found.older, found.newer, found.bars, found.gaps),
    )


def sparks(history: History, epoch: str, seq: int) -> Sparks:
    """Give the course of each instrument's last minutes."""
    courses = {symbol: history.recent.spark(symbol) for symbol in history.series}
    return Sparks(epoch, seq, INTERVALS["1m"], courses)


async def later(begin: Callable[[Callable[[Any], None], Callable[[RefusedError], None]], None]) -> Any:
    """Begin what calls back when it is done or refused, and wait for that."""
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def done(value: Any) -> None:
        if not answer.done():
            answer.set_result(value)

    def refuse(error: RefusedError) -> None:
        if not answer.done():
            answer.set_exception(error)

    begin(done, refuse)
    return await answer
