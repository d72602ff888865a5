"""Writes the history, and bounds what is queued while the disk does not accept writes."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from crypto_stream.backoff import Backoff
from crypto_stream.log_throttle import TroubleLog
from crypto_stream.market.bars import INTERVALS, Bar, Gap
from crypto_stream.storage.interface import ALL_SYMBOLS, Batch, HistoryWriter, Retention
from crypto_stream.storage.writer_thread import WriterThread

log = logging.getLogger(__name__)

# Queued bars, gaps and batches: about 16 minutes of 100 instruments, 30 MB.
MAX_QUEUED = 100_000
_RETRY_S = 1.0
_TIDY_EVERY_S = 5.0
_LOST = "the history could not be stored"


class BarWriter:
    """Write batches of bars and gaps in order, each in one transaction.

    While writing fails, at most `MAX_QUEUED` bars are queued; then the oldest are dropped, counted, and later
    stored as gaps of all instruments. A tenth as many gaps are retained from dropped batches, so that gaps
    which began earlier can end.
    """

    def __init__(
        self,
        store: HistoryWriter,
        symbols: Sequence[str],
        keep_ms: Mapping[str, int],
        max_queued: int = MAX_QUEUED,
        retry_s: float = _RETRY_S,
        tidy_every_s: float = _TIDY_EVERY_S,
    ) -> None:
        """Write to `store`; `keep_ms` maps intervals to how long their bars are retained."""
        self.lost = 0
        self._store = store
        self._keep_ms = keep_ms
        self._known: set[str] = set()
        self._prunes: deque[tuple[str, str]] = deque()  # the series in turn; used by both threads
        for symbol in symbols:
            self.add(symbol)
        self._max_queued = max_queued
        self._tidy_every_s = tidy_every_s
        self._suspicion: str | None = None
        self._log = TroubleLog(
            log, "history cannot be stored", "history is stored again", level=logging.ERROR
        )
        self._thread = WriterThread(
            self, "history", max_queued, Backoff(retry_s, retry_s), weigh=_weight, merge=self._merge
        )
        self._over = threading.Event()
        self._tidier = threading.Thread(target=self._tidy_until_stopped, name="history tidier", daemon=True)

    def start(self) -> None:
        """Start writing."""
        self._thread.start()
        self._tidier.start()

    def stop(self, seconds: float) -> None:
        """Write what is queued, for at most `seconds`, and stop."""
        self._over.set()
        self._thread.stop(seconds)
        self._tidier.join(seconds)

    def add(self, symbol: str) -> None:
        """Remove the old bars of one more instrument, too; even if it is removed, since its bars remain."""
        if symbol not in self._known:
            self._known.add(symbol)
            self._prunes.extend((symbol, interval) for interval in self._keep_ms)

    def put(self, batch: Batch) -> None:
        """Queue a batch; never waits for the disk."""
        self._thread.put(batch)

    @property
    def trouble(self) -> str | None:
        """Why writing fails; None while it works."""
        return self._thread.trouble

    @property
    def backlog(self) -> int:
        """The number of queued bars."""
        return sum(len(batch.bars) for batch in self._thread.waiting())

    def check_later(self, reason: str) -> None:
        """Have the file checked before the next batch, because a reader found it corrupt."""
        self._suspicion = reason

    def waiting(self, symbol: str, interval: str) -> list[Bar]:
        """Return the bars of a series that are not written yet, oldest first."""
        batches = self._thread.waiting()
        return [bar for batch in batches for of, kind, bar in batch.bars if of == symbol and kind == interval]

    def waiting_gaps(self, symbol: str) -> list[Gap]:
        """Return the gaps not written yet, a later state after an earlier one, and those of lost bars."""
        batches = self._thread.waiting()
        return [gap for batch in batches for of, gap in batch.gaps if of in (symbol, ALL_SYMBOLS)]

    # The methods called by the writer thread.

    def open(self) -> None:
        """Do nothing: the store opens itself when needed."""

    def batch(self, waiting: Iterable[Batch]) -> list[Batch]:
        """Write each batch alone: it contains what closed within a quarter of a second."""
        return list(islice(waiting, 1))

    def write(self, batch: list[Batch]) -> bool:
        """Write a batch, then remove old bars of one series."""
        for one in batch:
            self._write(one)
            self._prune(one.retention)
        return bool(batch)

    def failed(self, error: OSError, *, fatal: bool) -> bool:
        """Always retry: an operator may fix the problem, and a corrupt file is moved aside."""
        self._log.fails(str(error))
        return True

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def _write(self, batch: Batch) -> None:
        doubt, self._suspicion = self._suspicion, None
        if doubt is not None:
            self._store.check(doubt)
        self._store.write(batch)
        self._log.works(waiting=len(self._thread), lost=self.lost)

    def _merge(self, older: Batch, newer: Batch) -> Batch:
        """Drop the bars of the older batch, and merge the rest into the newer one.

        The gap of lost bars belongs to the batch that follows them: while an earlier one is being written, it
        is not known yet whether its bars will be lost, too.
        """
        self.lost += len(older.bars)
        gaps = [*older.gaps, *newer.gaps]
        times = [gap.from_ for symbol, gap in gaps if symbol == ALL_SYMBOLS]
        times += [gap.to or gap.from_ for symbol, gap in gaps if symbol == ALL_SYMBOLS]
        for _, interval, bar in older.bars:
            times += (bar.time, bar.time + INTERVALS[interval])
        kept = [(symbol, gap) for symbol, gap in gaps if symbol != ALL_SYMBOLS]
        lost = [(ALL_SYMBOLS, Gap(min(times), max(times), _LOST))] if times else []
        max_queued = self._max_queued // 10
        return newer._replace(
            gaps=[*kept[-max_queued:], *lost],
            set_asides=[*older.set_asides, *newer.set_asides][-max_queued:],
            anchor=newer.anchor or older.anchor,
        )

    def _tidy_until_stopped(self) -> None:
        """Tidy on a thread of its own: it may take seconds, and would delay new bars."""
        trouble = TroubleLog(log, "history cannot be tidied, its log grows")
        while not self._over.wait(self._tidy_every_s):
            try:
                self._store.tidy()
                trouble.works()
            except OSError as error:
                trouble.fails(str(error))

    def _prune(self, by: Retention | None) -> None:
        """Remove the old bars of one series, each series in turn; log if many are removed at once."""
        if by is None or not self._prunes:
            return
        symbol, interval = self._prunes[0]
        self._prunes.rotate(-1)
        try:
            many = self._store.prune(symbol, interval, self._keep_ms[interval], by)
        except OSError as error:
            log.warning("old history cannot be removed", extra={"reason": str(error)})
            return
        if many:
            extra = {"symbol": symbol, "interval": interval, "bars": many, "before": by.now_ms}
            log.warning("a large share of old bars removed", extra=extra)


def _weight(batch: Batch) -> int:
    return 1 + len(batch.bars) + len(batch.gaps) + len(batch.set_asides)
