"""Which instruments the sources' facts may decide anew, found by comparing connections. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set

from crypto_stream.feed.facts import Facts, SourceFacts


class _Connection:
    """A connection, the instruments that it carries, and how it was seen last."""

    __slots__ = ("begun_ns", "facts", "halted", "live", "refused", "said", "source", "symbols")

    def __init__(self, source: str, facts: SourceFacts) -> None:
        self.source = source
        self.facts = facts
        self.symbols: set[str] = set()
        self.live: tuple[object, ...] | None = None
        self.begun_ns = 0
        self.said: tuple[object, ...] = ()
        self.halted: dict[str, str] = {}
        self.refused: dict[str, str] = {}


class FactChanges:
    """Compare each connection with how it was seen last; what did not change costs its instruments nothing.

    Which connection carries an instrument must not change while the instrument is here: give it `remove` and
    `add` where it does.
    """

    def __init__(self) -> None:
        """Begin with no instrument."""
        self._connections: dict[tuple[str, int], _Connection] = {}
        self._new: dict[str, Sequence[str]] = {}

    def add(self, symbol: str, chain: Sequence[str]) -> None:
        """Look after `symbol` at the sources of its chain."""
        self._new[symbol] = chain

    def remove(self, symbol: str) -> None:
        """Look after it no more."""
        self._new.pop(symbol, None)
        for connection in self._connections.values():
            connection.symbols.discard(symbol)

    def look(self, facts: Facts, unserved: Set[str], lacking: Collection[tuple[str, str]]) -> Iterable[str]:
        """Name the instruments to decide anew.

        What a source says while it is not live concerns only the `unserved` ones, whose reason it is. A new
        connection concerns what is `lacking` (source, symbol), too: it may be given there.
        """
        self._place(facts)
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
                found.update(symbol for source, symbol in lacking if source == connection.source)
            if now.halted != connection.halted:
                before, connection.halted = connection.halted, dict(now.halted)
                found |= symbols & _differing(before, connection.halted)
            if unserved and (anew := self._said_anew(connection, state)):
                found |= anew & symbols & unserved
        return found

    def _said_anew(self, connection: _Connection, state: str) -> Set[str]:
        """Name those whose reason, should nothing serve them, may be another one now."""
        said, refused = (state, connection.facts.reason), connection.facts.refused
        before, was_refused = connection.said, connection.refused
        if refused != was_refused:
            connection.refused = dict(refused)
        if said != before:
            connection.said = said
            return connection.symbols
        return _differing(was_refused, connection.refused)

    def _place(self, facts: Facts) -> None:
        """Find out which connections carry the new instruments."""
        for symbol, chain in self._new.items():
            for source in chain:
                line = facts[source].of(symbol)
                key = (source, id(line))
                connection = self._connections.get(key)
                if connection is None:
                    connection = self._connections[key] = _Connection(source, line)
                connection.symbols.add(symbol)
        self._new.clear()


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    if before is after:
        return set()
    return {symbol for symbol in before.keys() | after.keys() if before.get(symbol) != after.get(symbol)}
