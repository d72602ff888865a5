"""What the feed says about its sources: values that flow to viewers, log and metrics."""

from __future__ import annotations

from typing import Literal

import msgspec

SourceState = Literal["off", "connecting", "connected", "live", "stale", "lost", "ended"]


class SourceStatus(msgspec.Struct, frozen=True):
    """One source at one moment; times are ms since the epoch, ages ms, None where not known.

    `reason` says why the state is what it is ("HTTP 451: not available from here, next try in 600 s"),
    `last_error` keeps the newest failure after it is over. `frames` counts received frames by channel.
    `real` of the instruments it carries are real pairs: a pin to a source without any serves nobody.
    `asked_again` says when what was refused is asked for again, `left_out` what it has no room for.
    `lacking` says of which instruments some channels give nothing although they should.
    """

    name: str
    state: SourceState
    since: int
    pinned: bool
    reason: str | None
    last_error: str | None
    age_ms: int | None
    reconnects: int
    serving: int
    carries: int
    url: str | None = None
    retry_at: int | None = None
    frames: dict[str, int] = {}
    dropped: dict[str, int] = {}
    refused: dict[str, str] = {}
    real: int = 0
    lacking: dict[str, str] = {}
    asked_again: dict[str, int] = {}
    left_out: list[str] = []


class Switch(msgspec.Struct, frozen=True):
    """Instruments changed the source that serves them; None on either side is "no live source"."""

    symbols: list[str]
    from_: str | None = msgspec.field(name="from")
    to: str | None
    reason: str
    time: int


class Start(msgspec.Struct, frozen=True):
    """The engine was started; `run` names what began then."""

    time: int
    run: str


class Timeline(msgspec.Struct, frozen=True):
    """What the engine remembers of switches and its own starts since `since`, over restarts, oldest first."""

    since: int
    switches: list[Switch] = []
    starts: list[Start] = []


class VenueRow(msgspec.Struct, frozen=True):
    """One connected source's own quote of an instrument, served or not.

    `reason` says why it is stale, what of the instrument the source does not give, or why it would not serve
    it next: its price is too far from the one served. Such a row is not among the best.
    """

    source: str
    state: str
    serving: bool
    stale: bool
    price: str | None
    bid: str | None
    bid_size: str | None
    ask: str | None
    ask_size: str | None
    time: int | None
    age_ms: int | None
    reason: str | None = None


class Venues(msgspec.Struct, frozen=True):
    """All sources' own quotes of one instrument, and the best live bid and ask among them.

    `serving` is the source in use or None; `reason` says why the instrument is stale, or what of it the
    source in use does not give, None while all is well.
    """

    symbol: str
    serving: str | None
    stale: bool
    reason: str | None
    best_bid: str | None
    best_bid_source: str | None
    best_ask: str | None
    best_ask_source: str | None
    sources: list[VenueRow]
