"""The tables of docs/venues.md, made from the handlers: what each gives, its limits, the evidence for it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from crypto_stream import layout
from crypto_stream.feed.handler import TOPICS, Limits, Wanted
from crypto_stream.feed.loading import known_handlers, load_source
from crypto_stream.feed.sources import Poller, Source, Venue
from crypto_stream.market.instruments import pair

NOT_STATED = "not stated in its file"

_INTRODUCTION = f"""\
# Venues

What each handler takes from its venue, and how well the venue's protocol is known.
`{layout.COMMAND} venues` prints this file from the handlers; a test compares the two.
All numbers are those that we keep to, which may be below what the venue allows.
"""
_EVIDENCE = """\
## Evidence

*Recorded* are frames that the venue itself sent on that day; everything else was read in its documents or in
the code of clients.
"""
_PAIR = pair("BTC-USDT")
_ID = "BTC-USDT"  # of what has an id in the venue's list only
_DEFAULT = Limits()
_HOUR_S, _DAY_S = 3_600, 86_400


def venue_tables(folder: Path | None = None) -> str:
    """Return docs/venues.md, with the handlers of `folder` too; the errors are those of `load_source`."""
    sources = [load_source(name, folder, {}) for name in sorted(known_handlers(folder))]
    venues = [source for source in sources if isinstance(source, Venue | Poller)]
    topics = ("top of book", "trades", "24 h figures", "book")
    limits = ("instruments", "requests", "attempts to connect", "a connection lasts")
    given = _table(
        ("venue", *topics, "list", "older bars", *limits),
        [(f"`{each.name}`", *_given(each), *_limits(each)) for each in venues],
    )
    evidence = _table(
        ("venue", "evidence", "what it does not give"),
        [(f"`{each.name}`", stated(each, "Evidence"), stated(each, "Not given")) for each in venues],
    )
    return "\n".join([_INTRODUCTION, given, _EVIDENCE, evidence])


def stated(source: Source, word: str) -> str:
    """Return the paragraph of its file's docstring that begins with `word` and a colon."""
    text = ast.get_docstring(ast.parse(Path(source.location).read_text("utf-8"))) or ""
    for paragraph in text.split("\n\n"):
        if paragraph.startswith(f"{word}: "):
            return " ".join(paragraph.removeprefix(f"{word}: ").split())
    return NOT_STATED


def _given(source: Source) -> list[str]:
    """Say which topics it subscribes to, and what its REST interface is used for."""
    rest = source.rest
    parts = [rest.instruments if rest else None, rest.candles if rest else None]
    return _topics(source) + [_word(part is not None) for part in parts]


def _topics(source: Source) -> list[str]:
    """Say which topics a venue is asked for; what a poller gives is known only from its events."""
    if not isinstance(source, Venue):
        return ["-"] * (len(TOPICS) + 1)
    named = source.venue_id(_PAIR) or _ID
    requests = source.reader({}).subscribe([Wanted(named, _PAIR, topic) for topic in TOPICS])
    asked = {each.topic for request in requests for each in request.wanted}
    return [*(_word(topic in asked) for topic in TOPICS), _books(source)]


def _books(source: Venue) -> str:
    """Say whether it gives books, and how many at once."""
    most = source.limits.books
    return _word(source.gives_depth) if most is None else f"{most} at once"


def _limits(source: Source) -> list[str]:
    if isinstance(source, Poller):
        return ["any number", f"polled every {source.every_s:g} s", "-", "-"]
    limits = source.limits
    instruments = "any number" if limits.instruments is None else f"{limits.max_instruments:,}"
    if limits.connections > 1:
        instruments += f" on {limits.connections} connections"
    requests = f"{1 / limits.pace_s:.2g} a second" if limits.pace_s else "any number"
    if limits.requests is not None:
        requests += f", {limits.requests.most:,} in {_span(limits.requests.seconds)}"
    if limits.request_bytes != _DEFAULT.request_bytes:
        requests += f", of {limits.request_bytes:,} bytes"
    attempts, seconds = limits.attempts
    return [instruments, requests, f"{attempts} in {seconds:g} s", _span(limits.max_age_s)]


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "no limit known"
    return f"{seconds / _DAY_S:g} days" if seconds > 2 * _DAY_S else f"{seconds / _HOUR_S:g} h"


def _word(given: bool) -> str:
    return "yes" if given else "no"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', ' ') for cell in line)} |\n" for line in lines)
