"""Fake venues: real servers that speak a venue's protocol on any free port, with faults on demand.

In a test: `async with FakeBinance(["btcusdt"], rate=20) as fake: ... await fake.fault("freeze")`.
As a process: `python -m tests.fakes binance --port 0 --symbols btcusdt,ethusdt --rate 20`.
"""

from tests.fakes.binance import FakeBinance
from tests.fakes.bitfinex import FakeBitfinex
from tests.fakes.bitget import FakeBitget
from tests.fakes.bitstamp import FakeBitstamp
from tests.fakes.bybit import FakeBybit
from tests.fakes.coinbase import FakeCoinbase
from tests.fakes.cryptocom import FakeCryptocom
from tests.fakes.gate import FakeGate
from tests.fakes.gemini import FakeGemini
from tests.fakes.htx import FakeHtx
from tests.fakes.hyperliquid import FakeHyperliquid
from tests.fakes.kraken import FakeKraken
from tests.fakes.kucoin import FakeKucoin
from tests.fakes.mexc import FakeMEXC
from tests.fakes.okx import FakeOKX
from tests.fakes.upbit import FakeUpbit
from tests.fakes.venue import FakeVenue

__all__ = [
    "FAKES",
    "FakeBinance",
    "FakeBitfinex",
    "FakeBitget",
    "FakeBitstamp",
    "FakeBybit",
    "FakeCoinbase",
    "FakeCryptocom",
    "FakeGate",
    "FakeGemini",
    "FakeHtx",
    "FakeHyperliquid",
    "FakeKraken",
    "FakeKucoin",
    "FakeMEXC",
    "FakeOKX",
    "FakeUpbit",
    "FakeVenue",
]

# By the handler's name.
FAKES: dict[str, type[FakeVenue]] = {
    each.name: each
    for each in (
        FakeBinance,
        FakeBitfinex,
        FakeBitget,
        FakeBitstamp,
        FakeBybit,
        FakeCoinbase,
        FakeCryptocom,
        FakeGate,
        FakeGemini,
        FakeHtx,
        FakeHyperliquid,
        FakeKraken,
        FakeKucoin,
        FakeMEXC,
        FakeOKX,
        FakeUpbit,
    )
}
