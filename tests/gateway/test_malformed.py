"""Whatever one client sends, its connection never hangs: it gets a response, or is closed with a code."""

from __future__ import annotations

import json

import pytest
from websockets.frames import Close, Frame, Opcode

from crypto_stream.gateway.delivery.packets import PacketError, ack_id_of, read, read_body, read_message
from tests.gateway.engine import Engine
from tests.gateway.process import Gateway, Viewer
from tests.gateway.raw import Raw, raw, text
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
ASK = '4277["subscribe",{"symbols":["btcusdt"]}]'
ANSWERED = "4377["
POLL = "/socket.io/?EIO=4&transport=polling"
DEEP = "[" * 30_000
# What no client sends: it closes the connection.
FATAL = [
    *("", "x", "9", "9xx", "-1", "0", "0{}", "2", "2probe", "5", "6", "7", "8", "\x00", "b", "bAAAA", "ÿ"),
    *("4", "4x", "4-", "47", "49", '4"', "4{}", '4["subscribe",{}]', "4null", "4true", "4²", "4٣", "4 2[]"),
    *(
        "43",
        "43[]",
        '431["x"]',
        "44",
        "44{}",
        '44{"message":"x"}',
        "46",
        '461-1[{"_placeholder":true,"num":0}]',
    ),
    *(
        '451000000-["subscribe",{"_placeholder":true,"num":0}]',
        '451-["subscribe",{"_placeholder":true,"num":0}]',
    ),
    *(
        '450-["subscribe",{}]',
        '451-7[{"_placeholder":true,"num":0}]',
        "45",
        "451-[",
        "45[]",
        "45-",
        "459-/x,[]",
    ),
    *("42[", '42["subscribe"', "42[NaN]", "42{", "42" + DEEP, '42["\\ud800"]', "42[]x", "42[1]]", "42 x"),
    *('42/nowhere,["subscribe",{}]', '42/nowhere,7["subscribe",{}]', "42/" + "x" * 500 + ",[]"),
    *("42" + "1" * 16 + '["subscribe"]', "42" + "9" * 200 + "[]", "40x", "40[", "41x", "41/nowhere,"),
]
# Harmless errors: they are acknowledged, if an acknowledgement is requested.
HARMLESS = [
    *(
        "3",
        "3x",
        "42",
        "42null",
        "42{}",
        "42[]",
        "42[1]",
        "42[[]]",
        '42["nope"]',
        "427",
        "427{",
        '427["nope"]',
    ),
    *(
        '427["subscribe"',
        "427[NaN]",
        "427" + DEEP,
        '427["\\ud800"]',
        "40",
        "40{}",
        '40"x"',
        "40[1]",
        "40/nowhere,",
    ),
    *("40/nowhere", "40/a?b=c,{}", '42["subscribe",{"symbols":[1]}]', '42["disconnect"]', '42/,["nope"]'),
]
LEAVING = ["1", "1x", "41", "41/,", "41{}"]


async def joined(client: Raw) -> None:
    """Join on a new WebSocket."""
    await client.open(text("40"))
    await client.until('42["hello"')


async def outcome(client: Raw) -> str | int:
    """Return the acknowledgement of `ASK`, or the close code."""
    while True:
        frame = await client.frame()
        if frame.opcode is Opcode.CLOSE:
            return int(Close.parse(bytes(frame.data)).code)
        message = bytes(frame.data).decode()
        if message.startswith(ANSWERED):
            return message


async def on_websocket(gateway: Gateway, packet: str) -> str | int:
    """Send a packet and `ASK` on a joined WebSocket; return the outcome."""
    async with raw(gateway.url) as client:
        await joined(client)
        await client.send(text(packet) + text(ASK))
        return await outcome(client)


async def test_what_no_client_sends_closes_its_websocket_with_a_code(gateway: Gateway) -> None:
    """1002, 1003 or 1007, and a reason in words; then the connection ends."""
    came = {packet: await on_websocket(gateway, packet) for packet in FATAL}

    assert {packet: code for packet, code in came.items() if code not in {1002, 1003, 1007}} == {}


async def test_a_harmless_error_leaves_the_websocket_open(gateway: Gateway) -> None:
    """The next event is acknowledged."""
    came = {packet: await on_websocket(gateway, packet) for packet in HARMLESS}

    assert {packet: one for packet, one in came.items() if '"ok":true' not in str(one)} == {}


async def test_a_client_that_leaves_is_disconnected(gateway: Gateway) -> None:
    """Also if it leaves the only namespace: a connection without one would be of no use."""
    came = {packet: await on_websocket(gateway, packet) for packet in LEAVING}

    assert came == dict.fromkeys(LEAVING, 1000)


@pytest.mark.parametrize("opcode", [Opcode.BINARY, Opcode.TEXT])
async def test_binary_frames_and_packets_are_refused_at_once(gateway: Gateway, opcode: Opcode) -> None:
    """Nothing is buffered for announced attachments."""
    async with raw(gateway.url) as client:
        await joined(client)
        data = b"x" * 60_000 if opcode is Opcode.BINARY else b'4599-["subscribe",{}]'
        await client.send(Frame(opcode, data).serialize(mask=True))

        assert await outcome(client) == (1003 if opcode is Opcode.BINARY else 1002)


@pytest.mark.parametrize("early", ["42[]", ASK, "41", '421["disconnect"]', '42/nowhere,2["disconnect"]'])
async def test_an_event_before_joining_closes_the_connection(gateway: Gateway, early: str) -> None:
    """It belongs to no viewer."""
    async with raw(gateway.url) as client:
        await client.open(text(early) + text("40"))

        assert await outcome(client) == 1002


async def test_an_unknown_namespace_is_refused_with_an_object(gateway: Gateway) -> None:
    """Clients show its `message`; joining twice is refused in the same way."""
    async with raw(gateway.url) as client:
        await joined(client)
        await client.send(text("40/admin,{}") + text("40"))
        nowhere = json.loads((await client.until("44/admin,")).removeprefix("44/admin,"))
        twice = json.loads((await client.until("44{")).removeprefix("44"))

    assert "'/admin'" in nowhere["message"]
    assert "already" in twice["message"]


async def polled(gateway: Gateway) -> str:
    """Join by polling; return the session's path."""
    opened = json.loads((await gateway.http.get(POLL)).text[1:])
    path = f"{POLL}&sid={opened['sid']}"
    assert (await gateway.http.post(path, content="40")).status_code == 200
    return path


async def by_polling(gateway: Gateway, packet: str) -> tuple[int, int]:
    """POST a packet in a joined polling session; return the statuses of that and of the next poll."""
    path = await polled(gateway)
    taken = await gateway.http.post(path, content=packet.encode())
    after = await gateway.http.get(path)
    if after.status_code == 200:
        await gateway.http.post(path, content="1")
    return taken.status_code, after.status_code


async def test_what_no_client_sends_ends_its_polling_session(gateway: Gateway) -> None:
    """The POST gets 400, and the session is removed."""
    came = {packet: await by_polling(gateway, packet) for packet in FATAL}

    assert came == dict.fromkeys(FATAL, (400, 400))


async def test_a_harmless_error_leaves_the_polling_session_open(gateway: Gateway) -> None:
    """The next event is acknowledged."""
    for packet in HARMLESS:
        path = await polled(gateway)
        taken = await gateway.http.post(path, content=f"{packet}\x1e{ASK}".encode())
        assert taken.status_code == 200, packet
        polled_text = ""
        while ANSWERED not in polled_text:
            polled_text = (await gateway.http.get(path)).text
        await gateway.http.post(path, content="1")


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"3\x1e" * 1_001 + b"3", b"3\x1e\x1e3"])
async def test_an_invalid_body_ends_the_session(gateway: Gateway, body: bytes) -> None:
    """Empty, not UTF-8, too many packets, an empty packet."""
    path = await polled(gateway)

    refused = await gateway.http.post(path, content=body)

    assert refused.status_code == 400
    assert (await gateway.http.get(path)).status_code == 400


async def test_sessions_ended_by_an_error_leave_nothing_behind(gateway: Gateway) -> None:
    """No descriptor and no green thread, however many there were."""
    await polled(gateway)
    descriptors, threads = gateway.descriptors(), await gateway.green_threads()
    for packet in ("9xx", "2", "6", "0{}", "45", "1") * 10:
        path = await polled(gateway)
        await gateway.http.post(path, content=packet)
    assert gateway.descriptors() <= descriptors + 2
    assert await gateway.green_threads() <= threads + 2


async def test_sixty_subscriptions_in_one_post_are_all_acknowledged(gateway: Gateway) -> None:
    """A client sends everything it buffered while connecting at once; only one snapshot is queued for it."""
    path = await polled(gateway)
    asks = [f'42{number}["subscribe",{{"symbols":["btcusdt"],"interval_ms":100}}]' for number in range(60)]

    taken = await gateway.http.post(path, content="\x1e".join(asks))
    got: list[str] = []
    while sum(one.startswith("43") for one in got) < 60 or not any(one.startswith('42["snap') for one in got):
        got += (await gateway.http.get(path)).text.split("\x1e")
    await gateway.http.post(path, content="1")

    assert taken.status_code == 200
    assert all('"ok":true' in one for one in got if one.startswith("43"))


async def test_a_flood_of_events_is_refused_and_others_go_on(
    gateway: Gateway, engine: Engine, viewer: Viewer
) -> None:
    """Events beyond the rate are refused with a code; a client that does not stop is closed with 1008."""
    await viewer.subscribe(symbols=["btcusdt"], interval_ms=0)
    flood = text('427["subscribe",{"symbols":["tickr_0x"]}]') * 300
    async with raw(gateway.url) as client:
        await joined(client)
        await client.send(flood)
        assert "rate_limited" in await client.until('437[{"ok":false,"code":"rate_limited"')
        for _ in range(6):
            await client.send(flood)
        assert await outcome(client) == 1008
    changed = engine.change(price="77.125")
    await until(lambda: viewer.price() == changed.price)


async def test_pings_and_fragments_without_end_are_closed(gateway: Gateway) -> None:
    """Frames that are not messages cost as much as messages."""
    frames = [
        Frame(Opcode.PING, b"").serialize(mask=True) * 2_000,
        Frame(Opcode.TEXT, b"4", fin=False).serialize(mask=True)
        + Frame(Opcode.CONT, b"", fin=False).serialize(mask=True) * 2_000,
        text("3") * 2_000,
    ]
    for flood in frames:
        async with raw(gateway.url) as client:
            await joined(client)
            await client.send(flood)
            while (frame := await client.frame()).opcode is not Opcode.CLOSE:
                pass

            assert Close.parse(bytes(frame.data)).code == 1008


def read_alone(packet: str) -> None:
    """Parse a packet without any connection."""
    engine = read(packet)
    if packet in {"2", "2probe", "5", "41/nowhere,"} or packet.startswith("42/nowhere,"):
        raise PacketError("judged by the session, which knows its state")
    read_message(engine.data)


@pytest.mark.parametrize("packet", FATAL, ids=lambda packet: repr(packet[:24]))
async def test_the_parser_rejects_what_no_client_sends(packet: str) -> None:
    """Without any connection: an error with a short reason and one of few kinds."""
    with pytest.raises(PacketError) as refused:
        read_alone(packet)

    assert 0 < len(str(refused.value)) < 300
    assert len(refused.value.kind) < 80


async def test_a_body_is_parsed_completely_before_anything_is_handled() -> None:
    """One bad packet refuses those before it."""
    with pytest.raises(PacketError):
        read_body(b'42["subscribe"]\x1e9')
    assert [one.data for one in read_body('42["ü"]\x1e3'.encode())] == ['2["ü"]', ""]


@pytest.mark.parametrize(
    ("packet", "number"),
    [('27["a"]', 7), ('2/,8["a"]', 8), ('2["a"]', None), ("0", None), ('2/x,7["a"]', None), ("x", None)],
)
async def test_the_acknowledgement_id_is_found_without_parsing_the_rest(
    packet: str, number: int | None
) -> None:
    """For events that are refused before they are parsed."""
    assert ack_id_of(packet) == number
