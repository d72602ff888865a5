"""The setting `origins`: kept as browsers send them, or refused with a sentence."""

from __future__ import annotations

import pytest

from crypto_stream.errors import SettingError
from crypto_stream.settings import load


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://App.Example", "https://app.example"),
        ("HTTPS://app.example", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:80/", "http://app.example"),
        ("https://app.example/", "https://app.example"),
        ("https://app.example:8443", "https://app.example:8443"),
        ("http://app.example:443", "http://app.example:443"),
        ("https://b\u00fccher.example", "https://xn--bcher-kva.example"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://[2001:DB8::1]:8000", "http://[2001:db8::1]:8000"),
        ("*", "*"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(given: str, kept: str) -> None:
    """What could never match is written so that it does."""
    assert load({"origins": given}).origins == (kept,)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("app.example", "write https://"),
        ("null", "write https://"),
        ("https://", "write https://"),
        ("ftp://app.example", "write https://"),
        ("https://app.example/page", "write https://app.example"),
        ("https://app.example?x", "write https://app.example"),
        ("https://me@app.example", "write https://app.example"),
        ("https://*.example", "stands alone"),
        ("https://app.example:x", "not an origin"),
        ("https://app.example:99999", "not an origin"),
        ("https://[::1", "not an origin"),
    ],
)
def test_what_no_browser_sends_is_refused_with_a_sentence(given: str, said: str) -> None:
    """It names the setting, the value and what to write."""
    with pytest.raises(SettingError, match="origins: ") as refused:
        load({"origins": given})

    assert said in str(refused.value)
