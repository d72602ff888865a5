"""The states of a source and the events that change them, in one table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

from crypto_stream.errors import ImpossibleEventError
from crypto_stream.market.status import SourceState

# wanted         the source is to be connected, and may be at once
# postponed      the source is to be connected, but a ban or the backoff does not allow an attempt yet
# attempt        a connection is being opened
# acknowledged   every subscription was acknowledged, or there is none
# data           something new was received
# silence        nothing new was received for `stale_after`
# failed         the connection was refused, lost or abandoned
# finished       the connection ended because the recording did
# unwanted       the source is no longer to be connected
StateEvent = Literal[
    "wanted", "postponed", "attempt", "acknowledged", "data", "silence", "failed", "finished", "unwanted"
]

# Other transitions are impossible. A connection that ends after its source was turned off changes nothing.
TABLE: Mapping[SourceState, Mapping[StateEvent, SourceState]] = MappingProxyType(
    {
        "off": {
            "wanted": "connecting",
            "postponed": "lost",
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
INITIAL_SOURCE_STATE: SourceState = "off"
INITIAL_SESSION_STATE: SourceState = "connecting"

_WORST_FIRST: tuple[SourceState, ...] = ("lost", "stale", "connecting", "connected", "live", "ended", "off")


def after(state: SourceState, event: StateEvent) -> SourceState:
    """Return the next state; raise ImpossibleEventError if the table has none."""
    try:
        return TABLE[state][event]
    except KeyError:
        raise ImpossibleEventError(f"{event!r} cannot happen to a source that is {state!r}") from None


def source_state(own: SourceState, session: SourceState | None) -> SourceState:
    """Combine a source's own state with that of its serving session, None if there is none.

    The session distinguishes the states from `connecting` to `stale`; the source's own state is `connecting`
    in all of them. A successor counts once it has replaced the serving session.
    """
    return session if session is not None and own == "connecting" else own


def worst_state(states: Iterable[SourceState]) -> SourceState:
    """Return the worst state of several connections of one source."""
    return min(states, key=_WORST_FIRST.index)
