"""What a leg asks of its venue: subscriptions, until each is acknowledged, refused or given up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from crypto_stream.feed.acks import AckTable, halves
from crypto_stream.feed.connection import Connection
from crypto_stream.feed.source import Instrument, Refused, Request, Source

log = logging.getLogger(__name__)


class Asking:
    """Subscribe a connection to `instruments`, by symbol.

    `refused` says of which symbols the venue gives nothing, and why.
    """

    def __init__(
        self,
        source: Source,
        instruments: Sequence[Instrument],
        ack_ns: int,
        broken: Callable[[Exception], None],
    ) -> None:
        """Prepare to ask; `broken` hears of a bug in the handler, which makes the requests."""
        self.refused: dict[str, str] = {}
        self._source = source
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self._acks = AckTable(ack_ns)
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
            if self._source.unsubscribe:
                self._ask(self._source.unsubscribe, known)
            self._subscribe(known)

    def all_again(self) -> None:
        """Ask anew for all that was not refused.

        A round begins when the last one is out: else rounds would only queue up behind each other.
        """
        if not (self._connection and self._connection.asking):
            self.again([symbol for symbol in self.instruments if symbol not in self.refused])

    def sent(self, request: Request) -> None:
        """Notice that a request went out."""
        self._acks.sent(request, time.monotonic_ns())

    def seen(self, symbol: str) -> None:
        """Notice data of `symbol`: it is as good as an acknowledgement."""
        if self._acks:
            self._acks.seen(symbol)
        self.refused.pop(symbol, None)

    def acked(self, key: str) -> None:
        """Notice an acknowledgement."""
        self._acks.acked(key)

    def refuse(self, event: Refused) -> None:
        """Blame the symbol the venue names; halve a refused batch until only the culprit is left."""
        symbols = self._acks.refused(event.key)
        if event.symbol:
            symbols = (event.symbol,)
        for part in halves(symbols) if len(symbols) > 1 else ():
            self._subscribe(part)
        if len(symbols) == 1:
            news = symbols[0] not in self.refused  # a symbol is refused once per channel
            self.refused[symbols[0]] = event.reason
            extra = {"source": self._source.name, "symbol": symbols[0], "reason": event.reason}
            log.log(logging.WARNING if news else logging.DEBUG, "subscription refused", extra=extra)

    def chase(self, now_ns: int) -> None:
        """Ask again for what was never acknowledged, and give it up in the end."""
        again, given_up = self._acks.overdue(now_ns)
        if again:
            self._subscribe(again)
        for symbol in given_up:
            self.refused[symbol] = "subscription never acknowledged"
        if given_up:
            extra = {"source": self._source.name, "symbols": ",".join(given_up)}
            log.warning("subscription never acknowledged", extra=extra)

    def _subscribe(self, symbols: Iterable[str]) -> None:
        assert self._source.subscribe is not None
        self._ask(self._source.subscribe, symbols)

    def _ask(self, make: Callable[[Sequence[Instrument]], list[Request]], symbols: Iterable[str]) -> None:
        """Queue what the handler makes; a bug of it ends this source, whoever asked."""
        assert self._connection is not None
        try:
            self._connection.ask(make([self.instruments[symbol] for symbol in symbols]))
        except Exception as bug:
            log.exception("error in a handler", extra={"source": self._source.name})
            self._broken(bug)
