"""What may be seen of a fault: by viewers, who judge pauses and stale prices, and by refused traders.

Orders' codes are read from the table of docs/scale.md. The times there are words; here is what each may be at
most where times are judged: on machines with a network of their own, with nothing else to do.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from typing import NamedTuple

from tests.process.programs import ROOT
from tests.rehearsal.world import GATEWAYS

_RESET = "engine_unreachable"
# "Nothing": a price changes ten times a second, but two cores start processes meanwhile.
_NOTHING_S = 1.0
# "A pause below a second", "below a second or so", "back within about a second".
_SHORT_S, _HANDED_OVER_S, _BACK_S = 1.0, 1.5, 2.0
# "A pause of 2.2 to 3 s": a gateway's patience with a relay, and joining over the other one.
_OTHER_RELAY_S = 3.0
# The lease, what follows it, and what the specification allows for any end of the leader.
_TAKEN_OVER_S = 3.5
# A client waits for half a second between its attempts, and then perhaps for the start of its gateway.
_RECONNECTED_S = 3.0
# "After about ten seconds", and then it reconnects.
_PROXY_NOTICES_S = 13.0


class Effect(NamedTuple):
    """What viewers of these `gateways` may see; all others see nothing.

    `event` is the row of the table in docs/scale.md, whose codes orders may be refused with, or empty: with
    none. `pause_s` is the longest time without a price. With `back_s` prices must turn stale, and be live
    again so long after the fault ended, at `mended_s`, at most. `reconnects`: they lose their connection.
    """

    event: str
    pause_s: float = _NOTHING_S
    gateways: Collection[str] = GATEWAYS
    reconnects: bool = False
    back_s: float | None = None
    mended_s: float = 0.0

    @property
    def codes(self) -> frozenset[str]:
        """The codes that orders may be refused with."""
        return codes()[self.event] if self.event else frozenset()


NOTHING = Effect("")
RELAY_DIES = Effect("one relay of two dies", _SHORT_S)
RELAY_HANGS = Effect("one relay of two hangs, or is cut off from a gateway", _OTHER_RELAY_S)
RELAY_LOSES_ENGINE = Effect("one relay of two is cut off from the engine", _OTHER_RELAY_S)
ALL_RELAYS_DIE = Effect("the only relay, or all, die", back_s=_BACK_S)
RELAY_RESTARTED = Effect("a relay is restarted, empty", _HANDED_OVER_S)
RELAY_DOZES = Effect("a relay hangs for less than 2 s", 2.0 + _NOTHING_S)
RELAY_CUTS_OFF = Effect("the relay cuts clients off (`client-output-buffer-limit`, `CLIENT KILL`)", _SHORT_S)
LEADER_VANISHES = Effect("the leader's machine vanishes, or it is paused (an engine follows)", _TAKEN_OVER_S)
LEADER_CUT_OFF = Effect("the leader is cut off from PostgreSQL (an engine follows)", _TAKEN_OVER_S)
LEADER_KILLED = Effect("the leader is killed, its machine lives (an engine follows)", _TAKEN_OVER_S)
LEADER_STOPPED = Effect(
    "the leader is stopped cleanly or upgraded, or its supervisor is killed (an engine follows)",
    _HANDED_OVER_S,
)
FOLLOWER_DIES = Effect("the follower dies")
ENGINES_DIE = Effect("both engines die", back_s=_BACK_S)
TWO_ENGINES = Effect("two engines publish, each over a relay of its own", _TAKEN_OVER_S)
DATABASE = Effect("PostgreSQL crashes, hangs, is restarted or fails over")
GATEWAY_KILLED = Effect("a gateway, or its supervisor, is killed", _RECONNECTED_S, reconnects=True)
GATEWAY_VANISHES = Effect("a gateway's machine vanishes", _PROXY_NOTICES_S, reconnects=True)
GATEWAY_ALONE = Effect("a gateway's machine is cut off from all relays", back_s=_BACK_S)
GATEWAY_SLOW = Effect("a gateway is too slow, or was stopped: more than 2.5 s behind")
GATEWAY_RELOADED = Effect("gateways are reloaded (SIGUSR1)", _RECONNECTED_S, reconnects=True)
PROXY_KILLED = Effect("the proxy is killed", _RECONNECTED_S, reconnects=True)
WRONG_CLOCK = Effect("an engine whose clock is minutes wrong leads", _HANDED_OVER_S)

# Rows of the table that nothing here lets happen, and what does.
ELSEWHERE = {
    "the engine is killed": "one engine alone: tests/process/test_upgrade.py, `make crash`",
    "PostgreSQL is away for longer than bars can wait in memory": (
        "a quarter of an hour, since 100,000 bars are no setting: fewer in tests/history/test_writer.py"
    ),
    "a relay is too slow for the engine (4 MB unsent, or 20,000 messages unanswered)": "tests/bus",
    "the machine's clock goes back while the engine is stopped": "one engine alone: `make rehearse-clock`",
    "a new engine with another data directory, on a machine whose clock is behind": "tests/bus",
}


@cache
def codes() -> dict[str, frozenset[str]]:
    """Return the codes that orders may be refused with, for each row of the table in docs/scale.md."""
    text = (ROOT / "docs" / "scale.md").read_text("utf-8")
    table = text.split("| event | viewers | orders |\n| --- | --- | --- |\n")[1].split("\n\n")[0]
    found = {}
    for line in table.splitlines():
        event, _, orders = (cell.strip() for cell in line.strip("|").split(" | "))
        named = re.findall(r"`(\w+)`", orders) + [_RESET] * ("reset" in orders)
        found[event] = frozenset(named)
    return found
