"""Any exchange of ccxt with WebSockets as a source: `python -m bridges.ccxt EXCHANGE`.

ccxt's own loop, `await exchange.watch_…()`, returns the first of several messages that arrived together, and
the others are lost. So its calls only keep the subscriptions alive here; data is taken where ccxt resolves
its futures, which it does for each message.

Prices of tickers and trades are the exchange's own text (`number = str`). ccxt reads order books as floats:
their prices are the shortest text of the same float, which is exact to 15 digits.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import ccxt.pro

from bridges.ccxt_messages import Translator, entry_of
from bridges.client import Message, Outlet, Target, is_supervised, say, serve, target_from_environment

_MARKETS_VALID_S = 240.0
_AT_ONCE = 100  # symbols in one subscription
_KEEP_ALIVE_S = 1.0
_LONGEST_RETRY_S = 60.0


class CcxtFeed:
    """An exchange of ccxt: subscribes, and puts into `outlet` what it resolves."""

    def __init__(self, exchange: Any, outlet: Outlet) -> None:
        exchange.number = str
        self._exchange = exchange
        self._outlet = outlet
        self._translator = Translator()
        self._wanted: set[str] = set()
        self._watched: set[tuple[str, str]] = set()  # topic, symbol
        self._tasks: set[asyncio.Task[None]] = set()
        self._loaded_s: float | None = None
        _hook(exchange, self._resolved)

    async def instruments(self) -> list[Message]:
        """Return the spot markets; fetched again after some minutes, and if that fails as they were."""
        if self._loaded_s is None or time.monotonic() - self._loaded_s > _MARKETS_VALID_S:
            try:
                await self._exchange.load_markets(reload=True)
                self._loaded_s = time.monotonic()
            except ccxt.BaseError as error:
                if self._loaded_s is None:
                    raise OSError(f"no markets: {str(error)[:300]}") from None
                say(f"markets could not be fetched again: {str(error)[:300]}")
        spot: dict[tuple[str, str], Message] = {}
        for market in self._exchange.markets.values():
            if market.get("spot"):
                both = (market["base"].upper(), market["quote"].upper())
                spot.setdefault(both, entry_of(market, self._exchange.precisionMode))
        return list(spot.values())

    async def subscribe(self, instruments: Sequence[str], topics: Sequence[str]) -> Mapping[str, str]:
        """Watch the topics of these symbols; new ones are watched beside those before."""
        refused = {each: "no such market" for each in instruments if each not in self._exchange.markets}
        symbols = [each for each in instruments if each not in refused]
        self._wanted.update(symbols)
        for topic in topics:
            new = [each for each in symbols if (topic, each) not in self._watched]
            self._watched.update((topic, each) for each in new)
            for call in self._calls(topic, new) if new else ():
                task = asyncio.get_running_loop().create_task(self._keep(call))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        return refused

    async def unsubscribe(self, instruments: Sequence[str], topics: Sequence[str]) -> None:
        """Send nothing more of these; once none is left, leave the exchange, to subscribe anew later."""
        self._wanted.difference_update(instruments)
        if not self._wanted:
            await self.reset()

    async def reset(self) -> None:
        """Leave the exchange."""
        self._wanted.clear()
        self._watched.clear()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        with suppress(Exception):  # whatever state its connections are in, they are dropped
            await self._exchange.close_ws_clients()

    def _calls(self, topic: str, symbols: list[str]) -> list[Callable[[], Any]]:
        """Return the calls that keep a topic subscribed: one for all symbols where ccxt has it."""
        for feature, method, takes_several in _METHODS.get(topic, ()):
            if self._exchange.has.get(feature):
                watch = getattr(self._exchange, method)
                if not takes_several:
                    return [partial(watch, each) for each in symbols]
                return [
                    partial(watch, symbols[at : at + _AT_ONCE]) for at in range(0, len(symbols), _AT_ONCE)
                ]
        return []

    async def _keep(self, call: Callable[[], Any]) -> None:
        """Call again and again: after an error ccxt then connects and subscribes again."""
        pause_s = _KEEP_ALIVE_S
        while True:
            try:
                await call()
                pause_s = _KEEP_ALIVE_S
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is None or task.cancelling():
                    raise  # else ccxt cancelled what it had promised
            except Exception as error:  # noqa: BLE001 - ccxt may raise anything; the bridge goes on
                say(f"{type(error).__name__}: {str(error)[:300]}")
                pause_s = min(2 * pause_s, _LONGEST_RETRY_S)
            await asyncio.sleep(pause_s)

    def _resolved(self, result: Any) -> None:
        for message in self._translator.messages(result):
            if message["instrument"] in self._wanted:
                self._outlet.put(message)


# Of each topic, best first: ccxt's name of the feature, the method, whether it takes several symbols.
_METHODS: Mapping[str, Sequence[tuple[str, str, bool]]] = {
    "top": (
        ("watchBidsAsks", "watch_bids_asks", True),
        ("watchOrderBookForSymbols", "watch_order_book_for_symbols", True),
        ("watchOrderBook", "watch_order_book", False),
    ),
    "trades": (
        ("watchTradesForSymbols", "watch_trades_for_symbols", True),
        ("watchTrades", "watch_trades", False),
    ),
    "day": (("watchTickers", "watch_tickers", True), ("watchTicker", "watch_ticker", False)),
}


def _hook(exchange: Any, resolved: Callable[[Any], None]) -> None:
    """Call `resolved` with everything that the exchange's clients resolve, awaited or not."""
    make = exchange.client

    def client(url: str) -> Any:
        made = make(url)
        if "resolve" not in vars(made):
            settle = made.resolve

            def resolve(result: Any, message_hash: Any) -> Any:
                try:
                    resolved(result)
                except Exception as error:  # noqa: BLE001 - must not break ccxt
                    say(f"a result could not be read: {type(error).__name__}: {error}")
                return settle(result, message_hash)

            made.resolve = resolve
        return made

    exchange.client = client


async def run(name: str, target: Target, config: Mapping[str, Any]) -> None:
    """Bridge the exchange `name` until SIGTERM; `config` is ccxt's own, merged into its defaults."""
    outlet = Outlet()
    exchange = getattr(ccxt.pro, name)({"enableRateLimit": True, **config})
    try:
        async with asyncio.TaskGroup() as tasks:
            feed = CcxtFeed(exchange, outlet)
            serving = tasks.create_task(serve(target, feed, outlet, supervised=is_supervised()))
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    finally:
        await exchange.close()


def main() -> None:
    """Parse the arguments, and run."""
    parser = argparse.ArgumentParser(prog="python -m bridges.ccxt", description=__doc__.split("\n", 1)[0])
    parser.add_argument("exchange", choices=sorted(ccxt.pro.exchanges), metavar="EXCHANGE")
    parser.add_argument("--address", help="socket path or host:port [BRIDGE_ADDRESS]")
    parser.add_argument("--name", help="NAME of bridge:NAME [BRIDGE_NAME, else the exchange]")
    parser.add_argument("--config", type=Path, help="JSON file with ccxt's configuration of the exchange")
    given = parser.parse_args()
    told = target_from_environment(given.exchange)
    target = told._replace(
        address=given.address or told.address, name=given.name or told.name or given.exchange
    )
    if not target.address:
        parser.error("where to connect: --address, or run it by [bridge.NAME] command")
    config = json.loads(given.config.read_text("utf-8")) if given.config else {}
    asyncio.run(run(given.exchange, target, config))


if __name__ == "__main__":
    main()
