"""The rules for orders that the sources gave, as the engine sent them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from crypto_stream.market.orders import Rules

_NONE = Rules()


class TradingRules:
    """The rules of each source by symbol; `version` is raised with each change."""

    def __init__(self) -> None:
        self.version = 0
        self._rules: dict[str, Mapping[str, Rules]] = {}

    def replace(self, rules: Mapping[str, Mapping[str, Rules]]) -> None:
        """Take these for all rules of all sources."""
        self._rules = dict(rules)
        self.version += 1

    def update(self, source: str, rules: Mapping[str, Rules]) -> None:
        """Replace the rules of one source."""
        self._rules[source] = rules
        self.version += 1

    def of(self, source: str | None, symbol: str) -> Rules:
        """Return the rules of a source for `symbol`; empty ones if it gave none."""
        return self._rules.get(source or "", {}).get(symbol, _NONE)

    def digits(self, symbol: str) -> tuple[int | None, int | None]:
        """Return the decimal places of prices and of amounts, from the source with the finest steps."""
        known = [rules[symbol] for rules in self._rules.values() if symbol in rules]
        ticks, lots = [one.tick for one in known if one.tick], [one.lot for one in known if one.lot]
        return max(map(_decimal_places, ticks), default=None), max(map(_decimal_places, lots), default=None)


def _decimal_places(step: str) -> int:
    return len(step.partition(".")[2])
