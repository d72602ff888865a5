"""What all sessions of a source share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from crypto_stream.feed.connection import Recorder
from crypto_stream.feed.handler import Instrument, Trade, Update
from crypto_stream.feed.judge import Judge
from crypto_stream.feed.names import Names
from crypto_stream.feed.sources import Source
from crypto_stream.market.book import SourceBook


class SessionConfig(NamedTuple):
    """Times in ns; `accepted` hears each event that the book took.

    `watched` is the venue's busy instrument, subscribed unpublished so that a calm set of pairs is no alarm.
    `look_again_ns`: after so long the first host is tried again where another gives only part.
    `on_status` hears what frames say of an instrument's trading: its symbol, and the venue's word. `now_ms`
    is our clock. `last_price` tells what the source last said of a symbol, before a restart too. `left_out`
    is what the source has no room for.
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
