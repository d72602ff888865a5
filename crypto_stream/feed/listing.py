"""Fetch a venue's list of instruments at the start and every five minutes, in the background."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence, Set
from decimal import Decimal

import httpx
from msgspec.structs import asdict

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.handler import Listed
from crypto_stream.feed.names import Names
from crypto_stream.feed.rest import rest_client
from crypto_stream.feed.sources import Source
from crypto_stream.log_throttle import LineBudget
from crypto_stream.market.decimals import decimal_text
from crypto_stream.market.instruments import Instrument, few
from crypto_stream.market.orders import Rules

log = logging.getLogger(__name__)

_EVERY_S = 300.0  # a halt is noticed within this time
_RETRY_S = 300.0
_UNNAMED_RETRY_S = 10.0
_NOT_LISTED, _LISTED_BUT = "not listed", "listed, but "
_MOST_LINES = 20  # per second, of changes that frames tell: a venue may send them without end


class Listing:
    """What a venue's list says about the instruments that a source carries.

    `unlisted` maps symbols without a market to the reason; `halted` is its part that the venue lists, but
    does not trade now. `rules` are those for orders: a new object whenever one has changed. `markets` is the
    newest complete list by base and quote, in our names; None while there is none. The functions in
    `relisted` are called with symbols that have a market again, or whose id has become known, those in
    `fetched` after each new list.
    """

    def __init__(
        self,
        source: Source,
        names: Names,
        every_s: float = _EVERY_S,
        retry_s: float = _RETRY_S,
    ) -> None:
        """Start with the source's own rules; `names` learns the ids in the list.

        The list is fetched every `every_s`; every `retry_s` after a failure, and while a symbol is unlisted;
        every 10 s if that fails while the id of a symbol is unknown.
        """
        self.unlisted: dict[str, str] = {}
        self.halted: dict[str, str] = {}
        self.rules: Mapping[str, Rules] = source.rules
        self._source = source
        self._names = names
        self._every_s = every_s
        self._retry_s = retry_s
        self.markets: Mapping[tuple[str, str], Listed] | None = None
        self.relisted: list[Callable[[list[str]], None]] = []
        self._lines = LineBudget(_MOST_LINES)
        self._renewed_s = 0.0
        self.fetched: list[Callable[[], None]] = []

    async def run(self) -> None:
        """Fetch the list regularly until cancelled.

        If that fails, nothing changes: subscriptions and first data decide, and orders are validated by the
        last known rules, or by none.
        """
        source, rest = self._source, self._source.rest
        if rest is None or rest.instruments is None:
            return
        while True:
            pause = self._every_s
            try:
                async with rest_client(rest.url) as http:
                    self.learn(await rest.instruments(http))
                if self.unlisted:
                    pause = self._retry_s  # it may soon have a market
            except (httpx.HTTPError, MalformedFrame) as error:
                log.info(
                    "instrument list not available",
                    extra={"source": source.name, "reason": str(error) or repr(error)},
                )
                pause = self._after_failure_s
            except Exception:  # a bug in a handler; its feed continues without the list
                log.exception("error in a handler", extra={"source": source.name})
                pause = self._after_failure_s
            await asyncio.sleep(pause)

    @property
    def _after_failure_s(self) -> float:
        """The pause after a failure, short while nothing can be subscribed because no id is known."""
        return min(self._retry_s, _UNNAMED_RETRY_S) if self._names.unnamed else self._retry_s

    @property
    def is_expected(self) -> bool:
        """Whether the venue's list is fetched, although there may be none yet."""
        return self._source.rest is not None and self._source.rest.instruments is not None

    def added(self, instruments: Sequence[Instrument]) -> None:
        """Apply the newest list, if there is one, to instruments that `names` has just learnt of."""
        if self.markets is None:
            return
        entries = (self.markets.get((each.base or "", each.quote or "")) for each in instruments)
        unsplit = any(each.base is None for each in instruments)  # only their joined names can be compared
        listed = list(self.markets.values()) if unsplit else [each for each in entries if each is not None]
        symbols = {each.symbol for each in instruments}
        found = {symbol: each for symbol, each in self._names.learn(listed).items() if symbol in symbols}
        for symbol in symbols:
            self._record(symbol, _why(found, symbol, ""))
        halted = {symbol: self.unlisted[symbol] for symbol in found.keys() & self.unlisted}
        self.halted = {**self.halted, **halted}
        rules = {symbol: self._rules(symbol, each.rules) for symbol, each in found.items()}
        self.rules = {**self.rules, **rules}

    def removed(self, symbols: Set[str]) -> None:
        """Forget instruments, which `names` does not know any more."""
        for symbol in symbols:
            self.unlisted.pop(symbol, None)
            self.halted.pop(symbol, None)
        self.rules = {name: rules for name, rules in self.rules.items() if name not in symbols}

    def learn(self, listed: Sequence[Listed]) -> None:
        """Learn the ids in the venue's complete list, apply it, and call the listeners in `fetched`."""
        self.markets = self._names.markets(listed)
        unnamed = self._names.unnamed
        found = self._names.learn(listed)
        self.update(found, unnamed - self._names.unnamed)
        for listener in self.fetched:
            listener()

    def update(self, listed: Mapping[str, Listed], named: Set[str] = frozenset()) -> None:
        """Apply the venue's complete list; `listed` contains our instruments, by symbol.

        The ids of the `named` ones have just become known.
        """
        missing, carried = set(self.unlisted), self._names.symbols
        for symbol in carried:
            self._record(symbol, _why(listed, symbol, self.halted.get(symbol, "")))
        if back := sorted((missing - self.unlisted.keys()) | named):
            self._notify(back)
        self.halted = {symbol: why for symbol, why in self.unlisted.items() if symbol in listed}
        rules = {symbol: self._rules(symbol, listed[symbol].rules) for symbol in carried & listed.keys()}
        if rules != self.rules:
            self.rules = rules

    def unavailable(self, carried: Set[str], delivered: Set[str]) -> dict[str, str]:
        """Return which of the `carried` have no market, and why.

        Those that `delivered` data have one unless they are halted: the list may be older than a pair.
        """
        return {
            symbol: why
            for symbol, why in self.unlisted.items()  # a few; sets of all would be copied ten times a second
            if symbol in carried and (symbol not in delivered or symbol in self.halted)
        }

    def set_status(self, symbols: Sequence[str], word: str, *, whole: bool = False) -> bool:
        """Apply the status of instruments from a frame: the venue's word, or "" if they trade again.

        Returns whether it is new for any of them. `whole`: it is that of the whole venue, which does not
        change what its list says of single ones. Some venues send it at the beginning of each connection.
        """
        if whole:
            by_list = (_NOT_LISTED, _LISTED_BUT)
            symbols = [each for each in symbols if not self.unlisted.get(each, "").startswith(by_list)]
        held = [(symbol, self.unlisted.get(symbol, ""), self.halted.get(symbol, "")) for symbol in symbols]
        changed = [each[0] for each in held if self._names.carries(each[0]) and each[1:] != (word, word)]
        if not changed:
            return False
        back = [symbol for symbol in changed if symbol in self.unlisted]
        gone = set(changed)
        halted = {name: why for name, why in self.halted.items() if name not in gone}
        for symbol in changed:
            self.unlisted.pop(symbol, None)
        if word:
            self.unlisted.update(dict.fromkeys(changed, word))
            halted.update(dict.fromkeys(changed, word))
        self.halted = halted
        self._log_statuses(changed, word)
        if back and not word:
            self._notify(back)
        return True

    def _log_statuses(self, symbols: Sequence[str], word: str) -> None:
        now_s = time.monotonic()
        if now_s - self._renewed_s >= 1.0:
            self._renewed_s = now_s
            self._lines.renew()
        if self._lines.allows("status"):
            extra = {"source": self._source.name, "symbol": few(symbols), "state": word or "listed"}
            log.info("listing changed", extra=extra)

    def _notify(self, symbols: list[str]) -> None:
        for listener in self.relisted:
            listener(symbols)

    def _record(self, symbol: str, why: str) -> None:
        if why != self.unlisted.get(symbol, ""):
            extra = {"source": self._source.name, "symbol": symbol, "state": why or "listed"}
            log.info("listing changed", extra=extra)
        if why:
            self.unlisted[symbol] = why
        else:
            self.unlisted.pop(symbol, None)

    def _rules(self, symbol: str, given: Rules) -> Rules:
        try:
            return Rules(**{name: _canonical(text) for name, text in asdict(given).items()})
        except (ValueError, ArithmeticError, TypeError, AttributeError) as error:
            extra = {"source": self._source.name, "symbol": symbol, "reason": str(error) or repr(error)}
            log.warning("order rules could not be parsed", extra=extra)
            return Rules()


def _why(listed: Mapping[str, Listed], symbol: str, halted: str) -> str:
    """Return why a symbol has no market; "" if it has one. `halted` remains where the list has no states."""
    if symbol not in listed:
        return _NOT_LISTED
    state = listed[symbol].state
    if state is None:
        return halted
    return f"{_LISTED_BUT}{state}" if state else ""


def _canonical(text: str | None) -> str | None:
    """Format a number without exponent and trailing zeros; None if it is empty or 0."""
    if text is None or decimal_text(text) is None:
        return None
    number = Decimal(text)
    if number < 0:
        raise ValueError(f"{text!r} is below 0")
    return f"{number.normalize():f}" if number else None
