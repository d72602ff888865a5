"""Which channels of an instrument are missing, judged for every instrument in each round. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from crypto_stream.feed.facts import Facts, FailoverTimes
from crypto_stream.feed.missing_channels import MissingChannel
from crypto_stream.market.book import Book, Entry
from crypto_stream.market.channels import CHANNELS, LAG_NS, Channel

DESCRIPTIONS: Mapping[Channel, str] = {
    "top": "no top of book although it moves",
    "trades": "no trades although it is traded",
    "day": "no 24 h figures although it is traded",
}
# How bad it is: prices and bars first, figures of the day after.
MAJOR = 2
_WEIGHT: Mapping[Channel, int] = {"top": MAJOR, "trades": MAJOR, "day": 1}
_LOOKS = 5  # in the time after which a silent channel may be called so
_DAY_TIMES = 3  # some venues give the 24 h figures every few seconds only
# Silence of so many usual pauses of another venue is no chance; more where our own figures show no trade.
_PAUSES, _MANY_PAUSES = 10, 30


class OtherSource(NamedTuple):
    """Another source that is live for the instrument, since `live_since_ns`."""

    entry: Entry
    live_since_ns: int
    gives_trades: bool


def missing_channels(
    mine: Entry,
    others: Sequence[OtherSource],
    now_ns: int,
    begun_ns: int,
    limits: FailoverTimes,
    owed: Iterable[Channel],
) -> dict[Channel, int]:
    """Map each missing channel among the `owed` ones to the time of its last data.

    `begun_ns` is when the connection began: nothing earlier can be missed.
    """
    found: dict[Channel, int] = {}
    for channel in owed:
        since_ns = max(mine.channels.last_ns(channel), begun_ns)
        if now_ns - since_ns >= limits.stale_after_ns and _CHECKS[channel](
            mine, others, now_ns, since_ns, limits
        ):
            found[channel] = since_ns
    return found


class ChannelWatch:
    """Finds missing channels; `missing` maps (source, symbol) to each one and since when."""

    def __init__(self, book: Book, limits: FailoverTimes) -> None:
        """Start with nothing missing."""
        self.missing: dict[tuple[str, str], dict[Channel, int]] = {}
        self._book = book
        self._limits = limits
        self._found_ns: dict[tuple[str, str, Channel], int] = {}
        self._looked_ns: int | None = None

    def severity(self, source: str, symbol: str) -> int:
        """Return how serious the missing channels are; 0 if none is missing."""
        return sum(_WEIGHT[channel] for channel in self.missing.get((source, symbol), ()))

    def since(self, source: str, symbol: str, channel: Channel) -> int | None:
        """Return since when a channel has been missing; None if it is not."""
        return self.missing.get((source, symbol), {}).get(channel)

    def describe(self, source: str, symbol: str) -> str | None:
        """Return which channels are missing, in words; None if none is."""
        found = self.missing.get((source, symbol))
        return ", ".join(DESCRIPTIONS[channel] for channel in CHANNELS if channel in found) if found else None

    def descriptions(self, source: str) -> dict[str, str]:
        """Return which channels of which symbols a source does not deliver, in words."""
        return {symbol: self.describe(of, symbol) or "" for of, symbol in self.missing if of == source}

    def clear_resumed(self, facts: Facts) -> dict[tuple[str, str], int]:
        """Remove channels that delivered data since, or whose source has reconnected.

        Returns, for each source with no missing channel left, when it delivered that data.
        """
        whole: dict[tuple[str, str], int] = {}
        for key, found in list(self.missing.items()):
            source, symbol = key
            entry, begun_ns = self._book.entry(source, symbol), facts[source].of(symbol).unbroken_since_ns
            for channel in list(found):
                noticed_ns = self._found_ns[*key, channel]
                given_ns = entry.channels.last_ns(channel) if entry else 0
                if given_ns > noticed_ns or begun_ns > noticed_ns:
                    del found[channel], self._found_ns[*key, channel]
                    whole[key] = max(given_ns, whole.get(key, 0))
            if not found:
                del self.missing[key]
        return {key: given_ns for key, given_ns in whole.items() if key not in self.missing}

    def check(
        self,
        now_ns: int,
        chains: Mapping[str, Sequence[str]],
        facts: Facts,
        is_live: Callable[[str, str], bool],
        comparable: Callable[[str, str, str], bool],
    ) -> list[MissingChannel]:
        """Judge every channel of every live source, a few times per `stale_after`; return what is new.

        `comparable(symbol, source, other)` returns whether two sources may be the same coin.
        """
        looked_ns = self._looked_ns
        if looked_ns is not None and now_ns - looked_ns < self._limits.stale_after_ns // _LOOKS:
            return []
        self._looked_ns = now_ns
        news: list[MissingChannel] = []
        for symbol, chain in chains.items():
            live = {
                name: entry
                for name in chain
                if is_live(name, symbol) and (entry := self._book.entry(name, symbol)) is not None
            }
            for name, entry in live.items():
                others = [
                    OtherSource(
                        live[other],
                        facts[other].of(symbol).live_since_ns,
                        self.since(other, symbol, "trades") is None,
                    )
                    for other in live
                    if other != name and comparable(symbol, name, other)
                ]
                begun_ns = facts[name].of(symbol).unbroken_since_ns
                owed = self._owed(name, entry)
                for channel, since_ns in missing_channels(
                    entry, others, now_ns, begun_ns, self._limits, owed
                ).items():
                    if self.since(name, symbol, channel) is None:
                        self.missing.setdefault((name, symbol), {})[channel] = since_ns
                        self._found_ns[name, symbol, channel] = now_ns
                        news.append(MissingChannel(name, symbol, channel, since_ns))
        return news

    def _owed(self, source: str, entry: Entry) -> set[Channel]:
        """Return the channels that are expected of a source: trades, and all that it ever delivered.

        They are computed before the round, so that all instruments are judged by the same ones.
        """
        entries = self._book.of(source).entries.values()
        given = {channel for each in entries for channel in CHANNELS if each.channels.last_ns(channel)}
        return {"trades", *given}


def _lacks_trades(
    mine: Entry, others: Sequence[OtherSource], now_ns: int, since_ns: int, limits: FailoverTimes
) -> bool:
    channels, after_ns = mine.channels, since_ns + LAG_NS
    if _is_shown(channels.trade_evidence_ns, since_ns, now_ns):
        return True
    shows_none = channels.shows_trades and channels.day_received_ns > after_ns
    silence, pauses = now_ns - since_ns, _MANY_PAUSES if shows_none else _PAUSES
    if shows_none and silence < limits.quiet_after_ns:
        return False
    compared = shows_none
    for entry, live_since_ns, gives_trades in others:
        pause_ns, traded_ns = entry.channels.pause_ns, entry.channels.trades_ns
        # Trades at one price are calm: without a bar of them nobody misses anything.
        latest_ns = min(traded_ns, entry.moved_ns)
        if pause_ns is None or not gives_trades or latest_ns <= max(after_ns, live_since_ns + LAG_NS):
            continue
        if silence >= pauses * pause_ns:
            return True
        compared = True
    # Where nobody can tell, a price that moves for long without a trade is none to make bars of.
    return not compared and silence >= limits.quiet_after_ns and mine.moved_ns > after_ns


def _lacks_top(
    mine: Entry, others: Sequence[OtherSource], now_ns: int, since_ns: int, limits: FailoverTimes
) -> bool:
    channels, after_ns = mine.channels, since_ns + LAG_NS
    if _is_shown(channels.top_evidence_ns, since_ns, now_ns):
        return True
    if channels.shows_top and channels.day_received_ns > after_ns:
        return False
    return channels.trades_ns > after_ns and any(
        entry.moved_ns > max(after_ns, live_since_ns + LAG_NS) for entry, live_since_ns, _ in others
    )


def _lacks_day(
    mine: Entry, others: Sequence[OtherSource], now_ns: int, since_ns: int, limits: FailoverTimes
) -> bool:
    due_ns = mine.channels.day_due_ns
    return due_ns > since_ns and now_ns - due_ns >= _DAY_TIMES * limits.stale_after_ns


def _is_shown(shown_ns: int, since_ns: int, now_ns: int) -> bool:
    """Return whether another channel showed data that this one did not deliver, even a moment later."""
    return shown_ns > since_ns and now_ns - shown_ns >= LAG_NS


_CHECKS: Mapping[Channel, Callable[[Entry, Sequence[OtherSource], int, int, FailoverTimes], bool]] = {
    "top": _lacks_top,
    "trades": _lacks_trades,
    "day": _lacks_day,
}
