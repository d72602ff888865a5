"""What all sessions of a source have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from crypto_stream.feed.connection import Recorder
from crypto_stream.feed.handler import Instrument, Trade, Update
from crypto_stream.feed.judge import Judge
from crypto_stream.feed.names import Names
from crypto_stream.feed.sources import Source
from crypto_stream.market.book import SourceBook


class SessionConfig(NamedTuple):
    """The settings and collaborators of a session; also the `Running` that a generator's `events` gets.

    `accepted` is called with each event that the book took. `watched` is the venue's busy instrument, which
    is subscribed but not published, so that a calm set of pairs raises no alarm. `look_again_ns` is how long
    another host may give only part before the first one is tried again. `on_status` is called with a symbol
    and the venue's word for the status of its trading. `now_ms` is the engine's clock. `last_price` returns
    the last price the source gave of a symbol, before a restart too. `left_out` are the symbols that the
    source has no room for.
    """

    source: Source
    carried: Sequence[Instrument]
    watched: Sequence[Instrument]
    names: Names
    book: SourceBook
    judge: Judge
    counts: Counter[str]
    accepted: Callable[[Update | Trade], None]
    changed: Callable[[], None]
    seed: int | None
    last_price: Callable[[str], str | None]
    now_ms: Callable[[], int]
    stale_after_ns: int
    look_again_ns: int
    ack_ns: int
    connect_s: float
    recorder: Recorder | None
    left_out: Sequence[str] = ()
    on_status: Callable[[str, str], None] | None = None

    @property
    def options(self) -> Mapping[str, str]:
        """The handler's own settings."""
        return self.source.options
