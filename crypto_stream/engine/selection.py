"""Which pairs are chosen, by the setting and by requests, as the venues' lists become known."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

import httpx

from crypto_stream.bus.messages import ChangedInstruments, ChangeInstruments
from crypto_stream.engine.allocation import WITHOUT_LIST, carries_pairs, choices, has_venues, named_pairs
from crypto_stream.engine.composition import Composition
from crypto_stream.engine.kept_pairs import KeptPair, restored
from crypto_stream.engine.roster import Roster
from crypto_stream.errors import MalformedFrame, RefusedError
from crypto_stream.feed.rest import rest_client
from crypto_stream.feed.sources import Source
from crypto_stream.market.choices import (
    Chosen,
    Largest,
    Named,
    Pair,
    Pattern,
    instruments_of,
    parse_choice,
)
from crypto_stream.market.instruments import Instrument, fold
from crypto_stream.settings import Settings

log = logging.getLogger(__name__)

# How long the lists of preferred venues are waited for after the first one.
_GRACE_S = 5.0
# At least between two looks at the lists: a bridge may send one at any time.
_PAUSE_S = 1.0
_NO_LIST = "no venue's list of pairs is known yet; try again, or name the pair"


class Selection:
    """The chosen pairs. `initial` are those of a start, which needs no network; `run` follows the lists.

    A pattern adds what is newly listed. `top:N` is resolved once, by the first source that tells volumes: no
    pair disappears because others grew. What is chosen, and what requests added and removed, is stored with
    `save`, and restored from `stored`.
    """

    def __init__(
        self, settings: Settings, sources: Sequence[Source], stored: str | None, save: Callable[[str], None]
    ) -> None:
        """Parse the setting; raise SettingError if it is invalid."""
        self._sources = [source for source in sources if carries_pairs(source)]
        self._choices = choices(settings) if settings.explicit_pairs or has_venues(sources) else []
        self._named = named_pairs(settings, sources)
        self._by_default = not settings.explicit_pairs
        self._words = settings.pairs
        self._kept = restored(stored, self._words)
        self._save = save
        self._lock = asyncio.Lock()
        self._fetched = asyncio.Event()
        self._feed: Composition | None = None
        self._roster: Roster | None = None

    def restore(self, stored: str | None) -> None:
        """Continue from what another engine has stored since; to be called before `run`."""
        self._kept = restored(stored, self._words)

    def initial(self) -> list[Chosen]:
        """Return the pairs to start with: the named ones, and those that were chosen before."""
        names = [source.name for source in self._sources]
        kept = [each.chosen(names) for each in self._kept.pairs] if names else []
        if self._by_default and self._kept.largest:
            return kept
        named = [each for each in self._named if each.instrument.symbol not in self._kept.removed]
        return [*named, *kept]

    async def run(self, feed: Composition, roster: Roster) -> None:
        """Follow the venues' lists until cancelled."""
        self._feed, self._roster = feed, roster
        listings = [feed.loop.sources[source.name].listing for source in self._sources]
        for listing in listings:
            listing.fetched.append(self._fetched.set)
        self._seek_lists(feed)
        if all(each.markets is None for each in listings):  # an engine that followed knows some already
            await self._fetched.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                while any(each.is_expected and each.markets is None for each in listings):
                    self._fetched.clear()
                    await self._fetched.wait()
        while True:
            self._fetched.clear()
            async with self._lock:
                await self._follow_lists(feed, roster)
            self._seek_lists(feed)
            await asyncio.sleep(_PAUSE_S)
            await self._fetched.wait()

    async def change(self, request: ChangeInstruments) -> ChangedInstruments:
        """Remove and add instruments; raise RefusedError, and change nothing, if a part is impossible."""
        feed, roster = self._feed, self._roster
        if feed is None or roster is None:
            raise RefusedError("starting", "the engine is starting; try again in a second")
        async with self._lock:
            gone = list(dict.fromkeys(self._removable(feed, text) for text in request.remove))
            listed, chosen = self._listed(feed), list[Chosen]()
            for text in request.add:
                chosen += await self._resolve(feed, text, listed)
                await asyncio.sleep(0)  # there may be a thousand words, each compared with all pairs
            try:
                await roster.remove(gone)
            finally:  # its gateway may be gone, and this be cancelled; adding may be interrupted
                self._kept.remove(gone)
                self._save(self._kept.encode())
            added = await self._add(feed, roster, chosen, asked=True)
            self._save(self._kept.encode())
            self._seek_lists(feed)
        wanted = {feed.instruments.named(each.instrument).symbol for each in chosen}
        return ChangedInstruments(added, gone, sorted(wanted - feed.instruments.keys()))

    def _seek_lists(self, feed: Composition) -> None:
        """Let sources connect whose lists are needed, and come only then: nothing else connects them yet."""
        needed = any(not isinstance(each, Named) for each in self._choices)
        sending = [source.name for source in self._sources if source.sends_list and needed]
        sources = {name: feed.loop.sources[name] for name in sending}
        feed.loop.sought = {
            name for name, each in sources.items() if each.listing.markets is None or not each.carries
        }
        feed.loop.changed()

    async def _follow_lists(self, feed: Composition, roster: Roster) -> None:
        """Choose by the newest lists, and let sources carry what they list now."""
        listed = self._listed(feed)
        before = self._kept.encode()
        chosen: list[Chosen] = []
        if not self._kept.largest and (found := await self._largest_of_setting(feed)) is not None:
            self._kept.largest = True
            chosen += self._chosen(found, listed)
            if self._by_default:
                await self._replace_default(feed, roster, chosen)
        patterns = [each for each in self._choices if isinstance(each, Pattern)]
        matching = [pair for pair in listed if any(each.matches(pair) for each in patterns)]
        chosen += self._chosen(matching, listed)
        removed = set(self._kept.removed)
        await self._add(
            feed,
            roster,
            [each for each in chosen if feed.instruments.named(each.instrument).symbol not in removed],
        )
        self._extend(feed, roster, listed)
        if self._kept.encode() != before:
            self._save(self._kept.encode())

    async def _add(
        self, feed: Composition, roster: Roster, chosen: Sequence[Chosen], *, asked: bool = False
    ) -> list[str]:
        """Add what is new, and keep all of it; return the symbols of what was added."""
        new = [each for each in chosen if each.instrument != feed.instruments.get(each.instrument.symbol)]
        added = await roster.add(new)
        known = set[str]() if asked else {each.symbol for each in self._kept.pairs}
        found = (feed.instruments.named(each.instrument) for each in chosen)
        kept = [
            KeptPair(symbol, one.base, one.quote, list(feed.failover.chains[symbol]), asked)
            for one in found
            if (symbol := one.symbol) in feed.instruments and symbol not in known
        ]
        self._kept.add(kept)
        return added

    async def _replace_default(self, feed: Composition, roster: Roster, chosen: Sequence[Chosen]) -> None:
        """Remove the pairs that stood in for the largest ones, as far as they are not among them."""
        kept = {each.instrument.symbol for each in chosen} | {each.symbol for each in self._kept.pairs}
        await roster.remove([name for name in WITHOUT_LIST if name in feed.instruments and name not in kept])

    def _extend(self, feed: Composition, roster: Roster, listed: Mapping[Pair, list[str]]) -> None:
        """Let sources carry the pairs from lists that they list only now."""
        for each in self._kept.pairs:
            names = listed.get((each.base or "", each.quote or ""), ())
            if each.symbol in feed.instruments and set(names).difference(feed.failover.chains[each.symbol]):
                roster.extend(each.symbol, names)

    async def _resolve(self, feed: Composition, text: str, listed: Mapping[Pair, list[str]]) -> list[Chosen]:
        """Return the pairs that one word of a request means; RefusedError if there are none."""
        try:
            choice = parse_choice(text)
        except ValueError as error:
            raise RefusedError("bad_parameter", str(error)) from None
        if isinstance(choice, Named):
            return [self._resolve_name(feed, choice.instrument, listed)]
        if not listed:
            raise RefusedError("no_list", _NO_LIST)
        if isinstance(choice, Pattern):
            found = [pair for pair in listed if choice.matches(pair)]
        elif (volumes := await self._volumes(feed)) is None:
            raise RefusedError(
                "no_list", "no venue tells the volumes of its pairs now; try again, or name them"
            )
        else:
            found = choice.of(volumes)
        if not found:
            raise RefusedError("unknown_instrument", f"no venue lists a pair like {text!r}")
        return self._chosen(found, listed)

    def _resolve_name(
        self, feed: Composition, wanted: Instrument, listed: Mapping[Pair, list[str]]
    ) -> Chosen:
        """Return a pair with the sources that list it, or that have no list which says they do not."""
        if wanted.base is None:  # a joined name that only a list can split
            meant = (found for found in listed if fold("".join(found)) == wanted.symbol)
            wanted = next(iter(instruments_of(meant)), wanted)
        known = feed.instruments.named(wanted)
        if known.symbol in feed.instruments:
            return Chosen(known)
        pair = (wanted.base or "", wanted.quote or "")
        names = [
            source.name
            for source in self._sources
            if feed.loop.sources[source.name].listing.markets is None or source.name in listed.get(pair, ())
        ]
        if not names:
            name = "-".join(filter(None, (wanted.base, wanted.quote))) or wanted.symbol
            raise RefusedError("unknown_instrument", f"no venue lists {name}")
        return Chosen(wanted, frozenset(names))

    def _removable(self, feed: Composition, text: str) -> str:
        """Return the symbol that `text` means; RefusedError unless it is a pair of the venues."""
        found = feed.instruments.get(text.strip().casefold()) or feed.instruments.get(fold(text))
        if found is None:
            raise RefusedError("unknown_instrument", f"there is no instrument {text[:40]!r}")
        own = {source.name for source in feed.sources if not carries_pairs(source)}
        if fixed := own.intersection(feed.failover.chains[found.symbol]):
            name = min(fixed)
            raise RefusedError(
                "bad_parameter", f"{found.symbol} belongs to the source {name}: leave that out"
            )
        return found.symbol

    def _listed(self, feed: Composition) -> dict[Pair, list[str]]:
        """Return the pairs that venues list and trade, with those venues, best first."""
        found: dict[Pair, list[str]] = {}
        for source in self._sources:
            markets = feed.loop.sources[source.name].listing.markets or {}
            for pair, listed in markets.items():
                without = fold("".join(pair)) in source.without
                if not listed.state and not without:  # it trades, or the list does not say
                    found.setdefault(pair, []).append(source.name)
        return found

    def _chosen(self, found: Iterable[Pair], listed: Mapping[Pair, list[str]]) -> list[Chosen]:
        instruments = instruments_of(pair for pair in found if pair in listed)
        return [
            Chosen(each, frozenset(listed[each.base, each.quote]))
            for each in instruments
            if each.base and each.quote
        ]

    async def _largest_of_setting(self, feed: Composition) -> list[Pair] | None:
        """Resolve each `top:N` of the setting; None if there is none, or no venue tells its volumes now."""
        wanted = [each for each in self._choices if isinstance(each, Largest)]
        volumes = await self._volumes(feed) if wanted else None
        return None if volumes is None else [pair for each in wanted for pair in each.of(volumes)]

    async def _volumes(self, feed: Composition) -> dict[Pair, str] | None:
        """Fetch 24 h volumes in the quote currency from the first source that tells; None if none does."""
        for source in self._sources:
            markets = feed.loop.sources[source.name].listing.markets
            if source.rest is None or source.rest.volumes is None or markets is None:
                continue
            try:
                async with rest_client(source.rest.url) as http:
                    told = await source.rest.volumes(http)
            except (httpx.HTTPError, MalformedFrame) as error:
                extra = {"source": source.name, "reason": str(error) or repr(error)}
                log.info("volumes not available", extra=extra)
                continue
            except Exception:  # a bug in a handler
                log.exception("error in a handler", extra={"source": source.name})
                continue
            return {
                pair: told[each.id] for pair, each in markets.items() if each.id in told and not each.state
            }
        return None
