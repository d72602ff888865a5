"""Query parameters: what is not known is refused, and times are read as people and programs write them."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime

from flask import request

from crypto_stream.gateway.web.problems import ProblemError

# What some libraries add so that nothing between here and them keeps an answer; it means nothing.
_IGNORED = "_"
_LONGEST = 19  # digits of a number that any parameter could need
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|z|[+ -]\d{2}:?\d{2})?)?")
# As ms these are days of 1970 to 1973, or centuries ahead: they were meant as another unit.
_UNITS = ((10**8, 10**11, "seconds", "* 1000"), (10**14, 10**17, "microseconds", "/ 1000"))
_NANOSECONDS = (10**17, 10**20, "nanoseconds", "/ 1000000")


def given(known: Collection[str] = ()) -> dict[str, str]:
    """Return the parameters of the present request; ProblemError names one that is not `known`."""
    found = {name: request.args[name] for name in request.args if name != _IGNORED}
    for name in found:
        if name not in known:
            few = f"known: {', '.join(sorted(known))}" if known else "this address takes none"
            hint = "; one quote is at /courses/SYMBOL" if name in {"symbol", "symbols"} else ""
            raise wrong(name, f"{name[:40]} is no parameter here; {few}{hint}")
    return found


def number(name: str, text: str) -> int:
    """Read a count; ProblemError for what is none."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST):
        raise wrong(name, f"{name} is a whole number without a sign, not {text[:40]!r}")
    return int(text)


def moment(name: str, text: str) -> int:
    """Read a time: ms since the epoch, or ISO 8601, in UTC where it names no zone; return ms."""
    if text.isascii() and _DATE.fullmatch(text):
        return _of_date(name, text)
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST):
        text = text[:40]
        raise wrong(name, f"{name} is a whole number of ms, or ISO 8601 (2026-01-31T12:00:00Z), not {text!r}")
    value = int(text)
    for least, most, unit, factor in (*_UNITS, _NANOSECONDS):
        if least <= value < most:
            raise wrong(name, f"{name} is in ms; {text} looks like {unit}: send {text} {factor}")
    return value


def wrong(name: str, text: str) -> ProblemError:
    """Make the problem of a parameter."""
    return ProblemError(400, "bad_parameter", text, parameter=name)


def _of_date(name: str, text: str) -> int:
    zone = re.sub(r" (\d{2}:?\d{2})$", r"+\1", text) if text.count(" ") and "T" in text else text
    try:
        read = datetime.fromisoformat(zone.upper())
    except ValueError as error:
        raise wrong(name, f"{name}: {text!r} is no time: {error}") from None
    aware = read if read.tzinfo else read.replace(tzinfo=UTC)
    return max(0, round(aware.timestamp() * 1000))
