"""What a session asks of its venue: subscriptions, until each is acknowledged, refused or given up."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from crypto_stream.feed.acknowledgements import Acknowledgements, halves
from crypto_stream.feed.connection import Connection
from crypto_stream.feed.handler import TOPICS, Reading, Refused, Request, Resync, Wanted
from crypto_stream.feed.names import Names
from crypto_stream.feed.retries import Retries
from crypto_stream.log_throttle import LogThrottle
from crypto_stream.market.instruments import Instrument, few

log = logging.getLogger(__name__)

# Words of a refusal that will pass, for handlers that do not say so themselves.
_PASSING = re.compile(
    r"too many (requests|messages)|too frequent|rate.?limit|try again|(again|try|retry)\W.{0,20}later"
    r"|temporar|\bbusy|overload|service unavailable|internal (system |server )?error|time.?out|timed out",
    re.IGNORECASE,
)
_UNNAMED = "what the venue calls it is not known yet"

_Make = Callable[[Sequence[Wanted]], list[Request]]


class Asked(NamedTuple):
    """Of whom a session asks for which `instruments`, called as in `names`.

    A request has at most `request_bytes`. That one of `watched` is refused is nobody's business: no person
    asked for it.
    """

    source: str
    instruments: Mapping[str, Instrument]
    names: Names
    request_bytes: int
    watched: frozenset[str] = frozenset()


class Subscriptions:
    """Subscribe a connection to instruments.

    `refused` says of which symbols the venue gives nothing, and why. All of which nothing came is asked for
    again, see `Retries`.
    """

    def __init__(self, asked: Asked, ack_ns: int, broken: Callable[[Exception], None]) -> None:
        """Prepare to ask; `broken` hears of a bug in the handler, which makes the requests."""
        self.refused: dict[str, str] = {}
        self._asked = asked
        self._acks = Acknowledgements(ack_ns)
        self._retries = Retries()
        self._throttle = LogThrottle()  # the same refusal is no news for a minute
        self._broken = broken
        self._connection: Connection | None = None
        self._reader: Reading | None = None

    @property
    def answered(self) -> bool:
        """Say whether nothing that was sent still waits for its acknowledgement."""
        return not self._acks

    @property
    def all_refused(self) -> bool:
        """Say whether there is nothing that the venue did not refuse."""
        return self._asked.instruments.keys() <= self.refused.keys()

    def begin(self, connection: Connection, reader: Reading) -> None:
        """Ask for everything over `connection`, in the words of `reader`."""
        self._connection, self._reader = connection, reader
        self._subscribe(self._wanted(self._asked.instruments))

    def again(self, symbols: Iterable[str]) -> None:
        """Ask for `symbols` anew: what fell silent is first given up, then asked for again."""
        self._again(self._wanted(symbols))

    def resync(self, lost: Resync) -> None:
        """Ask anew for the one topic of which something was lost."""
        self._again([each for each in self._wanted([lost.instrument.symbol]) if each.topic == lost.topic])

    def all_again(self) -> None:
        """Ask anew for all that was not refused.

        A round begins when the last one is out: else rounds would only queue up behind each other.
        """
        if not (self._connection and self._connection.asking):
            self.again([symbol for symbol in self._asked.instruments if symbol not in self.refused])

    def sent(self, request: Request) -> None:
        """Notice that a request went out."""
        now_ns = time.monotonic_ns()
        self._acks.sent(request, now_ns)
        if request.keys:
            self._retries.asked(_symbols(request.wanted), now_ns)

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
        """Blame the instrument the venue names; halve a refused batch until only the culprit is left.

        A refusal that names nothing is that of the oldest request; one that will pass blames nobody.
        """
        now_ns = time.monotonic_ns()
        wanted = self._acks.refused(event.key)
        symbols = _symbols(wanted)
        if event.instrument is not None and event.instrument.symbol in self._asked.instruments:
            symbols = (event.instrument.symbol,)
        passing = event.passing or _PASSING.search(event.reason) is not None
        if passing:
            self._retries.passing(symbols, now_ns)
        elif len(symbols) == 1:
            self.refused[symbols[0]] = event.reason
        else:
            for part in halves(wanted):
                self._subscribe(part)
        what = "asked to wait with a request" if passing else "subscription refused"
        self._say(what, event.reason, symbols)

    def chase(self, now_ns: int) -> None:
        """Ask again for what was not acknowledged, or gave nothing; give up what was never acknowledged."""
        again, given_up = self._acks.overdue(now_ns)
        if again:
            self._subscribe(again)
        for symbol in _symbols(given_up):
            self.refused[symbol] = "subscription never acknowledged"
        if given_up:
            reason = "subscription never acknowledged"
            self._say("subscription refused", reason, _symbols(given_up))
        if self._connection is None or self._connection.asking:
            return
        if due := self._retries.due(now_ns):
            extra = {"source": self._asked.source, "symbols": few(due)}
            log.info("asking again for what gave nothing", extra=extra)
            self.again(due)

    def _wanted(self, symbols: Iterable[str]) -> list[Wanted]:
        """List all topics of instruments; one whose id is not known yet is refused until it is."""
        wanted: list[Wanted] = []
        for symbol in symbols:
            if (instrument := self._asked.instruments.get(symbol)) is None:
                continue
            if (named := self._asked.names.id_of(symbol)) is None:
                self.refused.setdefault(symbol, _UNNAMED)
                continue
            if self.refused.get(symbol) == _UNNAMED:
                del self.refused[symbol]
            wanted += [Wanted(named, instrument, topic) for topic in TOPICS]
        return wanted

    def _again(self, wanted: Sequence[Wanted]) -> None:
        if self._connection and wanted:
            # A venue that gave nothing has nothing to take back, and might refuse to.
            given = [
                each
                for each in wanted
                if (symbol := each.instrument.symbol) not in self.refused and not self._retries.waits(symbol)
            ]
            if given and (unsubscribe := getattr(self._reader, "unsubscribe", None)):
                self._ask(unsubscribe, given)
            self._subscribe(wanted)

    def _subscribe(self, wanted: Sequence[Wanted]) -> None:
        assert self._reader is not None
        self._ask(self._reader.subscribe, wanted)

    def _ask(self, make: _Make, wanted: Sequence[Wanted]) -> None:
        """Queue what the handler makes; a bug of it ends this source, whoever asked."""
        assert self._connection is not None
        try:
            self._connection.ask(_bounded(make, wanted, self._asked.request_bytes))
        except Exception as bug:
            log.exception("error in a handler", extra={"source": self._asked.source})
            self._broken(bug)

    def _say(self, what: str, reason: str, symbols: Sequence[str]) -> None:
        """Log a venue's sentence, once a minute for each symbol, or batch of them."""
        about = f"{symbols[0] if len(symbols) == 1 else ''} {what} {reason}"
        # Of a refused batch the watched one may be the culprit: the halves will tell.
        asked = not symbols or self._asked.watched.isdisjoint(symbols)
        news = asked and self._throttle.due(about)
        extra = {"source": self._asked.source, "symbol": few(symbols), "reason": reason}
        log.log(logging.WARNING if news else logging.DEBUG, what, extra=extra)


def _symbols(wanted: Iterable[Wanted]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.instrument.symbol for each in wanted))


def _bounded(make: _Make, wanted: Sequence[Wanted], most_bytes: int) -> list[Request]:
    """Have requests made of at most `most_bytes`, of one topic of one instrument each if need be."""
    requests: list[Request] = []
    for request in make(wanted):
        pieces = -(-len(request.text.encode()) // most_bytes)
        count = -(-len(request.wanted) // pieces)
        if pieces == 1 or len(request.wanted) <= 1:
            requests.append(request)
            continue
        for start in range(0, len(request.wanted), count):
            requests += _bounded(make, request.wanted[start : start + count], most_bytes)
    return requests
