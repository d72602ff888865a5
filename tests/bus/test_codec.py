"""Messages of the bus: what is encoded comes out equal; another form has another version."""

from __future__ import annotations

import hashlib
from typing import get_args

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.bus import codec
from crypto_stream.bus.codec import VERSION, decode_to_engine, decode_to_gateway, encode
from crypto_stream.bus.messages import BusRequest, Quotes, Snapshot, ToEngine, ToGateway
from crypto_stream.bus.orders import Attach, OrderCommands
from crypto_stream.market.instruments import Instrument
from crypto_stream.market.quotes import Quote

_number = st.integers(-(2**63), 2**63 - 1)
_quotes = st.builds(
    Quote, time=st.none() | _number, received=st.none() | _number, published=_number, seq=_number
)
# Of every message as it crosses the bus: its fields, their types and their order.
_FORMS = {1: "ee02a1be4a46d673", 2: "f03de831eb2a8654"}


@given(
    st.integers(0, 2**62), st.lists(_quotes, max_size=5), st.dictionaries(st.text(), st.text(), max_size=3)
)
def test_quotes_come_out_as_they_went_in(seq: int, quotes: list[Quote], reasons: dict[str, str]) -> None:
    """Every field of every quote, in the type that the rest of the program knows."""
    for message in (
        Quotes(seq, quotes, reasons),
        Snapshot("e", seq, [Instrument("btcusdt", "btc", "usdt")], quotes, [], None, reasons, run="r"),
    ):
        decoded = decode_to_gateway(encode(message))

        assert decoded == message
        assert all(type(quote) is Quote for quote in decoded.quotes)


def test_what_gateways_say_comes_out_as_it_went_in() -> None:
    """Orders and requests, the other way."""
    message = OrderCommands([Attach(7, "anna", anonymous=False)])

    assert decode_to_engine(encode(message)) == message


def test_another_form_has_another_version() -> None:
    """The order of fields is the protocol: who changes one raises `VERSION`, and writes the new form here."""
    wire = [codec._Quotes, codec._Snapshot, *get_args(ToGateway), *get_args(ToEngine), BusRequest]
    form = "\n".join(_form(kind) for kind in wire)
    digest = hashlib.sha256(form.encode()).hexdigest()[:16]

    assert _FORMS[VERSION] == digest, form


def _form(kind: type) -> str:
    """Spell out a message's type with everything inside."""
    seen: list[str] = []

    def spell(part: object) -> str:
        if isinstance(part, msgspec.inspect.StructType):
            name = part.cls.__name__
            if not any(one.startswith(f"{name}(") for one in seen):
                seen.append(f"{name}(")
                fields = ", ".join(f"{one.encode_name}: {spell(one.type)}" for one in part.fields)
                seen.append(f"{part.tag} {'array' if part.array_like else 'map'} {fields}")
            return name
        inner = [getattr(part, each, None) for each in ("item_type", "key_type", "value_type")]
        inner += list(getattr(part, "types", ())) + list(getattr(part, "item_types", ()))
        return f"{type(part).__name__}[{', '.join(spell(one) for one in inner if one is not None)}]"

    spell(msgspec.inspect.type_info(kind))
    return " ".join(seen)
