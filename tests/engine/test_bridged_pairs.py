"""Pairs chosen from the list of a bridge, which comes over its connection."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.process import running
from tests.engine.test_instruments import change, present, status
from tests.fakes import FakeBinance
from tests.feed.bridge.program import NAME, Program
from tests.process.programs import short_folder
from tests.waiting import SCALE, until

CALM = {"stale_after": "60", "quiet_after": "60"}  # what says nothing is not asked again

pytestmark = pytest.mark.timeout(60 * SCALE)


def asked(program: Program) -> set[str]:
    """Return the ids that the bridge was asked for."""
    return {name for each in program.of("subscribe") for name in each["instruments"]}


async def test_a_pattern_follows_the_list_of_a_bridge() -> None:
    """It may connect although nothing is chosen yet; a later list adds to the first one, requests, too."""
    with short_folder() as folder:
        async with (
            running(Path(folder), {}, sources=f"{NAME},synthetic", pairs="*-usdt", **CALM) as engine,
            Program(f"{folder}/data/bridge-acme.sock") as program,
        ):
            program.hello()
            program.instruments(["btcusdt"])
            await until(lambda: present(engine) == ["btcusdt"])
            program.instruments(["btcusdt", "ethusdt", "xrpusdt"])
            await until(lambda: set(present(engine)) == {"btcusdt", "ethusdt", "xrpusdt"})
            await until(lambda: "ETH/USDT" in asked(program))
            program.quote("ethusdt")
            program.trade("ethusdt")
            await until(lambda: engine.serving(NAME, "ethusdt"))
            removed = await change(engine, remove=("xrpusdt",))
            await until(lambda: ["XRP/USDT"] in [each["instruments"] for each in program.of("unsubscribe")])

        assert asked(program) == {"BTC/USDT", "ETH/USDT", "XRP/USDT"}
        assert removed.removed == ["xrpusdt"]


async def test_a_bridge_in_reserve_carries_what_it_lists() -> None:
    """It is connected for its list, and then not any more; without that it could never take over."""
    with short_folder() as folder:
        async with FakeBinance(["btcusdt", "ethusdt"]) as binance:
            options = {"binance": {"url": binance.url, "rest_url": binance.rest_url}}
            given = {"sources": f"binance,{NAME},synthetic", "pairs": "*-usdt", "standby": "0"}
            async with (
                running(Path(folder), options, **given) as engine,
                Program(f"{folder}/data/bridge-acme.sock") as program,
            ):
                program.hello()
                program.instruments(["btcusdt"])
                await until(lambda: program.ended)
                await until(lambda: engine.beats and status(engine, NAME).carries == 1)
                await until(lambda: engine.serving("binance") and engine.serving("binance", "ethusdt"))

                assert program.errors() == ["closing"]
                assert status(engine, "binance").carries == 2
                assert status(engine, NAME).state == "off"


async def test_a_bridge_of_which_nothing_is_wanted_yet_stays_connected() -> None:
    """Nothing was requested, so silence is no fault; a later list is heard, and what it adds requested."""
    with short_folder() as folder:
        given = {"sources": f"{NAME},synthetic", "pairs": "b*-usdt", "stale_after": "1"}
        async with (
            running(Path(folder), {}, **given) as engine,
            Program(f"{folder}/data/bridge-acme.sock") as program,
        ):
            program.hello()
            program.instruments(["ethusdt"])
            await until(lambda: program.of("welcome"))
            beats = len(engine.beats)
            await until(lambda: len(engine.beats) > beats + 3)
            ended, before = program.ended, asked(program)
            program.instruments(["ethusdt", "btcusdt"])
            await until(lambda: asked(program))

        assert not ended
        assert before == set()
        assert asked(program) == {"BTC/USDT"}


ODD = ("A-BTC", " BTC ", "B/C", "-", "ticker_00", "\u00df", "eur", "A_B")


async def test_a_list_without_end_stops_nothing() -> None:
    """Odd names are no pairs; each list is looked at, but no more often than once a second."""
    with short_folder() as folder:
        async with (
            running(Path(folder), {}, sources=f"{NAME},synthetic", pairs="*usdt") as engine,
            Program(f"{folder}/data/bridge-acme.sock") as program,
        ):
            program.hello()
            odd = [{"id": f"{number}", "base": base, "quote": "USDT"} for number, base in enumerate(ODD)]
            program.say("instruments", instruments=odd)
            for number in range(90):
                program.instruments(["btcusdt", f"c{number}usdt"])
            await until(lambda: {"btcusdt", "c89usdt"} <= set(present(engine)))
            await until(lambda: engine.serving("synthetic", "ticker_00"))

        odd_ones = {"abtcusdt", "usdt", "bcusdt", "abusdt", "ticker00usdt"}
        assert not odd_ones & set(present(engine))
