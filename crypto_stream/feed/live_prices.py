"""The prices of an instrument at all sources that are live for it, judged as failover does. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crypto_stream.feed.facts import Facts, FailoverTimes
from crypto_stream.feed.failover import Failover
from crypto_stream.market.book import Book, Entry
from crypto_stream.market.prices import (
    LeftOut,
    Prices,
    SourcePrices,
    far_from_median,
    only_side,
    priced,
    rough,
)

NOT_LIVE = "not live"
SILENT = "silent for too long"
# Of fewer prices the median says nothing about which one is wrong.
_MAJORITY = 3


class LivePrices:
    """Which sources' prices count, whether or not they serve.

    A source is left out if failover would not let it serve: it is not live for the instrument, its venue has
    halted it, the guard holds it back, or it is silent as no serving source may be. So is one, even if it
    serves, whose price is further than the guard allows from the median of three or more, or whose bid is, if
    it has no ask, or whose ask, if it has no bid: its last trade may be right nevertheless. A channel that is
    missing is left out, too, as is a last trade received more than `quiet_after` ago: a top of book stays
    true while nothing happens, but a trade is no offer. The pin is ignored: it decides who serves, not who
    is live.
    """

    def __init__(self, failover: Failover, book: Book, facts: Facts, limits: FailoverTimes) -> None:
        self._failover = failover
        self._book = book
        self._facts = facts
        self._limits = limits
        self._allowed = failover.guard.percent

    def of(self, symbol: str, now_ns: int) -> Prices:
        """Return the prices of `symbol` at the sources of its chain, and why others are left out."""
        live: list[SourcePrices] = []
        left_out: list[LeftOut] = []
        times: list[int] = []
        for name in self._failover.chains[symbol]:
            entry = self._book.entry(name, symbol)
            if entry is None or not self._trades(name, symbol):
                left_out.append(LeftOut(name, self._why_not(name, symbol)))
                continue
            reason = self._objection(name, symbol, now_ns)
            times += self._times(name, symbol, entry, reason)
            if reason is None:
                live.append(self._prices(name, symbol, entry, now_ns))
            else:
                left_out.append(LeftOut(name, reason))
        far = self._far(live)
        left_out += [LeftOut(name, reason) for name, reason in far.items()]
        counted = [each for each in live if each.source not in far]
        until_ns = min((at_ns for at_ns in times if at_ns > now_ns), default=None)
        return Prices(symbol, counted, left_out, until_ns)

    def _trades(self, name: str, symbol: str) -> bool:
        halted = symbol in self._facts[name].of(symbol).halted
        return not halted and self._failover.is_live(name, symbol, self._facts)

    def _why_not(self, name: str, symbol: str) -> str:
        return self._failover.why_not(name, symbol, self._facts) or NOT_LIVE

    def _objection(self, name: str, symbol: str, now_ns: int) -> str | None:
        failover, facts = self._failover, self._facts
        # The serving source is what others are compared with.
        serves = failover.serving[symbol] == name
        if not serves and (doubt := failover.objection(name, symbol, facts, now_ns)):
            return failover.held_back.get(symbol, {}).get(name, doubt)  # whose numbers do not move
        silent = failover.silence.should_be_dead(
            now_ns=now_ns,
            symbol=symbol,
            chain=failover.chains[symbol],
            source=name,
            facts=facts,
            comparable=failover.guard.comparable,
        )
        return SILENT if silent else None

    def _times(self, name: str, symbol: str, entry: Entry, reason: str | None) -> Iterator[int]:
        """Yield when this source may be judged otherwise although nothing happens."""
        yield entry.received_ns + self._limits.stale_after_ns
        yield entry.received_ns + self._limits.quiet_after_ns
        yield entry.price_ns + self._limits.quiet_after_ns + 1
        if reason and (allowed_ns := self._failover.guard.allowed_ns(symbol, name)) is not None:
            yield allowed_ns + 1  # it is rounded down

    def _far(self, live: Sequence[SourcePrices]) -> dict[str, str]:
        """Return the sources whose price the majority shows to be wrong, and why."""
        if not self._allowed:
            return {}
        found = [(each, priced(each)) for each in live]
        candidates = [one for _, one in found if one is not None]
        if len(candidates) < _MAJORITY:
            return {}
        # What has a middle has both sides.
        sideless = [each for each, one in found if one is None or one.by != "mid"]
        alone = [one for each in sideless if (one := only_side(each)) is not None]
        why = f" (jump_guard allows {rough(self._allowed)} %)"
        far = far_from_median(candidates, self._allowed, alone)
        return {name: reason + why for name, reason in far.items()}

    def _prices(self, name: str, symbol: str, entry: Entry, now_ns: int) -> SourcePrices:
        watch, limits = self._failover.watch, self._limits
        no_top = watch.since(name, symbol, "top") is not None
        old = now_ns - entry.price_ns > limits.quiet_after_ns
        no_trades = old or watch.since(name, symbol, "trades") is not None
        return SourcePrices(
            source=name,
            bid=None if no_top else entry.bid,
            bid_size=None if no_top else entry.bid_size,
            ask=None if no_top else entry.ask,
            ask_size=None if no_top else entry.ask_size,
            top_age_ms=_age_ms(entry.top_ns, now_ns),
            price=None if no_trades else entry.price,
            price_age_ms=_age_ms(entry.price_ns, now_ns),
            volume=entry.volume_24h,
        )


def _age_ms(at_ns: int, now_ns: int) -> int | None:
    """Return the age of what was received at `at_ns`; None if that is 0, for never."""
    return (now_ns - at_ns) // 1_000_000 if at_ns else None
