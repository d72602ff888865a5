"""Opening of the history, and of the clocks' state at the end of the previous run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from crypto_stream.errors import SettingError
from crypto_stream.history.history import History
from crypto_stream.history.writer import BarWriter
from crypto_stream.market.clock import Anchor, EngineClock
from crypto_stream.settings import Settings
from crypto_stream.storage.backends import make_stores
from crypto_stream.storage.interface import CorruptError, Stores, UnusableError

log = logging.getLogger(__name__)

_HOUR_MS = 3_600_000


def stores_of(settings: Settings) -> Stores:
    """Return the stores that the settings name; nothing is opened yet."""
    return make_stores(settings.database.get_secret_value(), settings.data_dir)


def previous_anchor(stores: Stores) -> Anchor | None:
    """Return all clocks at the end of the engine's previous run; None if unknown."""
    try:
        _, reader = stores.history()
        return reader.anchor()
    except OSError:
        return None  # reported when the history is opened


def open_history(
    settings: Settings,
    symbols: Iterable[str],
    clock: EngineClock,
    stores: Stores | None = None,
    covered: Mapping[str, int] = MappingProxyType({}),
) -> History:
    """Open the history in `stores`, by default those of the settings; a corrupt file is moved aside.

    `covered` is that of `History.restore`. Raises SettingError if the stores cannot be used.
    """
    symbols, stores = list(symbols), stores or stores_of(settings)
    writer, reader = stores.history()
    writer.prepare()

    def create() -> History:
        return History(symbols, reader, BarWriter(writer, symbols, _keep_ms(settings)), clock)

    history = create()
    try:
        history.restore(covered)
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
