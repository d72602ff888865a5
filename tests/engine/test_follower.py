"""An engine that follows keeps what it needs to lead, and nothing else."""

from __future__ import annotations

from crypto_stream.engine.composition import Composition
from crypto_stream.engine.follower import Follower
from crypto_stream.feed.failover import Change
from crypto_stream.market.choices import Chosen
from crypto_stream.market.events import Trade
from crypto_stream.market.instruments import pair
from tests.engine.test_composition import assembled

PAIR = "btcusdt"


def followed(*, follows: bool = True, max_trades: int = 100) -> tuple[Composition, Follower]:
    """Return a feed and who listens to it; nothing runs."""
    feed = assembled(sources="binance,okx,synthetic", pairs=PAIR)
    return feed, Follower(feed, follows=follows, max_trades=max_trades)


def served(feed: Composition, follower: Follower, source: str | None) -> None:
    """Let a source serve the pair."""
    before = feed.failover.serving[PAIR]
    feed.failover.serving[PAIR] = source
    follower.switched([Change(PAIR, before, source, "a test")])


def traded(feed: Composition, source: str, key: int) -> Trade:
    """Let a source deliver a trade."""
    trade = Trade(pair(PAIR), "trades", key, 1_700_000_000_000 + key, "1", "1")
    for listener in feed.accepted:
        listener(source, trade)
    return trade


def test_only_venues_are_connected() -> None:
    """What makes its own prices rests, unless this engine leads from the beginning."""
    follows, _ = followed()
    leads, _ = followed(follows=False)

    assert set(follows.loop.resting) == {"synthetic"}
    assert not leads.loop.resting
    assert not leads.accepted


def test_trades_of_the_serving_source_are_kept() -> None:
    """Those of the others are not; since when they are whole is known."""
    feed, follower = followed()
    traded(feed, "binance", 1)
    served(feed, follower, "binance")
    kept = [traded(feed, "binance", 2)]
    traded(feed, "okx", 3)
    served(feed, follower, "okx")
    kept.append(traded(feed, "okx", 4))
    covered = follower.covered()
    served(feed, follower, None)

    assert [heard.trade for heard in follower._trades] == kept
    assert list(covered) == [PAIR]
    assert abs(covered[PAIR] - feed.clock.now_ms()) < 60_000
    assert follower.covered() == {}


def test_of_a_flood_the_newest_are_kept() -> None:
    """And only the time of those is covered."""
    feed, follower = followed(max_trades=3)
    served(feed, follower, "binance")
    trades = [traded(feed, "binance", key) for key in range(5)]

    assert [heard.trade for heard in follower._trades] == trades[-3:]
    assert feed.clock.now_ms() - follower.covered()[PAIR] < 60_000


def test_a_pair_that_went_and_came_back_is_not_covered() -> None:
    """The trades in between are not known, so there must be a gap."""
    feed, follower = followed()
    served(feed, follower, "binance")
    before = set(follower.covered())
    feed.replace_pairs([Chosen(pair("ethusdt"))])
    feed.replace_pairs([Chosen(pair(PAIR)), Chosen(pair("ethusdt"))])

    assert before == {PAIR}
    assert follower.covered() == {}
    assert feed.failover.chains[PAIR] == ("binance", "okx")
