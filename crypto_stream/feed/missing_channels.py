"""Which channels of an instrument are missing: silent although other channels or venues show activity. Pure.

The channels are the top of book, the trades and the 24 h figures. A silent channel is considered quiet until
there is evidence that it is missing. Silence means that no usable data arrived, whatever the reason: no
frames, repeated or unreadable ones, trades that are too old for their bars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import ceil
from typing import NamedTuple

from crypto_stream.feed.facts import FailoverTimes
from crypto_stream.market.book import Entry
from crypto_stream.market.channels import LAG_NS, Channel

DESCRIPTIONS: Mapping[Channel, str] = {
    "top": "no top of book although it moves",
    "trades": "no trades although it is traded",
    "day": "no 24 h figures although it is traded",
}
# How serious it is: prices and bars count more than the 24 h figures.
MAJOR = 2
SEVERITY: Mapping[Channel, int] = {"top": MAJOR, "trades": MAJOR, "day": 1}
_DAY_FACTOR = 3  # some venues send the 24 h figures only every few seconds
# Silence for this many of another venue's usual pauses is no coincidence; more if our own 24 h figures show
# no trade.
_PAUSES, _MANY_PAUSES = 10, 30


class MissingChannel(NamedTuple):
    """A `channel` of `symbol` that `source` has not delivered since `since_ns` (monotonic).

    `served`: the source served the instrument when this was found.
    """

    source: str
    symbol: str
    channel: Channel
    since_ns: int
    served: bool = False


def _comparable() -> bool:
    return True


class OtherSource(NamedTuple):
    """Another source that is live for the instrument, since `live_since_ns`.

    It is evidence only if it is `comparable`; that is expensive to find out, so it is called last.
    """

    entry: Entry
    live_since_ns: int
    gives_trades: bool
    comparable: Callable[[], bool] = _comparable


def missing_channels(
    mine: Entry,
    others: Iterable[OtherSource],
    now_ns: int,
    begun_ns: int,
    limits: FailoverTimes,
    expected: Iterable[Channel],
) -> dict[Channel, int]:
    """Map each missing channel among the `expected` ones to the time of its last data.

    `begun_ns` is when the connection began: nothing earlier can be missed. The `others` are iterated only if
    a channel needs them, perhaps twice.
    """
    found: dict[Channel, int] = {}
    for channel in expected:
        since_ns = max(mine.channels.last_ns(channel), begun_ns)
        if now_ns - since_ns >= limits.stale_after_ns and _CHECKS[channel](
            mine, others, now_ns, since_ns, limits
        ):
            found[channel] = since_ns
    return found


def overdue(
    mine: Entry, now_ns: int, begun_ns: int, limits: FailoverTimes, expected: Iterable[Channel]
) -> bool:
    """Return whether an `expected` channel is silent for so long that any event may show it to be missing."""
    last_ns = mine.channels.last_ns
    return any(now_ns - max(last_ns(channel), begun_ns) >= limits.stale_after_ns for channel in expected)


def recheck_times(
    mine: Entry, pauses: Iterable[float], begun_ns: int, limits: FailoverTimes, expected: Iterable[Channel]
) -> Iterator[int]:
    """Yield the times, past ones too, at which `missing_channels` may change although no data arrives.

    `pauses` are the usual pauses between trades at all sources; superfluous times do no harm.
    """
    channels = mine.channels
    for channel in expected:
        since_ns = max(channels.last_ns(channel), begun_ns)
        overdue_ns = since_ns + limits.stale_after_ns
        yield overdue_ns
        if channel == "top":
            yield max(overdue_ns, channels.top_evidence_ns + LAG_NS)
        elif channel == "day":
            yield max(overdue_ns, channels.day_due_ns + _DAY_FACTOR * limits.stale_after_ns)
        else:
            yield max(overdue_ns, channels.trade_evidence_ns + LAG_NS)
            yield max(overdue_ns, since_ns + limits.quiet_after_ns)
            for pause in pauses:
                yield max(overdue_ns, since_ns + ceil(_PAUSES * pause))
                yield max(overdue_ns, since_ns + ceil(_MANY_PAUSES * pause))


def _missing_trades(
    mine: Entry, others: Iterable[OtherSource], now_ns: int, since_ns: int, limits: FailoverTimes
) -> bool:
    channels, after_ns = mine.channels, since_ns + LAG_NS
    if _is_shown(channels.trade_evidence_ns, since_ns, now_ns):
        return True
    shows_none = channels.shows_trades and channels.day_received_ns > after_ns
    silence, pauses = now_ns - since_ns, _MANY_PAUSES if shows_none else _PAUSES
    if shows_none and silence < limits.quiet_after_ns:
        return False
    compared = shows_none
    for entry, live_since_ns, gives_trades, comparable in others:
        pause_ns, traded_ns = entry.channels.pause_ns, entry.channels.trades_ns
        # Trades at an unchanged price do not count: nothing would be missing from the bars.
        latest_ns = min(traded_ns, entry.moved_ns)
        if pause_ns is None or not gives_trades or latest_ns <= max(after_ns, live_since_ns + LAG_NS):
            continue
        if (long := silence >= pauses * pause_ns) or not compared:
            if not comparable():
                continue
            if long:
                return True
            compared = True
    # Without evidence from others, a price that has moved for long without a trade is no basis for bars.
    return not compared and silence >= limits.quiet_after_ns and mine.moved_ns > after_ns


def _missing_top(
    mine: Entry, others: Iterable[OtherSource], now_ns: int, since_ns: int, limits: FailoverTimes
) -> bool:
    channels, after_ns = mine.channels, since_ns + LAG_NS
    if _is_shown(channels.top_evidence_ns, since_ns, now_ns):
        return True
    if channels.shows_top and channels.day_received_ns > after_ns:
        return False
    return channels.trades_ns > after_ns and any(
        other.entry.moved_ns > max(after_ns, other.live_since_ns + LAG_NS) and other.comparable()
        for other in others
    )


def _missing_day(
    mine: Entry, others: Iterable[OtherSource], now_ns: int, since_ns: int, limits: FailoverTimes
) -> bool:
    due_ns = mine.channels.day_due_ns
    return due_ns > since_ns and now_ns - due_ns >= _DAY_FACTOR * limits.stale_after_ns


def _is_shown(shown_ns: int, since_ns: int, now_ns: int) -> bool:
    """Return whether another channel showed data that this one did not deliver, even a moment later."""
    return shown_ns > since_ns and now_ns - shown_ns >= LAG_NS


_CHECKS: Mapping[Channel, Callable[[Entry, Iterable[OtherSource], int, int, FailoverTimes], bool]] = {
    "top": _missing_top,
    "trades": _missing_trades,
    "day": _missing_day,
}
