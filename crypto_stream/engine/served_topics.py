"""All topics of the engine; a new one is one more line here, beside its line in `gateway/topics.py`."""

from __future__ import annotations

import time
from collections.abc import Callable

from crypto_stream.engine import venues
from crypto_stream.engine.candles import Candles
from crypto_stream.engine.composition import Composition
from crypto_stream.engine.index import Indexes
from crypto_stream.engine.topics import Topic
from crypto_stream.engine.whole_topic import WholeTopic
from crypto_stream.history.history import History
from crypto_stream.market import best, index


def served_topics(
    feed: Composition, history: History, indexes: Indexes, *, epoch: str, seq: Callable[[], int]
) -> list[Topic]:
    """Create the topics; `epoch` and `seq` identify the data and its newest change."""
    chains = feed.failover.chains
    quotes = venues.VenueQuotes(feed.failover, feed.loop.sources, feed.book, feed.live_prices)
    return [
        WholeTopic("venues", chains, quotes.current, venues.without_ages),
        WholeTopic("best", chains, lambda symbol: _best(feed, symbol), best.without_ages),
        WholeTopic("index", chains, indexes.current, index.without_ages),
        Candles(history, epoch, seq),
    ]


def _best(feed: Composition, symbol: str) -> best.Best:
    return best.best(feed.live_prices.of(symbol, time.monotonic_ns()))
