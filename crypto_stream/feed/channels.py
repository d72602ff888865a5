"""Which channels of an instrument give nothing although others, or other venues, show that they should. Pure.

What a source owes of an instrument: the top of book, the trades, the 24 h figures. A channel that is silent
is quiet as long as nothing shows otherwise; nothing usable is silence, whatever the reason: no frames,
repeats, frames that cannot be read, trades that are too old for their bars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import ceil
from typing import NamedTuple

from crypto_stream.feed.facts import Limits
from crypto_stream.market.book import Entry
from crypto_stream.market.channels import LAG_NS, Channel

WHAT: Mapping[Channel, str] = {
    "top": "no top of book although it moves",
    "trades": "no trades although it is traded",
    "day": "no 24 h figures although it is traded",
}
# How bad it is: prices and bars first, figures of the day after.
HEAVY = 2
WEIGHT: Mapping[Channel, int] = {"top": HEAVY, "trades": HEAVY, "day": 1}
_DAY_TIMES = 3  # some venues give the 24 h figures every few seconds only
# Silence of so many usual pauses of another venue is no chance; more where our own figures show no trade.
_PAUSES, _MANY_PAUSES = 10, 30


class Lack(NamedTuple):
    """`source` gives no `channel` of `symbol` although it should, since `since_ns` (monotonic).

    `served`: it served the instrument when that was found.
    """

    source: str
    symbol: str
    channel: Channel
    since_ns: int
    served: bool = False


def _always() -> bool:
    return True


class Other(NamedTuple):
    """Another source that is live for the instrument, since `live_since_ns`.

    What it shows counts only where it is `comparable`, which takes long to find out and is asked last.
    """

    entry: Entry
    live_since_ns: int
    gives_trades: bool
    comparable: Callable[[], bool] = _always


def lacks(
    mine: Entry, others: Iterable[Other], now_ns: int, begun_ns: int, limits: Limits, owed: Iterable[Channel]
) -> dict[Channel, int]:
    """Map each of the `owed` channels that should have given something to the time of its last data.

    `begun_ns` is when the connection began: nothing can be missed from before. The `others` are gone through
    only where a channel needs them, perhaps twice.
    """
    found: dict[Channel, int] = {}
    for channel in owed:
        since_ns = max(mine.channels.last_ns(channel), begun_ns)
        if now_ns - since_ns >= limits.stale_after and _JUDGES[channel](
            mine, others, now_ns, since_ns, limits
        ):
            found[channel] = since_ns
    return found


def overdue(mine: Entry, now_ns: int, begun_ns: int, limits: Limits, owed: Iterable[Channel]) -> bool:
    """Say whether one of the `owed` channels is silent for so long that any event may show it to lack."""
    last_ns = mine.channels.last_ns
    return any(now_ns - max(last_ns(channel), begun_ns) >= limits.stale_after for channel in owed)


def turning_points(
    mine: Entry, pauses: Iterable[float], begun_ns: int, limits: Limits, owed: Iterable[Channel]
) -> Iterator[int]:
    """Tell the times, past ones too, at which what `lacks` says may change although nothing comes.

    `pauses` are the usual ones of all sources; one time too many does no harm.
    """
    channels = mine.channels
    for channel in owed:
        since_ns = max(channels.last_ns(channel), begun_ns)
        overdue_ns = since_ns + limits.stale_after
        yield overdue_ns
        if channel == "top":
            yield max(overdue_ns, channels.top_evidence_ns + LAG_NS)
        elif channel == "day":
            yield max(overdue_ns, channels.day_due_ns + _DAY_TIMES * limits.stale_after)
        else:
            yield max(overdue_ns, channels.trade_evidence_ns + LAG_NS)
            yield max(overdue_ns, since_ns + limits.quiet_after)
            for pause in pauses:
                yield max(overdue_ns, since_ns + ceil(_PAUSES * pause))
                yield max(overdue_ns, since_ns + ceil(_MANY_PAUSES * pause))


def _lacks_trades(mine: Entry, others: Iterable[Other], now_ns: int, since_ns: int, limits: Limits) -> bool:
    channels, after_ns = mine.channels, since_ns + LAG_NS
    if _is_shown(channels.trade_evidence_ns, since_ns, now_ns):
        return True
    shows_none = channels.shows_trades and channels.day_received_ns > after_ns
    silence, pauses = now_ns - since_ns, _MANY_PAUSES if shows_none else _PAUSES
    if shows_none and silence < limits.quiet_after:
        return False
    compared = shows_none
    for entry, live_since_ns, gives_trades, comparable in others:
        pause_ns, traded_ns = entry.channels.pause_ns, entry.channels.trades_ns
        # Trades at one price are calm: without a bar of them nobody misses anything.
        latest_ns = min(traded_ns, entry.moved_ns)
        if pause_ns is None or not gives_trades or latest_ns <= max(after_ns, live_since_ns + LAG_NS):
            continue
        if (long := silence >= pauses * pause_ns) or not compared:
            if not comparable():
                continue
            if long:
                return True
            compared = True
    # Where nobody can tell, a price that moves for long without a trade is none to make bars of.
    return not compared and silence >= limits.quiet_after and mine.moved_ns > after_ns


def _lacks_top(mine: Entry, others: Iterable[Other], now_ns: int, since_ns: int, limits: Limits) -> bool:
    channels, after_ns = mine.channels, since_ns + LAG_NS
    if _is_shown(channels.top_evidence_ns, since_ns, now_ns):
        return True
    if channels.shows_top and channels.day_received_ns > after_ns:
        return False
    return channels.trades_ns > after_ns and any(
        other.entry.moved_ns > max(after_ns, other.live_since_ns + LAG_NS) and other.comparable()
        for other in others
    )


def _lacks_day(mine: Entry, others: Iterable[Other], now_ns: int, since_ns: int, limits: Limits) -> bool:
    due_ns = mine.channels.day_due_ns
    return due_ns > since_ns and now_ns - due_ns >= _DAY_TIMES * limits.stale_after


def _is_shown(shown_ns: int, since_ns: int, now_ns: int) -> bool:
    """Say whether another channel showed what this one did not give, and has not given a moment later."""
    return shown_ns > since_ns and now_ns - shown_ns >= LAG_NS


_JUDGES: Mapping[Channel, Callable[[Entry, Iterable[Other], int, int, Limits], bool]] = {
    "top": _lacks_top,
    "trades": _lacks_trades,
    "day": _lacks_day,
}
