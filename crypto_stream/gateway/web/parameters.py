"""Query parameters: unknown ones are refused; times may be ms or ISO 8601."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime

from flask import request

from crypto_stream.gateway.web.problems import ProblemError

# Some libraries add this parameter to defeat caches.
_IGNORED = "_"
_MAX_DIGITS = 19
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|z|[+ -]\d{2}:?\d{2})?)?")
# Read as ms, these would be in the early 1970s or centuries ahead: another unit was meant.
_UNITS = ((10**8, 10**11, "seconds", "* 1000"), (10**14, 10**17, "microseconds", "/ 1000"))
_NANOSECONDS = (10**17, 10**20, "nanoseconds", "/ 1000000")


def query_parameters(known: Collection[str] = ()) -> dict[str, str]:
    """Return the parameters of the current request; ProblemError names one that is not `known`."""
    found = {name: request.args[name] for name in request.args if name != _IGNORED}
    for name in found:
        if name not in known:
            which = f"known: {', '.join(sorted(known))}" if known else "this address takes none"
            hint = "; one quote is at /courses/SYMBOL" if name in {"symbol", "symbols"} else ""
            raise bad_parameter(name, f"unknown parameter {name[:40]}; {which}{hint}")
    return found


def parse_count(name: str, text: str) -> int:
    """Parse a count; ProblemError if it is not one."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise bad_parameter(name, f"{name} must be a whole number without a sign, not {text[:40]!r}")
    return int(text)


def parse_time(name: str, text: str) -> int:
    """Parse a time, ms since the epoch or ISO 8601 (UTC unless it names a zone); return ms."""
    if text.isascii() and _DATE.fullmatch(text):
        return _of_date(name, text)
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        text = text[:40]
        expected = "a whole number of ms or an ISO 8601 time (2026-01-31T12:00:00Z)"
        raise bad_parameter(name, f"{name} must be {expected}, not {text!r}")
    value = int(text)
    for least, most, unit, factor in (*_UNITS, _NANOSECONDS):
        if least <= value < most:
            raise bad_parameter(name, f"{name} is in ms; {text} looks like {unit}: send {text} {factor}")
    return value


def bad_parameter(name: str, text: str) -> ProblemError:
    """Make the problem for a wrong parameter."""
    return ProblemError(400, "bad_parameter", text, parameter=name)


def _of_date(name: str, text: str) -> int:
    zone = re.sub(r" (\d{2}:?\d{2})$", r"+\1", text) if text.count(" ") and "T" in text else text
    try:
        read = datetime.fromisoformat(zone.upper())
    except ValueError as error:
        raise bad_parameter(name, f"{name}: {text!r} is not a time: {error}") from None
    aware = read if read.tzinfo else read.replace(tzinfo=UTC)
    return max(0, round(aware.timestamp() * 1000))
