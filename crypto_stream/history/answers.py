"""Answers to questions about the history: each read in its turn, joined with the state of one moment."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from crypto_stream.history.queries import Plan, Question, plan
from crypto_stream.history.reader import Page, Present, first_times, read_page
from crypto_stream.history.reading import Reading
from crypto_stream.history.writer import BarWriter
from crypto_stream.log_throttle import TroubleLog
from crypto_stream.market.clock import EngineClock
from crypto_stream.storage.interface import CorruptError, HistoryReader

log = logging.getLogger(__name__)


class Answers:
    """Answer questions, and say once when the history cannot be read and once when it can be again."""

    def __init__(
        self,
        reader: HistoryReader,
        writer: BarWriter,
        clock: EngineClock,
        present: Callable[[str, Plan], Present],
    ) -> None:
        """Read what is on the disk; `present` gives what is not, of a symbol for what is planned."""
        self._reader = reader
        self._keeper = writer
        self._clock = clock
        self._present = present
        self._reading = Reading()
        self._trouble = TroubleLog(log, "history cannot be read", "history can be read again")

    async def ask(self, symbol: str, question: Question) -> Page:
        """Answer with the state of this moment; what closes while the disk is read is left out.

        Raises RefusedError for a question that cannot be, OSError when the history cannot be read.
        """
        try:
            page = await self._page(symbol, question)
        except OSError as error:
            if isinstance(error, CorruptError):
                self._keeper.doubt(str(error))
            self._trouble.fails(str(error))
            raise
        self._trouble.works()
        return page

    async def _page(self, symbol: str, question: Question) -> Page:
        find_first = partial(first_times, self._reader, symbol)
        first = await self._reading(lambda: find_first) if question.points else {}
        planned = plan(question, first, self._clock.now_ms())
        return await self._reading(
            lambda: partial(
                read_page, self._reader, symbol, question, planned, self._present(symbol, planned)
            )
        )
