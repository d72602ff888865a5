"""docs/bridges.md against the code: messages, fields, limits, codes; its conversation is a real one."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from crypto_stream.feed.bridge import loading, messages, reader

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "bridges.md").read_text("utf-8")
FROM_BRIDGE = TEXT[TEXT.index("### From the bridge") : TEXT.index("### To the bridge")]
TO_BRIDGE = TEXT[TEXT.index("### To the bridge") : TEXT.index("## What happens")]
CODES = TEXT[TEXT.index("## What happens") : TEXT.index("## Any exchange")]
SETTINGS = TEXT[TEXT.index("## Settings") : TEXT.index("## Programs")]


def rows(text: str) -> dict[str, str]:
    """Return the first two cells of a table's rows."""
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("section", "union"), [(FROM_BRIDGE, messages.FromBridge), (TO_BRIDGE, messages.ToBridge)]
)
def test_every_message_is_documented_with_its_fields(section: str, union: object) -> None:
    """Neither more nor less."""
    documented = {name: set(re.findall(r"`(\w+)`", cell)) for name, cell in rows(section).items()}
    known = {str(kind.__struct_config__.tag): set(kind.__struct_fields__) for kind in get_args(union)}

    assert documented == known


def test_the_fields_of_a_listed_instrument_are_documented() -> None:
    """In their order."""
    named = re.search(r"\{(id, .*?)\}", FROM_BRIDGE)
    assert named is not None

    assert tuple(named[1].split(", ")) == messages.Entry.__struct_fields__


def test_the_limits_are_those_of_the_code() -> None:
    """A limit that is changed must be changed here, too."""
    limits = (
        f"more than {messages.LINE_BYTES // 1024} KiB",
        f"more than {messages.LINES_PER_S:,} lines in a second",
        f"no line for {messages.HEARTBEAT_S} s",
        f"{reader.MOST_UNREADABLE} such lines in a row",
    )

    assert [limit for limit in limits if limit not in CODES] == []


def test_every_code_is_documented() -> None:
    """All that the package sends are in the table, and no others."""
    sent = set()
    for file in (ROOT / "crypto_stream" / "feed" / "bridge").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
                if name in {"end", "_note", "_refuse", "_Refusal"}:
                    sent |= {text for text in texts[:1] if isinstance(text, str)}
    cells = [line.rstrip(" |").rpartition("|")[2] for line in CODES.splitlines() if line.startswith("| ")]
    documented = set(re.findall(r"`(\w+)`", " ".join(cells)))

    assert sent == documented - {"dropped", "subscribe"}  # messages of their own


def test_every_setting_is_documented() -> None:
    """Also several in one row."""
    documented = set(re.findall(r"^\| (`.*?`) \|", SETTINGS, re.MULTILINE))
    names = {name for cell in documented for name in re.findall(r"`(\w+)`", cell)}

    assert names == set(loading.OPTIONS)


def test_the_conversation_is_one() -> None:
    """Each line of the example is a message of its side."""
    lines = re.findall(r"^    (bridge|server)   (\{.*\})$", TEXT, re.MULTILINE)
    to_bridge = msgspec.json.Decoder(messages.ToBridge)

    assert len(lines) == 6
    for side, text in lines:
        if side == "bridge":
            assert not isinstance(messages.decode(text.encode()), messages.Unknown)
        else:
            assert json.loads(messages.encode(to_bridge.decode(text))) == json.loads(text)
