"""The names of common currencies, so that `bitcoin` finds BTC. Pure."""

from __future__ import annotations

_NAMES = """
1INCH 1inch; AAVE Aave; ADA Cardano; ALGO Algorand; APE ApeCoin; APT Aptos; AR Arweave;
ARB Arbitrum; ATOM Cosmos; AVAX Avalanche; AXS Axie Infinity; BAT Basic Attention Token;
BCH Bitcoin Cash; BNB BNB Binance Coin; BONK Bonk; BSV Bitcoin SV; BTC Bitcoin; CAKE PancakeSwap;
CHZ Chiliz; COMP Compound; CRO Cronos; CRV Curve; DAI Dai; DASH Dash; DOGE Dogecoin; DOT Polkadot;
DYDX dYdX; EGLD MultiversX Elrond; ENA Ethena; ENJ Enjin; ENS Ethereum Name Service; EOS EOS;
ETC Ethereum Classic; ETH Ethereum; ETHFI ether.fi; FET Fetch.ai; FIL Filecoin; FLOKI Floki;
FLOW Flow; FTM Fantom; GALA Gala; GMX GMX; GRT The Graph; HBAR Hedera; HYPE Hyperliquid;
ICP Internet Computer; IMX Immutable; INJ Injective; IOTA IOTA; JASMY JasmyCoin; JTO Jito;
JUP Jupiter; KAS Kaspa; KAVA Kava; KSM Kusama; LDO Lido; LINK Chainlink; LRC Loopring; LTC Litecoin;
LUNA Terra; MANA Decentraland; MATIC Polygon; MINA Mina; MKR Maker; NEAR Near; NEO Neo; NEXO Nexo;
NOT Notcoin; OKB OKB; OM Mantra; ONDO Ondo; ONE Harmony; OP Optimism; ORDI Ordi; PAXG Pax Gold;
PENDLE Pendle; PEPE Pepe; POL Polygon; PYTH Pyth; QNT Quant; QTUM Qtum; RENDER Render; RNDR Render;
RUNE THORChain; SAND The Sandbox; SEI Sei; SHIB Shiba Inu; SKY Sky; SNX Synthetix; SOL Solana;
STX Stacks; SUI Sui; SUSHI SushiSwap; TAO Bittensor; THETA Theta; TIA Celestia; TON Toncoin;
TRUMP Official Trump; TRX Tron; UNI Uniswap; USDC USD Coin; USDT Tether; VET VeChain;
WBTC Wrapped Bitcoin; WIF dogwifhat; WLD Worldcoin; XAUT Tether Gold; XLM Stellar; XMR Monero;
XRP Ripple; XTZ Tezos; YFI yearn.finance; ZEC Zcash; ZIL Zilliqa; ZK ZKsync; ZRX 0x; USD US dollar;
EUR euro; GBP pound sterling; JPY Japanese yen; RUB Russian rouble; TRY Turkish lira;
KRW Korean won; BRL Brazilian real; CHF Swiss franc; AUD Australian dollar
"""
NAMES = dict(entry.strip().split(" ", 1) for entry in _NAMES.replace("\n", " ").split(";"))


def coin_name(currency: str | None) -> str:
    """Return the name of a currency; "" if it is unknown."""
    return NAMES.get(currency or "", "")
