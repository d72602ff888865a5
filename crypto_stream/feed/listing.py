"""Ask the venues which instruments they list, at the start and every five minutes. Nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Set
from decimal import Decimal

import httpx
from msgspec.structs import asdict

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.handler import Listed
from crypto_stream.feed.names import Names
from crypto_stream.feed.rest import rest_client
from crypto_stream.feed.sources import Source
from crypto_stream.market.decimals import decimal_text
from crypto_stream.market.orders import Rules

log = logging.getLogger(__name__)

_EVERY_S = 300.0  # a halt is noticed within this time
_RETRY_S = 300.0


class Listing:
    """What a venue's REST interface says of the instruments a source carries.

    `unlisted` says why some have no market there, by symbol: those that are `halted` among them, which it
    lists, but does not trade now. `rules` is what it demands of orders: another object whenever something in
    it changed. Those of `relisted` are told what has a market where it had none before.
    """

    def __init__(
        self,
        source: Source,
        names: Names,
        every_s: float = _EVERY_S,
        retry_s: float = _RETRY_S,
    ) -> None:
        """Begin with what the source itself knows; `names` learns the ids that the list tells.

        Ask `every_s`, after a failure, and while something has no market, `retry_s`.
        """
        self.unlisted: dict[str, str] = {}
        self.halted: dict[str, str] = {}
        self.rules: Mapping[str, Rules] = source.rules
        self._source = source
        self._names = names
        self._every_s = every_s
        self._retry_s = retry_s
        self._carried = names.symbols
        self.relisted: list[Callable[[list[str]], None]] = []

    async def follow(self) -> None:
        """Keep it up to date, for ever.

        A list that cannot be had changes nothing: subscriptions and first data decide then, and orders are
        taken by the rules known before, or by none.
        """
        source, rest = self._source, self._source.rest
        if rest is None or rest.instruments is None:
            return
        while True:
            pause = self._every_s
            try:
                async with rest_client(rest.url) as http:
                    self.take(self._names.take(await rest.instruments(http)))
                    if self.unlisted:
                        pause = self._retry_s  # it may soon have a market
            except (httpx.HTTPError, MalformedFrame) as error:
                log.info(
                    "no instrument list", extra={"source": source.name, "reason": str(error) or repr(error)}
                )
                pause = self._retry_s
            except Exception:  # a handler's bug; its feed goes on without the list
                log.exception("error in a handler", extra={"source": source.name})
                pause = self._retry_s
            await asyncio.sleep(pause)

    def take(self, listed: Mapping[str, Listed]) -> None:
        """Take what a whole list of the venue's says of our instruments, by symbol."""
        missing = set(self.unlisted)
        for symbol in self._carried:
            self._note(symbol, _why(listed, symbol))
        if back := sorted(missing - self.unlisted.keys()):
            self._tell(back)
        self.halted = {symbol: why for symbol, why in self.unlisted.items() if symbol in listed}
        rules = {
            symbol: self._rules(symbol, listed[symbol].rules) for symbol in self._carried & listed.keys()
        }
        if rules != self.rules:
            self.rules = rules

    def missing(self, carried: Set[str], heard_of: Set[str]) -> dict[str, str]:
        """Return why some of the `carried` have no market; what gives data has one, unless it is halted.

        The list can be older than a pair.
        """
        symbols = (self.unlisted.keys() & carried) - (heard_of - self.halted.keys())
        return {symbol: self.unlisted[symbol] for symbol in symbols}

    def told(self, symbol: str, word: str) -> None:
        """Take what a frame says of one instrument: why it does not trade, or nothing where it does again."""
        if symbol not in self._carried:
            return
        was_out = symbol in self.unlisted
        self._note(symbol, word)
        self.halted = {name: why for name, why in self.halted.items() if name != symbol}
        if word:
            self.halted[symbol] = word
        elif was_out:
            self._tell([symbol])

    def _tell(self, symbols: list[str]) -> None:
        for listener in self.relisted:
            listener(symbols)

    def _note(self, symbol: str, why: str) -> None:
        if why != self.unlisted.get(symbol, ""):
            extra = {"source": self._source.name, "symbol": symbol, "state": why or "listed"}
            log.info("listing changed", extra=extra)
        if why:
            self.unlisted[symbol] = why
        else:
            self.unlisted.pop(symbol, None)

    def _rules(self, symbol: str, given: Rules) -> Rules:
        try:
            return Rules(**{name: _plain(text) for name, text in asdict(given).items()})
        except (ValueError, ArithmeticError, TypeError, AttributeError) as error:
            extra = {"source": self._source.name, "symbol": symbol, "reason": str(error) or repr(error)}
            log.warning("rules of orders not understood", extra=extra)
            return Rules()


def _why(listed: Mapping[str, Listed], symbol: str) -> str:
    """Say why a symbol has no market; an empty text where it has one."""
    if symbol not in listed:
        return "not listed"
    return f"listed, but {listed[symbol].state}" if listed[symbol].state else ""


def _plain(text: str | None) -> str | None:
    """Write a number without exponent or needless zeros; None for an empty one and for 0."""
    if text is None or decimal_text(text) is None:
        return None
    number = Decimal(text)
    if number < 0:
        raise ValueError(f"{text!r} is below 0")
    return f"{number.normalize():f}" if number else None
