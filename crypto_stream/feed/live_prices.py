"""The prices of an instrument at all sources that are live for it, judged as failover does. Pure."""

from __future__ import annotations

from crypto_stream.feed.facts import Facts
from crypto_stream.feed.failover import Failover
from crypto_stream.market.book import Book, Entry
from crypto_stream.market.prices import LeftOut, Prices, SourcePrices

NOT_LIVE = "not live"
SILENT = "silent although its price moves elsewhere"


class LivePrices:
    """Which sources' prices count, whether or not they serve.

    A source is left out if failover would not let it serve: it is not live for the instrument, its venue has
    halted it, the guard holds it back, or it is silent as no serving source may be. A channel that is
    missing there is left out, too. The pin is ignored: it decides who serves, not who is live.
    """

    def __init__(self, failover: Failover, book: Book, facts: Facts) -> None:
        self._failover = failover
        self._book = book
        self._facts = facts

    def of(self, symbol: str, now_ns: int) -> Prices:
        """Return the prices of `symbol` at the sources of its chain, and why others are left out."""
        live: list[SourcePrices] = []
        left_out: list[LeftOut] = []
        for name in self._failover.chains[symbol]:
            entry = self._book.entry(name, symbol)
            reason = self._objection(name, symbol, now_ns)
            if entry is None or reason is not None:
                left_out.append(LeftOut(name, reason or NOT_LIVE))
            else:
                live.append(self._prices(name, symbol, entry, now_ns))
        return Prices(symbol, live, left_out)

    def _objection(self, name: str, symbol: str, now_ns: int) -> str | None:
        failover, facts = self._failover, self._facts
        if symbol in facts[name].of(symbol).halted or not failover.is_live(name, symbol, facts):
            return failover.why_not(name, symbol, facts) or NOT_LIVE
        # The serving source is never compared: a pin or the last price may have decided for it.
        serves = failover.serving[symbol] == name
        if not serves and (doubt := failover.objection(name, symbol, facts, now_ns)):
            return doubt
        silent = failover.silence.should_be_dead(
            now_ns=now_ns,
            symbol=symbol,
            chain=failover.chains[symbol],
            source=name,
            facts=facts,
            comparable=failover.guard.comparable,
        )
        return SILENT if silent else None

    def _prices(self, name: str, symbol: str, entry: Entry, now_ns: int) -> SourcePrices:
        watch = self._failover.watch
        no_top = watch.since(name, symbol, "top") is not None
        no_trades = watch.since(name, symbol, "trades") is not None
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
