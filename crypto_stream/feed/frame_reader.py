"""Read a session's frames into events, and check the events before they are applied to the book."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

import msgspec

from crypto_stream.feed.handler import ARRIVAL, UNREADABLE, Event, Reading, Trade, Update
from crypto_stream.feed.session_config import SessionConfig
from crypto_stream.log_throttle import LogThrottle

log = logging.getLogger(__name__)

_SHOWN = 200  # characters of a malformed frame in the log
_MAX_CHANNELS = 100  # a bound, because the venue chooses the names
_LONGEST_NAME = 40


class FrameReader:
    """Read and count one session's frames; drop events that are implausible or were not subscribed.

    `symbols` are those that the session subscribed to. Every dropped frame and event is counted; only some
    are logged.
    """

    def __init__(self, config: SessionConfig, symbols: Collection[str]) -> None:
        self._config = config
        self._symbols = symbols
        self._arrivals = 0
        self._events_log = LogThrottle()
        self._frames_log = LogThrottle(every_s=1.0)

    def read(self, reader: Reading, frame: bytes) -> Sequence[Event]:
        """Return the events of a frame, and count it; a malformed one has none."""
        counts = self._config.counts
        try:
            events = list(reader.read(frame))
        except UNREADABLE as error:
            counts["malformed"] += 1
            self._log_malformed(frame, error)
            return ()
        channel = events[0].channel if events else "empty"
        if type(channel) is str and channel in counts:
            counts[channel] += 1
        else:
            channel = str(channel)[:_LONGEST_NAME]
            counts[channel if channel in counts or len(counts) < _MAX_CHANNELS else "other"] += 1
        return events

    def checked(self, event: Update | Trade, received_ns: int, now_ms: int) -> Update | Trade | None:
        """Return what may be applied to the book, perhaps without its price; None if nothing."""
        config = self._config
        if event.instrument.symbol not in self._symbols:
            config.book.dropped["not_subscribed"] += 1  # otherwise a venue could fill our memory
            return None
        if event.key == ARRIVAL:
            self._arrivals = max(self._arrivals + 1, received_ns)
            event = msgspec.structs.replace(event, key=self._arrivals)
        allowed = config.validator.allow(event, now_ms, received_ns)
        if allowed is None:
            self._log_dropped(event)
        return allowed

    def _log_dropped(self, event: Update | Trade) -> None:
        if self._events_log.due("event"):
            extra = {"source": self._config.source.name, "dropped": dict(self._config.book.dropped)}
            log.warning("implausible event dropped", extra={**extra, "event": str(event)[:_SHOWN]})

    def _log_malformed(self, frame: bytes, error: Exception) -> None:
        if self._frames_log.due("frame"):
            shown = frame[: 4 * _SHOWN].decode("utf-8", "replace")[:_SHOWN]
            extra = {"source": self._config.source.name, "reason": str(error), "frame": shown}
            log.warning("malformed frame", extra={**extra, "so_far": self._config.counts["malformed"]})
