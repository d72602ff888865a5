"""Whether prices are live: one verdict everywhere, on the real pairs if there are any."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.gateway.verdict import judge
from tests.gateway.engine import INSTRUMENTS, Engine, quote
from tests.gateway.process import Gateway, Viewer, viewing
from tests.waiting import DEADLINE_S, until

REAL = [one for one in INSTRUMENTS if not one.synthetic]
SYNTHETIC = [one for one in INSTRUMENTS if one.synthetic]
STALENESS = st.lists(st.booleans(), min_size=3, max_size=3)


def verdict_of(staleness: list[bool], *, alive: bool = True) -> Any:
    """Judge one quote per instrument."""
    quotes = [quote(one, 1, stale=stale) for one, stale in zip(INSTRUMENTS, staleness, strict=True)]
    return judge(quotes, alive=alive, pinned=None)


@given(STALENESS)
def test_synthetic_prices_do_not_count_beside_real_ones(staleness: list[bool]) -> None:
    """Whatever the synthetic source does."""
    real = staleness[:2]
    verdict = verdict_of(staleness)

    assert verdict.real
    assert (verdict.live, verdict.total) == (real.count(False), 2)
    assert verdict.state == {0: "stale", 1: "partly", 2: "live"}[real.count(False)]
    assert verdict == verdict_of([*real, not staleness[2]])


@given(STALENESS)
def test_without_the_engine_nothing_is_live(staleness: list[bool]) -> None:
    """However fresh the quotes are."""
    verdict = verdict_of(staleness, alive=False)

    assert verdict.state == "unreachable"
    assert not verdict.serves


def test_if_all_instruments_are_synthetic_they_count() -> None:
    """A demonstration without venues is live."""
    assert judge([quote(one, 1) for one in SYNTHETIC], alive=True, pinned=None).state == "live"
    assert judge([], alive=True, pinned=None).state == "stale"


def test_the_dark_pairs_are_named() -> None:
    """The first ones by name, the others as a number."""
    verdict = verdict_of([False, True, False])
    many = judge([quote(REAL[0], n, stale=True) for n in range(14)], alive=True, pinned=None)

    assert verdict.summary() == "1 of 2 real pairs have no live price: ethusdt"
    assert many.summary().endswith(" and 4 more")
    assert verdict_of([False, False, True]).summary() == ""


async def asked(gateway: Gateway, path: str, status: int) -> Any:
    """Repeat a request until it has this status."""
    return (await gateway.answers(path, status)).json()


@pytest.mark.asyncio(loop_scope="module")
async def test_every_place_says_the_same(gateway: Gateway, engine: Engine) -> None:
    """Real pairs stale, synthetic live: not ready, /courses 503, /sources and viewers stale; and back."""
    engine.change("ethusdt", stale=True)
    part = await asked(gateway, "/readyz", 200)
    async with asyncio.timeout(DEADLINE_S):
        while not (part := await asked(gateway, "/readyz", 200))["degraded"]:
            pass
    assert part["degraded"] == ["prices: 1 of 2 real pairs have no live price: ethusdt"]

    engine.change("btcusdt", stale=True)
    ready = await asked(gateway, "/readyz", 503)
    courses = await asked(gateway, "/courses", 503)
    sources = await asked(gateway, "/sources", 200)
    assert ready["reasons"][0] == "2 of 2 real pairs have no live price: btcusdt, ethusdt"
    assert [one["stale"] for one in courses] == [True, True, False]
    assert sources["verdict"] == {
        "state": "stale",
        "live": 0,
        "total": 2,
        "real": True,
        "pinned": None,
        "dark": ["btcusdt", "ethusdt"],
    }
    engine.change("btcusdt", stale=False)
    engine.change("ethusdt", stale=False)

    assert (await asked(gateway, "/readyz", 200))["status"] == "ready"
    await asked(gateway, "/courses", 200)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_viewer_gets_the_verdict_with_the_sources(gateway: Gateway, engine: Engine) -> None:
    """It is in `status`, sent again soon after a change, and names a pinned source."""

    def shows(viewer: Viewer, **wanted: Any) -> bool:
        verdicts = [status["verdict"] for status in viewer.all("status")]
        return bool(verdicts) and wanted.items() <= verdicts[-1].items()

    async with viewing(gateway.url) as viewer:
        for symbol in ("btcusdt", "ethusdt"):
            engine.change(symbol, stale=True)
        await until(lambda: shows(viewer, state="stale"))
        stale = viewer.all("status")[-1]
        engine.pin = "binance"
        for symbol in ("btcusdt", "ethusdt"):
            engine.change(symbol, stale=False)
        await until(lambda: shows(viewer, state="live", pinned="binance"))
        engine.pin = None
        await until(lambda: shows(viewer, pinned=None))

    assert stale["sources"]["synthetic"]["state"] == "live"
