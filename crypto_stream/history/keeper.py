"""The thread that writes the history, and what waits for it while the disk refuses."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle

from crypto_stream.market.bars import INTERVALS, Bar, Gap
from crypto_stream.storage.interface import EVERY, Batch, HistoryWriter

log = logging.getLogger(__name__)

# Bars that may wait: about 16 minutes of 100 instruments, 30 MB.
MOST_WAITING = 100_000
_RETRY_S = 1.0
_LOST = "the history could not be stored"


class Keeper:
    """Write batches in their order, on one thread.

    While the disk refuses, at most `MOST_WAITING` bars wait; then the oldest are lost: counted, and later
    kept as a gap of all instruments. `trouble` says why nothing is written, None while it is.
    """

    def __init__(
        self,
        writer: HistoryWriter,
        symbols: Sequence[str],
        keep_ms: Mapping[str, int],
        most: int = MOST_WAITING,
    ) -> None:
        """Write with `writer`; of each symbol and interval of `keep_ms` only the newest ms are kept."""
        self.trouble: str | None = None
        self.lost = 0
        self._writer = writer
        self._keep_ms = keep_ms
        self._prunes = cycle([(symbol, interval) for symbol in symbols for interval in keep_ms])
        self._most = most
        self._waiting: deque[Batch] = deque()
        self._bars = 0
        self._hole: Gap | None = None
        self._news = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Write what waits, for at most so long, and end."""
        with self._news:
            self._ending = True
            self._news.notify()
        self._thread.join(seconds)

    def put(self, batch: Batch) -> None:
        """Have the batch written; never waits for the disk."""
        with self._news:
            self._waiting.append(batch)
            self._bars += len(batch.bars)
            while self._bars > self._most and len(self._waiting) > 2:
                self._lose(self._waiting[1])  # the first may be in the writer's hands
                del self._waiting[1]
            self._news.notify()

    def waiting(self, symbol: str, interval: str) -> Iterator[Bar]:
        """Give the bars of a series that are not written yet, oldest first."""
        for batch in list(self._waiting):
            for of, kind, bar in batch.bars:
                if of == symbol and kind == interval:
                    yield bar

    def _lose(self, batch: Batch) -> None:
        self._bars -= len(batch.bars)
        self.lost += len(batch.bars)
        if batch.bars:
            first = min(bar.time for _, _, bar in batch.bars)
            last = max(bar.time + INTERVALS[interval] for _, interval, bar in batch.bars)
            hole = self._hole or Gap(first, last, _LOST)
            self._hole = Gap(min(hole.from_, first), max(hole.to or last, last), _LOST)

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            if self._write(batch):
                with self._news:
                    self._waiting.popleft()
                    self._bars -= len(batch.bars)
                self._prune()
            elif self._ending:
                break
            else:
                with self._news:
                    self._news.wait_for(lambda: self._ending, _RETRY_S)
        self._writer.close()

    def _next(self) -> Batch | None:
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._ending)
            return self._waiting[0] if self._waiting else None

    def _write(self, batch: Batch) -> bool:
        hole = self._hole
        if hole is not None:
            batch = batch._replace(gaps=[*batch.gaps, (EVERY, hole)])
        try:
            self._writer.write(batch)
        except OSError as error:
            if self.trouble is None:
                log.error("history cannot be stored", extra={"reason": str(error)})
            self.trouble = str(error)
            return False
        if hole is not None and self._hole is hole:
            self._hole = None
        if self.trouble is not None:
            log.info("history is stored again", extra={"waiting": len(self._waiting), "lost": self.lost})
            self.trouble = None
        return True

    def _prune(self) -> None:
        """Forget the old bars of one series; each has its turn."""
        try:
            symbol, interval = next(self._prunes, (None, None))
            if symbol is not None and interval is not None:
                self._writer.prune(symbol, interval, self._keep_ms[interval])
        except OSError as error:
            log.warning("old history cannot be removed", extra={"reason": str(error)})
