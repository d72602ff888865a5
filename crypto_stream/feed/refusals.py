"""The HTTP statuses with which venues refuse a WebSocket, and how long to wait after each. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from crypto_stream.errors import RetryLaterError, VenueError

_NOT_AVAILABLE_S = 600.0  # HTTP 451: not available from this country; that will not change soon
_BANNED_S = 120.0  # HTTP 403 and 418 without a stated end: Binance's shortest ban
_BUSY_S = 30.0  # HTTP 429 without a stated end
_LONGEST_S = 3 * 24 * 3600.0  # the longest ban any venue states


def refusal(status: int, headers: Mapping[str, str], now_s: float) -> VenueError:
    """Return the error for the HTTP status of a refused upgrade; `now_s` is wall-clock time."""
    stated = _retry_after(headers, now_s)
    if status == 451:
        reason = "HTTP 451: this venue is not available from here"
        return RetryLaterError(reason, stated or _NOT_AVAILABLE_S, next_host=True)
    if status in (403, 418):
        seconds = stated or _BANNED_S
        # 418 is Binance's ban of an IP address, at all its hosts; 403 is one host's firewall.
        reason = f"HTTP {status}: banned for {seconds:g} s"
        return RetryLaterError(reason, seconds, next_host=status == 403, breaker=True)
    if status == 429 or stated:
        seconds = stated or _BUSY_S
        return RetryLaterError(f"HTTP {status}: asked to wait {seconds:g} s", seconds)
    return VenueError(f"HTTP {status} instead of a WebSocket")


def _retry_after(headers: Mapping[str, str], now_s: float) -> float | None:
    """Parse seconds or a date (RFC 9110, 10.2.3), which is on the venue's own clock if that is known."""
    text = _header(headers, "Retry-After")
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_S)
    until_s = _date(text)
    if until_s is None:
        return None
    return min(max(0.0, until_s - (_date(_header(headers, "Date")) or now_s)), _LONGEST_S)


def _header(headers: Mapping[str, str], name: str) -> str:
    """Return a header's text, empty if it is missing or repeated."""
    try:
        return headers.get(name, "").strip()
    except LookupError:
        return ""


def _date(text: str) -> float | None:
    try:
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
