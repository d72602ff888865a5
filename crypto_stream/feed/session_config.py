"""The configuration that all sessions of a source share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from crypto_stream.feed.connection import Recorder
from crypto_stream.feed.handler import Instrument, Listed, Trade, Update
from crypto_stream.feed.names import Names
from crypto_stream.feed.sources import Source
from crypto_stream.feed.validator import EventValidator
from crypto_stream.market.book import SourceBook


class SessionConfig(NamedTuple):
    """The settings and collaborators of a session; also the `Running` that a generator's `events` receives.

    - `carried` are the instruments of this connection, by symbol; they change while it runs

    - `accepted` is called with each event that the book accepted
    - `watched` is the venue's busy instrument: subscribed, but not published, to distinguish a quiet set of
      pairs from a silent venue
    - `first_host_retry_ns` is how long another host may be incomplete before the first one is tried again
    - `on_list` is called with the venue's complete list if it arrives over a connection
    - `on_status` is called with symbols, the venue's word for their trading status, and whether that is the
      status of the whole venue
    - `now_ms` is the engine's clock
    - `last_price` returns the source's last price of a symbol, from before a restart too
    - `left_out` are the symbols beyond the source's capacity
    """

    source: Source
    carried: dict[str, Instrument]
    watched: dict[str, Instrument]
    names: Names
    book: SourceBook
    validator: EventValidator
    counts: Counter[str]
    accepted: Callable[[Update | Trade], None]
    changed: Callable[[], None]
    seed: int | None
    last_price: Callable[[str], str | None]
    now_ms: Callable[[], int]
    stale_after_ns: int
    first_host_retry_ns: int
    ack_ns: int
    connect_s: float
    recorder: Recorder | None
    left_out: Sequence[str] = ()
    on_status: Callable[[Sequence[str], str, bool], None] | None = None
    on_list: Callable[[Sequence[Listed]], None] | None = None

    @property
    def options(self) -> Mapping[str, str]:
        """The handler's own settings."""
        return self.source.options
