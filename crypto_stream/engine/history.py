"""The history as the engine runs it: what a start finds, opened."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from crypto_stream.errors import SettingError
from crypto_stream.history.history import History
from crypto_stream.history.writer import BarWriter
from crypto_stream.market.clock import Anchor, EngineClock
from crypto_stream.settings import Settings
from crypto_stream.storage.backends import history_stores
from crypto_stream.storage.interface import CorruptError, UnusableError

log = logging.getLogger(__name__)

_HOUR_MS = 3_600_000


def left_anchor(settings: Settings) -> Anchor | None:
    """Read what the clocks showed when an engine last lived; None where that is not known."""
    try:
        _, reader = history_stores(settings.data_dir)
        return reader.anchor()
    except OSError:
        return None  # what is wrong is said by who opens it to write


def open_history(settings: Settings, symbols: Iterable[str], clock: EngineClock) -> History:
    """Open what is kept in the data directory; what is corrupt is put aside.

    Raises SettingError when the directory cannot be used.
    """
    symbols = list(symbols)
    writer, _ = history_stores(settings.data_dir)
    writer.prepare()
    keep_ms = {
        interval: round(hours * _HOUR_MS)
        for interval, hours in {
            "1s": settings.keep_1s,
            "1m": settings.keep_1m,
            "1h": settings.keep_1h,
        }.items()
        if hours
    }

    def fresh() -> History:
        _, reader = history_stores(settings.data_dir)
        return History(symbols, reader, BarWriter(writer, symbols, keep_ms), clock)

    history = fresh()
    try:
        history.restore()
    except CorruptError as error:
        try:
            writer.put_aside(str(error))
        except UnusableError as unusable:
            raise SettingError(f"data_dir: {unusable}") from None
        history = fresh()
    except OSError as error:
        log.error("history cannot be read, begun without its past", extra={"reason": str(error)})
        history = fresh()
    return history
