"""All topics of the engine; a new one is one more line here, beside its line in `gateway/topics.py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from crypto_stream.engine import venues
from crypto_stream.engine.activity import Activity
from crypto_stream.engine.candles import Candles
from crypto_stream.engine.composition import Composition
from crypto_stream.engine.depth import DepthBooks, DepthTopic
from crypto_stream.engine.index import Indexes
from crypto_stream.engine.topics import Topic
from crypto_stream.engine.whole_topic import WholeTopic
from crypto_stream.history.history import History
from crypto_stream.market import best, index
from crypto_stream.market.best import Best
from crypto_stream.market.index import Index
from crypto_stream.market.status import Venues


def served_topics(
    feed: Composition,
    history: History,
    indexes: Indexes,
    activity: Activity,
    books: DepthBooks,
    *,
    epoch: str,
    seq: Callable[[], int],
) -> list[Topic]:
    """Create the topics; `epoch` and `seq` identify the data and its newest change."""
    chains, number = feed.failover.chains, activity.number
    quotes = venues.VenueQuotes(feed.failover, feed.loop.sources, feed.book, activity.prices).current
    prices = partial(_best, activity)
    return [
        WholeTopic[Venues]("venues", chains, current=quotes, number=number, without_ages=venues.without_ages),
        WholeTopic[Best]("best", chains, current=prices, number=number, without_ages=best.without_ages),
        WholeTopic[Index](
            "index", chains, current=indexes.current, number=number, without_ages=index.without_ages
        ),
        DepthTopic(books, chains),
        Candles(history, epoch, seq),
    ]


def _best(activity: Activity, symbol: str) -> Best:
    return best.best(activity.prices(symbol, time.monotonic_ns()))
