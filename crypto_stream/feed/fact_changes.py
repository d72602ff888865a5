"""Which instruments are affected by changes of the sources' facts. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set

from crypto_stream.feed.facts import Facts, SourceFacts


class _Connection:
    """A connection, its instruments, and its facts as last seen."""

    __slots__ = ("begun_ns", "explanation", "facts", "halted", "live", "refused", "source", "symbols")

    def __init__(self, source: str, facts: SourceFacts) -> None:
        self.source = source
        self.facts = facts
        self.symbols: set[str] = set()
        self.live: tuple[object, ...] | None = None
        self.begun_ns = 0
        self.explanation: tuple[object, ...] = ()
        self.halted: dict[str, str] = {}
        self.refused: dict[str, str] = {}


class FactChanges:
    """Compare each connection with its facts as last seen; instruments of an unchanged one cost nothing.

    An instrument must not change its connection: `remove` and `add` it instead.
    """

    def __init__(self) -> None:
        self._connections: dict[tuple[str, int], _Connection] = {}
        self._new: dict[str, Sequence[str]] = {}

    def add(self, symbol: str, chain: Sequence[str]) -> None:
        """Follow `symbol` at the sources of its chain."""
        self._new[symbol] = chain

    def remove(self, symbol: str) -> None:
        """No longer follow `symbol`."""
        self._new.pop(symbol, None)
        for connection in self._connections.values():
            connection.symbols.discard(symbol)

    def check(self, facts: Facts, unserved: Set[str], missing: Collection[tuple[str, str]]) -> Iterable[str]:
        """Return the instruments to reconsider.

        Reasons of a source that is not live affect only the `unserved` instruments, because they are shown. A
        new connection may deliver what is `missing` (source, symbol).
        """
        self._assign(facts)
        found: set[str] = set()
        for connection in self._connections.values():
            now, symbols = connection.facts, connection.symbols
            begun_ns, state = now.unbroken_since_ns, now.state
            live = (now.failed, now.live_since_ns, begun_ns) if state == "live" else None
            if live != connection.live:
                connection.live = live
                found |= symbols
            if begun_ns != connection.begun_ns:
                connection.begun_ns = begun_ns
                found.update(symbol for source, symbol in missing if source == connection.source)
            if now.halted != connection.halted:
                before, connection.halted = connection.halted, dict(now.halted)
                found |= symbols & _differing(before, connection.halted)
            if unserved and (changed := self._reasons_changed(connection, state)):
                found |= changed & symbols & unserved
        return found

    def _reasons_changed(self, connection: _Connection, state: str) -> Set[str]:
        """Return the instruments whose reason for being unserved may have changed."""
        explanation, refused = (state, connection.facts.reason), connection.facts.refused
        before, refused_before = connection.explanation, connection.refused
        if refused != refused_before:
            connection.refused = dict(refused)
        if explanation != before:
            connection.explanation = explanation
            return connection.symbols
        return _differing(refused_before, connection.refused)

    def _assign(self, facts: Facts) -> None:
        """Assign new instruments to their connections."""
        for symbol, chain in self._new.items():
            for source in chain:
                source_facts = facts[source].of(symbol)
                key = (source, id(source_facts))
                connection = self._connections.get(key)
                if connection is None:
                    connection = self._connections[key] = _Connection(source, source_facts)
                connection.symbols.add(symbol)
        self._new.clear()


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    if before is after:
        return set()
    return {symbol for symbol in before.keys() | after.keys() if before.get(symbol) != after.get(symbol)}
