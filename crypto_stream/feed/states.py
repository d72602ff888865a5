"""The states of a source and the events that change them, in one table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

from crypto_stream.errors import ImpossibleEventError
from crypto_stream.market.status import SourceState

# wanted         it is to be connected, and may be at once
# barred         it is to be connected, but a ban or the back-off does not allow an attempt yet
# attempt        a connection is being opened
# acknowledged   every subscription was acknowledged, or there is none to acknowledge
# data           something new was received
# silence        nothing new was received for `stale_after`
# failed         the connection was refused, lost or abandoned
# finished       the connection ended because there is nothing more to come
# unwanted       it is not to be connected any more
StateEvent = Literal[
    "wanted", "barred", "attempt", "acknowledged", "data", "silence", "failed", "finished", "unwanted"
]

# What is missing cannot happen. A connection that ends after its source was turned off changes nothing.
TABLE: Mapping[SourceState, Mapping[StateEvent, SourceState]] = MappingProxyType(
    {
        "off": {
            "wanted": "connecting",
            "barred": "lost",
            "failed": "off",
            "finished": "off",
        },
        "connecting": {
            "attempt": "connecting",
            "acknowledged": "connected",
            "data": "live",
            "silence": "stale",
            "failed": "lost",
            "finished": "ended",
            "unwanted": "off",
        },
        "connected": {
            "acknowledged": "connected",
            "data": "live",
            "silence": "stale",
            "failed": "lost",
            "finished": "ended",
            "unwanted": "off",
        },
        "live": {
            "acknowledged": "live",
            "data": "live",
            "silence": "stale",
            "failed": "lost",
            "finished": "ended",
            "unwanted": "off",
        },
        "stale": {
            "acknowledged": "stale",
            "data": "live",
            "failed": "lost",
            "finished": "ended",
            "unwanted": "off",
        },
        "lost": {
            "attempt": "connecting",
            "unwanted": "off",
        },
        "ended": {
            "unwanted": "ended",
        },
    }
)

# A source begins `off`, each of its connections `connecting`.
SOURCE_BEGINS: SourceState = "off"
SESSION_BEGINS: SourceState = "connecting"

_WORST_FIRST: tuple[SourceState, ...] = ("lost", "stale", "connecting", "connected", "live", "ended", "off")


def after(state: SourceState, event: StateEvent) -> SourceState:
    """Return the state that follows; ImpossibleEventError where the table has none."""
    try:
        return TABLE[state][event]
    except KeyError:
        raise ImpossibleEventError(f"{event!r} cannot happen to a source that is {state!r}") from None


def of_source(own: SourceState, session: SourceState | None) -> SourceState:
    """Combine a source's own state with that of the session that serves it, None where there is none.

    A session tells the states from `connecting` to `stale` apart; its source has only to know that it is
    `connecting`. A successor, opened while the session still runs, counts once it has replaced it.
    """
    return session if session is not None and own == "connecting" else own


def of_connections(states: Iterable[SourceState]) -> SourceState:
    """Combine the states of several connections of one source: the worst counts."""
    return min(states, key=_WORST_FIRST.index)
