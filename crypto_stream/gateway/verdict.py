"""Whether prices are live: judged once, for badge, banner, `/readyz`, `/courses` and `/status`. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from crypto_stream.market.quotes import Quote

UNREACHABLE = "engine unreachable"
# More are counted instead of named.
_NAMED = 10


class Verdict(msgspec.Struct, frozen=True):
    """How many of `total` instruments have a live price: of the real pairs where there are any (`real`).

    `state` is `live` when all have one, `partly` when some have, `stale` when none has, `unreachable` when
    the engine is gone. `dark` names the first ten without, `pinned` the source that alone may serve.
    """

    state: Literal["live", "partly", "stale", "unreachable"]
    live: int
    total: int
    real: bool
    dark: list[str]
    pinned: str | None

    @property
    def serves(self) -> bool:
        """Whether anything that counts is live."""
        return self.state in ("live", "partly")

    def words(self) -> str:
        """Say in one clause what is not live; empty while all is."""
        if self.state == "live":
            return ""
        if self.state == "unreachable":
            return UNREACHABLE
        kind = "real pairs" if self.real else "instruments"
        if not self.total:
            return "there is no instrument yet"
        more = self.total - self.live - len(self.dark)
        names = ", ".join(self.dark) + (f" and {more} more" if more else "")
        return f"{self.total - self.live} of {self.total} {kind} have no live price: {names}"


def judge(quotes: Iterable[Quote], *, alive: bool, pinned: str | None) -> Verdict:
    """Judge the quotes as they are shown; `alive`: whether the engine can be reached."""
    listed = list(quotes)
    real = [quote for quote in listed if not quote.synthetic]
    counted = real or listed
    dark = [quote.symbol for quote in counted if quote.stale]
    live = len(counted) - len(dark)
    state: Literal["live", "partly", "stale", "unreachable"]
    if not alive:
        state = "unreachable"
    elif live == 0:
        state = "stale"
    else:
        state = "partly" if dark else "live"
    return Verdict(state, live, len(counted), bool(real), dark[:_NAMED], pinned)
