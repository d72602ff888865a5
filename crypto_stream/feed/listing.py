"""Ask the venues which instruments they list, at the start and every hour. Nothing waits for the answer."""

from __future__ import annotations

import asyncio
import logging

import httpx

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.source import Source

log = logging.getLogger(__name__)

_EVERY_S = 3600.0
_RETRY_S = 300.0
_TIMEOUT_S = 20.0


async def follow_listing(source: Source, unlisted: dict[str, str], carried: frozenset[str]) -> None:
    """Keep `unlisted` (symbol → why) up to date with what the venue's REST interface says, for ever.

    A list that cannot be had changes nothing: subscriptions and first data decide then.
    """
    if source.instruments is None or source.rest_url is None:
        return
    while True:
        pause = _EVERY_S
        try:
            async with httpx.AsyncClient(base_url=source.rest_url, timeout=_TIMEOUT_S) as http:
                listed = await source.instruments(http)
        except (httpx.HTTPError, MalformedFrame) as error:
            log.info("no instrument list", extra={"source": source.name, "reason": str(error) or repr(error)})
            pause = _RETRY_S
        except Exception:  # a handler's bug; its feed goes on without the list
            log.exception("error in a handler", extra={"source": source.name})
            pause = _RETRY_S
        else:
            _update(source.name, unlisted, {symbol: _why(listed, symbol) for symbol in carried})
        await asyncio.sleep(pause)


def _why(listed: dict[str, str], symbol: str) -> str:
    """Say why a symbol has no market; an empty text where it has one."""
    if symbol not in listed:
        return "not listed"
    return f"listed, but {listed[symbol]}" if listed[symbol] else ""


def _update(name: str, unlisted: dict[str, str], found: dict[str, str]) -> None:
    for symbol, why in found.items():
        if why != unlisted.get(symbol, ""):
            log.info("listing changed", extra={"source": name, "symbol": symbol, "state": why or "listed"})
        if why:
            unlisted[symbol] = why
        else:
            unlisted.pop(symbol, None)
