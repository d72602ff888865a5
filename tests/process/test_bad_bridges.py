"""Five bridges that misbehave, each in its own way and all at once, beside an exchange that serves."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes import FakeBinance
from tests.process.programs import ROOT, address, program, short_folder
from tests.waiting import SCALE

pytestmark = pytest.mark.timeout(240 * SCALE)

# What each of them did is said by /sources: a reason, or a count.
_REASONS = {
    "nonsense": ("last_error", "100 lines in a row cannot be read"),
    "floods": ("last_error", "more than 10,000 lines in a second|no data for"),
    "stalls": ("last_error", "no data for"),
    "half": ("last_error", "the bridge closed the connection, "),
    "claims": ("unknown_instrument", ""),
}


def _settings(folder: Path) -> Path:
    names = "".join(f'"bridge:{name}", ' for name in _REASONS)
    tables = "".join(
        f'[bridge.{name}]\ncommand = "{sys.executable} {ROOT}/tests/process/bad_bridge.py {name}"\n'
        for name in _REASONS
    )
    file = folder / "settings.toml"
    file.write_text(
        f'sources = ["binance", {names}"synthetic"]\npairs = ["btcusdt"]\n'
        f'standby = "all"\nindex_min = 1\n{tables}'
    )
    return file


def _has_misbehaved(source: dict[str, Any]) -> bool:
    field, words = _REASONS[source["name"].partition(":")[2]]
    if field == "last_error":
        return re.search(words, source["last_error"] or "") is not None
    return bool(source["frames"].get(field))


async def test_whatever_they_do_others_are_served(tmp_path: Path) -> None:
    """Each is named with its reason; the exchange's quotes, the best prices and the index are those of it."""
    seen: list[dict[str, Any]] = []
    async with FakeBinance(["btcusdt"], price="64000") as fake:
        with short_folder() as short:
            run = ["-m", "crypto_stream", "run", "--port", "0", "--config", str(_settings(tmp_path))]
            files = ["--data-dir", f"{short}/data", "--log-file", str(tmp_path / "app.log")]
            urls = {"CRYPTO_STREAM_BINANCE_URL": fake.url, "CRYPTO_STREAM_BINANCE_REST_URL": fake.rest_url}
            with program([*run, *files], tmp_path, **urls) as running:
                async with httpx.AsyncClient(base_url=await address(running), timeout=20 * SCALE) as http:
                    await _served(http)
                    while not await _all_misbehaved(http):
                        seen.append((await http.get("/courses/btcusdt")).json())
                    best = (await http.get("/best/btcusdt")).json()
                    index = (await http.get("/index/btcusdt")).json()
                    ticker = (await http.get("/courses/ticker_00")).json()
                    synthetic = (await http.get("/courses/eurusd")).json()

    assert {quote["source"] for quote in seen} == {"binance"}
    assert not any(quote["stale"] for quote in seen)
    assert min(float(quote["bid"]) for quote in seen) > 60_000
    assert best["sources"] == [share["source"] for share in best["bid"]["sources"]] == ["binance"]
    assert [each["source"] for each in index["constituents"]] == ["binance"]
    assert {each["source"] for each in index["left_out"]} == {f"bridge:{name}" for name in _REASONS}
    assert {ticker["source"], synthetic["source"]} == {"synthetic"}
    assert synthetic["price"] != "1.00"


async def _served(http: httpx.AsyncClient) -> None:
    """Wait until the exchange serves."""
    async with asyncio.timeout(60 * SCALE):
        while (await http.get("/courses/btcusdt")).json().get("source") != "binance":  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _all_misbehaved(http: httpx.AsyncClient) -> bool:
    """Ask whether /sources already says so of each."""
    sources = (await http.get("/sources")).json()["sources"]
    return all(_has_misbehaved(each) for each in sources if each["name"].startswith("bridge:"))
