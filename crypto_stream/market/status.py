"""The state of the feed's sources, as sent to viewers, log and metrics."""

from __future__ import annotations

from typing import Literal

import msgspec

SourceState = Literal["off", "connecting", "connected", "live", "stale", "lost", "ended"]


class SourceStatus(msgspec.Struct, frozen=True):
    """The state of one source; times are ms since the epoch, ages in ms, None where unknown.

    - `reason`: why it is in this state ("HTTP 451: not available from here, next try in 600 s")
    - `last_error`: the newest failure, even after recovery
    - `frames`, `dropped`: received frames and rejected events, by channel
    - `real`: how many of the instruments it carries are real pairs
    - `refused`, `next_retry`: instruments the venue refused, with reason and time of the next attempt
    - `left_out`: instruments that exceed what the venue can carry
    - `lacking`: instruments with a channel that delivers nothing although it should
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
    next_retry: dict[str, int] = {}
    left_out: list[str] = []


class Switch(msgspec.Struct, frozen=True):
    """Instruments switched from one source to another; None on either side means "no live source"."""

    symbols: list[str]
    from_: str | None = msgspec.field(name="from")
    to: str | None
    reason: str
    time: int


class Start(msgspec.Struct, frozen=True):
    """The engine was started; `run` identifies the run that began then."""

    time: int
    run: str


class Timeline(msgspec.Struct, frozen=True):
    """Switches and engine starts since `since`, oldest first; survives restarts."""

    since: int
    switches: list[Switch] = []
    starts: list[Start] = []


class VenueRow(msgspec.Struct, frozen=True):
    """The quote of an instrument at one connected source, whether or not that source is serving.

    `reason` says why it is stale, what the source does not deliver, or why it could not serve: its price is
    too far from the one served, which also excludes it from the best bid and ask.
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
    """The quotes of one instrument at all sources, and the best live bid and ask among them.

    `serving` is the serving source or None; `reason` says why the instrument is stale, or what the serving
    source does not deliver, and is None if all is well.
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
