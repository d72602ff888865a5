"""What a leg asks of its venue: subscriptions, until each is acknowledged, refused or given up."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from crypto_stream.feed.acks import AckTable, halves
from crypto_stream.feed.connection import Connection
from crypto_stream.feed.retries import Retries
from crypto_stream.feed.source import Instrument, Refused, Request, Source
from crypto_stream.market.instruments import few

log = logging.getLogger(__name__)

# Bytes of a request. Venues read longer ones in pieces, or not at all, whatever their documents say.
LONGEST_REQUEST = 4000
# Words of a refusal that will pass, for handlers that do not say so themselves.
_PASSING = re.compile(
    r"too many (requests|messages)|too frequent|rate.?limit|try again|(again|try|retry)\W.{0,20}later"
    r"|temporar|\bbusy|overload|service unavailable|internal (system |server )?error|time.?out|timed out",
    re.IGNORECASE,
)
_SAID_FOR_NS = 60_000_000_000  # the same refusal is no news for so long
_MOST_SAID = 100


class Asking:
    """Subscribe a connection to `instruments`, by symbol.

    `refused` says of which symbols the venue gives nothing, and why. All of which nothing came is asked for
    again, see `Retries`.
    """

    def __init__(
        self,
        source: Source,
        instruments: Sequence[Instrument],
        ack_ns: int,
        broken: Callable[[Exception], None],
        watched: Sequence[Instrument] = (),
    ) -> None:
        """Prepare to ask; `broken` hears of a bug in the handler, which makes the requests.

        That one of the `watched` is refused is nobody's business: no person asked for it.
        """
        self.refused: dict[str, str] = {}
        self._source = source
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self._watched = {instrument.symbol for instrument in watched}
        self._acks = AckTable(ack_ns)
        self._retries = Retries()
        self._said: dict[str, int] = {}
        self._broken = broken
        self._connection: Connection | None = None

    @property
    def answered(self) -> bool:
        """Say whether nothing that was sent still waits for its acknowledgement."""
        return not self._acks

    def begin(self, connection: Connection) -> None:
        """Ask for everything over `connection`."""
        self._connection = connection
        self._subscribe(self.instruments)

    def again(self, symbols: Iterable[str]) -> None:
        """Ask for `symbols` anew: what fell silent is first given up, then asked for again."""
        known = [symbol for symbol in symbols if symbol in self.instruments]
        if self._connection and known:
            # A venue that gave nothing has nothing to take back, and might refuse to.
            given = [each for each in known if each not in self.refused and not self._retries.waits(each)]
            if self._source.unsubscribe and given:
                self._ask(self._source.unsubscribe, given)
            self._subscribe(known)

    def all_again(self) -> None:
        """Ask anew for all that was not refused.

        A round begins when the last one is out: else rounds would only queue up behind each other.
        """
        if not (self._connection and self._connection.asking):
            self.again([symbol for symbol in self.instruments if symbol not in self.refused])

    def sent(self, request: Request) -> None:
        """Notice that a request went out."""
        now_ns = time.monotonic_ns()
        self._acks.sent(request, now_ns)
        if request.keys:
            self._retries.asked(request.symbols, now_ns)

    def asked_again(self) -> Mapping[str, int]:
        """Tell when each refused symbol is asked for again, on the monotonic clock in ns."""
        times = {symbol: self._retries.at(symbol) for symbol in self.refused}
        return {symbol: at_ns for symbol, at_ns in times.items() if at_ns is not None}

    def seen(self, symbol: str) -> None:
        """Notice data of `symbol`: it is as good as an acknowledgement."""
        if self._acks:
            self._acks.seen(symbol)
        if self._retries:
            self._retries.given(symbol)
        self.refused.pop(symbol, None)

    def acked(self, key: str) -> None:
        """Notice an acknowledgement."""
        self._acks.acked(key)

    def refuse(self, event: Refused) -> None:
        """Blame the symbol the venue names; halve a refused batch until only the culprit is left.

        A refusal that names nothing is that of the oldest request; one that will pass blames nobody.
        """
        now_ns = time.monotonic_ns()
        symbols = self._acks.refused(event.key)
        if event.symbol in self.instruments:
            symbols = (event.symbol,)
        passing = event.passing or _PASSING.search(event.reason) is not None
        if passing:
            self._retries.passing(symbols, now_ns)
        elif len(symbols) == 1:
            self.refused[symbols[0]] = event.reason
        else:
            for part in halves(symbols):
                self._subscribe(part)
        what = "asked to wait with a request" if passing else "subscription refused"
        self._say(what, event.reason, symbols, now_ns)

    def chase(self, now_ns: int) -> None:
        """Ask again for what was not acknowledged, or gave nothing; give up what was never acknowledged."""
        again, given_up = self._acks.overdue(now_ns)
        if again:
            self._subscribe(again)
        for symbol in given_up:
            self.refused[symbol] = "subscription never acknowledged"
        if given_up:
            self._say("subscription refused", "subscription never acknowledged", given_up, now_ns)
        if self._connection is None or self._connection.asking:
            return
        if due := self._retries.due(now_ns):
            extra = {"source": self._source.name, "symbols": few(due)}
            log.info("asking again for what gave nothing", extra=extra)
            self.again(due)

    def _say(self, what: str, reason: str, symbols: Sequence[str], now_ns: int) -> None:
        """Log a venue's sentence, once a minute for each symbol, or batch of them."""
        about = f"{symbols[0] if len(symbols) == 1 else ''} {what} {reason}"
        # Of a refused batch the watched one may be the culprit: the halves will tell.
        asked = not symbols or self._watched.isdisjoint(symbols)
        news = asked and now_ns - self._said.get(about, -_SAID_FOR_NS) >= _SAID_FOR_NS
        if news:
            self._said.pop(about, None)
            self._said[about] = now_ns
        if len(self._said) > _MOST_SAID:
            del self._said[next(iter(self._said))]
        extra = {"source": self._source.name, "symbol": few(symbols), "reason": reason}
        log.log(logging.WARNING if news else logging.DEBUG, what, extra=extra)

    def _subscribe(self, symbols: Iterable[str]) -> None:
        assert self._source.subscribe is not None
        self._ask(self._source.subscribe, symbols)

    def _ask(self, make: Callable[[Sequence[Instrument]], list[Request]], symbols: Iterable[str]) -> None:
        """Queue what the handler makes; a bug of it ends this source, whoever asked."""
        assert self._connection is not None
        try:
            self._connection.ask(_bounded(make, [self.instruments[symbol] for symbol in symbols]))
        except Exception as bug:
            log.exception("error in a handler", extra={"source": self._source.name})
            self._broken(bug)


def _bounded(
    make: Callable[[Sequence[Instrument]], list[Request]], instruments: Sequence[Instrument]
) -> list[Request]:
    """Have requests made of at most `LONGEST_REQUEST` bytes, of one instrument each if need be."""
    requests: list[Request] = []
    by_symbol = {instrument.symbol: instrument for instrument in instruments}
    for request in make(instruments):
        pieces = -(-len(request.text.encode()) // LONGEST_REQUEST)
        count = -(-len(request.symbols) // pieces)
        if pieces == 1 or len(request.symbols) <= 1:
            requests.append(request)
            continue
        for start in range(0, len(request.symbols), count):
            part = [by_symbol[symbol] for symbol in request.symbols[start : start + count]]
            requests += _bounded(make, part)
    return requests
