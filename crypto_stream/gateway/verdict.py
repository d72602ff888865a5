"""Whether prices are live: decided once, for badge, banner, `/readyz`, `/courses` and `/status`. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from crypto_stream.market.quotes import Quote

UNREACHABLE = "engine unreachable"
# Further instruments are counted, not named.
_MAX_NAMED = 10


class Verdict(msgspec.Struct, frozen=True):
    """How many of `total` instruments have a live price; only real pairs count if there are any (`real`).

    `state` is `live` when all have one, `partly` when some have, `stale` when none has, `unreachable` when
    the engine is. `dark` names the first ten without one, `pinned` the only source that may serve.
    """

    state: Literal["live", "partly", "stale", "unreachable"]
    live: int
    total: int
    real: bool
    dark: list[str]
    pinned: str | None

    @property
    def serves(self) -> bool:
        """Whether at least one of the counted instruments is live."""
        return self.state in ("live", "partly")

    def summary(self) -> str:
        """Say in one clause what is not live; empty while everything is."""
        if self.state == "live":
            return ""
        if self.state == "unreachable":
            return UNREACHABLE
        kind = "real pairs" if self.real else "instruments"
        if not self.total:
            return "there are no instruments yet"
        more = self.total - self.live - len(self.dark)
        names = ", ".join(self.dark) + (f" and {more} more" if more else "")
        return f"{self.total - self.live} of {self.total} {kind} have no live price: {names}"


def judge(quotes: Iterable[Quote], *, alive: bool, pinned: str | None) -> Verdict:
    """Judge the quotes as shown to viewers; `alive` says whether the engine can be reached."""
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
    return Verdict(state, live, len(counted), bool(real), dark[:_MAX_NAMED], pinned)
