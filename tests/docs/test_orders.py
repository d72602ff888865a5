"""docs/orders.md against the code: its conversations are had again, its tables name what there is."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from crypto_stream.bus.orders import MAX_PENDING
from crypto_stream.cli.orders import order
from crypto_stream.gateway import rate_limit
from crypto_stream.gateway.app import MAX_RECEIVED
from crypto_stream.gateway.order_sessions import market_data, pending, session
from crypto_stream.market.orders import ExecType, Kind, Outcome, Side, Status, TimeInForce
from crypto_stream.orders import lookups
from crypto_stream.orders.wire import fields
from crypto_stream.orders.wire.messages import InvalidMessageError, read
from crypto_stream.settings import Settings
from tests.docs.transcript import Replay, conversations
from tests.process.programs import ROOT, clean_environment
from tests.process.serving import Service, trading
from tests.waiting import SCALE

pytestmark = pytest.mark.timeout(120 * SCALE)

TEXT = (ROOT / "docs" / "orders.md").read_text("utf-8")
CONVERSATIONS = conversations(TEXT)
_CHOICES = r"^\| `(type|time_in_force|outcome|exec_type)`[^|]*\| (.*) \|$"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """Run the program, with a walk that soon goes below 87."""
    async with trading(tmp_path_factory.mktemp("run"), "--seed", "38") as running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
async def test_the_conversations_are_what_the_server_says(service: Service) -> None:
    """Each documented frame comes again as it stands, other ids, prices and times aside."""
    url = f"{service.url.replace('http', 'ws')}/ws"
    four, rest, extended = CONVERSATIONS
    async with asyncio.timeout(90 * SCALE):
        async with connect(url) as connection:
            plain = Replay(connection)
            await plain.run(four)
            await plain.run(rest)
        async with connect(f"{url}?mode=extended") as connection:
            await Replay(connection).run(extended)


def test_the_four_examples_are_those_of_the_exercise() -> None:
    """The first conversation sends them byte for byte."""
    sent = [line.removeprefix("> ") for line in CONVERSATIONS[0] if line.startswith("> ")]

    assert sent == [
        '{"messageType": 3, "message": {"instrument": "EUR/RUB", "side": 1, "amount": "10", "price": "87"}}',
        '{"messageType": 1, "message": {"instrument": "EUR/RUB"}}',
        '{"messageType": 2, "message": {"subscription_id": "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5"}}',
        '{"messageType": 4, "message": {"order_id": "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5"}}',
    ]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_program_of_the_document_runs(service: Service, tmp_path: Path) -> None:
    """The Python example, with the address of this server, places an order and prints its fill."""
    block = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert block is not None
    example = block[1].replace("http://127.0.0.1:8000", service.url)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", "-c", example],
        cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60 * SCALE, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()

    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[:2] for line in lines[:-1]] == [["1", "new"], ["2", "trade"]]
    assert lines[-1] == "[('EUR/RUB', Decimal('10'))]"


def _rows(section: str, after: str) -> dict[str, str]:
    """Return the first table behind `after` in a section: cells by the first one."""
    text = TEXT.split(f"\n## {section}\n")[1].split("\n## ")[0].split(after)[1]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table is not None
    cells = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table[0].splitlines()[2:]]
    return {row[0]: row[-1] for row in cells}


def _named(text: str) -> list[str]:
    """Return the fields a cell names, before it explains them: `a`, `b`: …"""
    return re.findall(r"`([a-z_]+)`", re.split(r": (?!.*each with)", text)[0])


def _allowed(kind: int, *, extended: bool) -> set[str]:
    """Return the fields the server understands in a message, as its own refusal lists them."""
    text = json.dumps({"messageType": kind, "message": {"no_such_field": 1}})
    with pytest.raises(InvalidMessageError, match="is not a field") as refused:
        read(text, lambda _: None, extended=extended)
    return set(str(refused.value).partition("known: ")[2].split(", ")) - {""}


@pytest.mark.parametrize("extended", [False, True])
def test_every_field_to_the_server_is_documented(extended: bool) -> None:
    """The tables of what a client sends name exactly the types and fields that are understood."""
    plain = {int(kind): set(_named(cell)) for kind, cell in _rows("Messages", "To the server:").items()}
    further = {
        int(kind): set(_named(cell)) for kind, cell in _rows("Extended mode", "To the server:").items()
    }
    documented = {kind: plain.get(kind, set()) | further[kind] for kind in further} if extended else plain
    with pytest.raises(InvalidMessageError) as unknown:
        read('{"messageType": 99, "message": {}}', lambda _: None, extended=extended)
    known = str(unknown.value).partition("one of ")[2].split(", ")

    assert documented == {int(kind): _allowed(int(kind), extended=extended) for kind in known}


def _came(lines: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for line in lines:
        if line.startswith("< "):
            envelope = json.loads(line.removeprefix("< "))
            yield envelope["messageType"], envelope["message"]


def _keys(value: object) -> list[str]:
    """Return all keys, those of inner objects behind the list that holds them."""
    found: list[str] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += [key, *_keys(inner)]
    elif isinstance(value, list) and value:
        found += _keys(value[0])
    return found


@pytest.mark.parametrize("extended", [False, True])
def test_every_field_from_the_server_is_documented(extended: bool) -> None:
    """The tables of what a client gets have the fields of the real conversations, in their order."""
    section = "Extended mode" if extended else "Messages"
    documented = {int(kind): cell for kind, cell in _rows(section, "From the server:").items()}
    lines = CONVERSATIONS[2] if extended else CONVERSATIONS[0] + CONVERSATIONS[1]
    checked = set()
    for kind, message in _came(lines):
        assert _named(documented[kind]) == _keys(message), f"type {kind}"
        checked.add(kind)

    assert checked == set(documented)


def _codes() -> set[str]:
    """Return the codes that the code refuses with: texts handed to what makes a refusal."""
    found = set()
    for folder in ("orders", "orders/wire", "gateway/order_sessions"):
        for path in (ROOT / "crypto_stream" / folder).glob("*.py"):
            tree = ast.parse(path.read_text("utf-8"))
            constants = {
                target.id: node.value.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
                made = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
                if made not in {"RefusedError", "InvalidMessageError", "Failed", "refuse", "fail", "_cut"}:
                    continue
                given = [
                    constants.get(argument.id) if isinstance(argument, ast.Name) else
                    argument.value if isinstance(argument, ast.Constant) else None
                    for argument in call.args
                ]  # fmt: skip
                found |= {text for text in given if isinstance(text, str) and re.fullmatch(r"[a-z_]+", text)}
    return found


def test_every_code_is_documented() -> None:
    """The table of codes names exactly those that the code refuses with."""
    documented = {code.strip("`") for code in _rows("Error codes", "In the extended mode")}

    assert documented == _codes()


def test_values_are_those_of_the_code() -> None:
    """Numbers of sides and states, and the words of the extended mode, are all there are."""
    states = re.search(r"`order_status`, `status` \| (.*?) \|", TEXT)
    sides = re.search(r"`side` \| (1 buy, 2 sell);", TEXT)
    assert states is not None
    assert sides is not None
    words = {
        field: re.findall(r"`([a-z]+)`", cell) for field, cell in re.findall(_CHOICES, TEXT, re.MULTILINE)
    }

    assert states[1] == ", ".join(f"{status.value} {status.name.lower()}" for status in Status)
    assert sides[1] == ", ".join(f"{side.value} {side.name.lower()}" for side in Side)
    assert set(words["type"]) - {"price"} == set(Kind)
    assert set(words["time_in_force"]) - {"market"} == set(TimeInForce)
    assert set(words["outcome"]) == set(Outcome)
    assert set(words["exec_type"]) == set(ExecType)


def test_limits_are_those_of_the_code() -> None:
    """Every figure of the document is the one that the program uses."""
    default = {name: field.default for name, field in Settings.model_fields.items()}
    figures = [
        f"{default['order_rate']} a second (`order_rate`)",
        f"{rate_limit.MAX_REFUSALS:,} such refusals within {rate_limit.REFUSALS_WITHIN_S:g} s",
        f"{default['max_open_orders']:,} (`max_open_orders`)",
        f"{default['max_open_per_address']:,} (`max_open_per_address`)",
        f"{default['max_open_per_gateway']:,} (`max_open_per_gateway`)",
        f"{default['max_open_in_all']:,} (`max_open_in_all`)",
        f"{default['max_sessions']} (`max_sessions`)",
        f"{default['max_subscriptions']} (`max_subscriptions`)",
        f"{MAX_RECEIVED // 1024} kB ({MAX_RECEIVED} bytes)",
        f"{MAX_PENDING}, lists {pending.MAX_LISTS}",
        f"{default['slow_client_timeout']:g} s (`slow_client_timeout`), or {session.MAX_BACKLOG // 2**20} MB",
        f"a ping after {session.HEARTBEAT_S:g} s, {session.HEARTBEAT_S:g} s for the answer",
        f"at most one update every {market_data.INTERVAL_S * 1000:g} ms",
        f"`order_latency`, {default['order_latency']:g} ms",
        f"at most {fields.BEFORE_POINT} digits before and {fields.AFTER_POINT} after the point",
        f"text of up to {fields.MAX_ID} characters",
        f"the newest {lookups.MAX_CLOSED:,} others",
        f"the newest {lookups.MAX_TRADES:,} trades",
    ]

    assert [figure for figure in figures if figure not in TEXT] == []


def test_every_command_is_documented() -> None:
    """The commands of the document are those of the program."""
    documented = set(re.findall(r"crypto_stream order ([a-z]+)", TEXT))

    assert documented == set(order.commands)
