"""The thread that writes the history, and what waits for it while the disk refuses."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import cycle

from crypto_stream.market.bars import INTERVALS, Bar, Gap
from crypto_stream.storage.interface import EVERY, Batch, HistoryWriter, Retention

log = logging.getLogger(__name__)

# Bars, gaps and batches that may wait: about 16 minutes of 100 instruments, 30 MB.
MOST_WAITING = 100_000
_RETRY_S = 1.0
_TIDY_EVERY_S = 5.0
_LOST = "the history could not be stored"


class WriterThread:
    """Write batches in their order, on one thread.

    While the disk refuses, at most `MOST_WAITING` bars wait; then the oldest are lost: counted, and later
    kept as a gap of all instruments. Of gaps a tenth as many outlive their batch, so that what began before
    the trouble is ended. `trouble` says why nothing is written, None while it is.
    """

    def __init__(
        self,
        writer: HistoryWriter,
        symbols: Sequence[str],
        keep_ms: Mapping[str, int],
        most: int = MOST_WAITING,
        retry_s: float = _RETRY_S,
        tidy_every_s: float = _TIDY_EVERY_S,
    ) -> None:
        """Write with `writer`; of each symbol and interval of `keep_ms` only the newest ms are kept."""
        self.trouble: str | None = None
        self.lost = 0
        self._writer = writer
        self._keep_ms = keep_ms
        self._prunes = cycle([(symbol, interval) for symbol in symbols for interval in keep_ms])
        self._most = most
        self._retry_s = retry_s
        self._tidy_every_s = tidy_every_s
        self._waiting: deque[Batch] = deque()
        self._weight = 0
        self._doubt: str | None = None
        self._hole: Gap | None = None
        self._news = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._over = threading.Event()
        self._tidier = threading.Thread(target=self._tidy_for_ever, name="history tidier", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()
        self._tidier.start()

    def stop(self, seconds: float) -> None:
        """Write what waits, for at most so long, and end."""
        with self._news:
            self._ending = True
            self._news.notify()
        self._over.set()
        self._thread.join(seconds)
        self._tidier.join(seconds)

    def put(self, batch: Batch) -> None:
        """Have the batch written; never waits for the disk."""
        with self._news:
            self._waiting.append(batch)
            self._weight += _weight(batch)
            while self._weight > self._most and len(self._waiting) > 2:
                self._lose_oldest()
            self._news.notify()

    @property
    def backlog(self) -> int:
        """Count the bars that wait for the disk."""
        with self._news:
            return sum(len(batch.bars) for batch in self._waiting)

    def doubt(self, reason: str) -> None:
        """Have the file looked at before the next batch: a reader found it corrupt."""
        self._doubt = reason

    def waiting(self, symbol: str, interval: str) -> list[Bar]:
        """Give the bars of a series that are not written yet, oldest first."""
        with self._news:
            batches = list(self._waiting)
        return [bar for batch in batches for of, kind, bar in batch.bars if of == symbol and kind == interval]

    def waiting_gaps(self, symbol: str) -> list[Gap]:
        """Give the gaps that are not written yet, a later state after an earlier one, and the lost bars."""
        with self._news:
            batches, hole = list(self._waiting), self._hole
        gaps = [gap for batch in batches for of, gap in batch.gaps if of == symbol]
        return gaps if hole is None else [*gaps, hole]

    def _lose_oldest(self) -> None:
        """Lose the bars of the second batch (the first may be in the writer's hands)."""
        lost, after = self._waiting[1], self._waiting[2]
        del self._waiting[1]
        most = self._most // 10
        kept = after._replace(
            gaps=[*lost.gaps, *after.gaps][-most:], asides=[*lost.asides, *after.asides][-most:]
        )
        self._waiting[1] = kept
        self._weight += _weight(kept) - _weight(after) - _weight(lost)
        self.lost += len(lost.bars)
        if lost.bars:
            first = min(bar.time for _, _, bar in lost.bars)
            last = max(bar.time + INTERVALS[interval] for _, interval, bar in lost.bars)
            hole = self._hole or Gap(first, last, _LOST)
            self._hole = Gap(min(hole.from_, first), max(hole.to or last, last), _LOST)

    def _run(self) -> None:
        try:
            while (batch := self._next()) is not None:
                if self._write(batch):
                    with self._news:
                        self._waiting.popleft()
                        self._weight -= _weight(batch)
                    self._prune(batch.retention)
                elif self._ending:
                    break
                else:
                    with self._news:
                        self._news.wait_for(lambda: self._ending, self._retry_s)
        except Exception:  # a fault of ours: prices go on, and this is said
            self.trouble = "the thread that writes has ended, see the log"
            log.exception("history is no longer stored")
        finally:
            self._writer.close()

    def _next(self) -> Batch | None:
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._ending)
            return self._waiting[0] if self._waiting else None

    def _write(self, batch: Batch) -> bool:
        with self._news:
            hole, doubt, self._doubt = self._hole, self._doubt, None
        if hole is not None:
            batch = batch._replace(gaps=[*batch.gaps, (EVERY, hole)])
        try:
            if doubt is not None:
                self._writer.check(doubt)
            self._writer.write(batch)
        except OSError as error:
            if self.trouble is None:
                log.error("history cannot be stored", extra={"reason": str(error)})
            self.trouble = str(error)
            return False
        with self._news:
            if self._hole is hole:
                self._hole = None
        if self.trouble is not None:
            log.info("history is stored again", extra={"waiting": len(self._waiting), "lost": self.lost})
            self.trouble = None
        return True

    def _tidy_for_ever(self) -> None:
        """Tidy beside the writing: a disk that takes seconds for it would else hold up new bars."""
        refused: str | None = None
        while not self._over.wait(self._tidy_every_s):
            try:
                self._writer.tidy()
                refused = None
            except OSError as error:
                if refused is None:
                    log.warning("history cannot be tidied, its log grows", extra={"reason": str(error)})
                refused = str(error)

    def _prune(self, by: Retention | None) -> None:
        """Forget the old bars of one series; each has its turn. That many go at once is said."""
        if by is None:
            return
        try:
            symbol, interval = next(self._prunes, (None, None))
            if symbol is None or interval is None:
                return
            many = self._writer.prune(symbol, interval, self._keep_ms[interval], by)
            if many:
                extra = {"symbol": symbol, "interval": interval, "bars": many, "before": by.now_ms}
                log.warning("a large share of old bars removed", extra=extra)
        except OSError as error:
            log.warning("old history cannot be removed", extra={"reason": str(error)})


def _weight(batch: Batch) -> int:
    return 1 + len(batch.bars) + len(batch.gaps) + len(batch.asides)
