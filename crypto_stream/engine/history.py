"""Opening of the history in the data directory, and of the clocks' state at the end of the previous run."""

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


def previous_anchor(settings: Settings) -> Anchor | None:
    """Return all clocks at the end of the engine's previous run; None if unknown."""
    try:
        _, reader = history_stores(settings.data_dir)
        return reader.anchor()
    except OSError:
        return None  # reported when the history is opened


def open_history(settings: Settings, symbols: Iterable[str], clock: EngineClock) -> History:
    """Open the history in the data directory; a corrupt database is moved aside.

    Raises SettingError if the directory cannot be used.
    """
    symbols = list(symbols)
    writer, _ = history_stores(settings.data_dir)
    writer.prepare()

    def create() -> History:
        _, reader = history_stores(settings.data_dir)
        return History(symbols, reader, BarWriter(writer, symbols, _keep_ms(settings)), clock)

    history = create()
    try:
        history.restore()
    except CorruptError as error:
        try:
            writer.move_aside(str(error))
        except UnusableError as unusable:
            raise SettingError(f"data_dir: {unusable}") from None
        history = create()
    except OSError as error:
        log.error("history cannot be read, starting without it", extra={"reason": str(error)})
        history = create()
    return history


def _keep_ms(settings: Settings) -> dict[str, int]:
    """Return how long the bars of each interval are kept; those without a limit are left out."""
    hours = {"1s": settings.keep_1s, "1m": settings.keep_1m, "1h": settings.keep_1h}
    return {interval: round(limit * _HOUR_MS) for interval, limit in hours.items() if limit}
