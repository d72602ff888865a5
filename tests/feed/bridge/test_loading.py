"""The settings of bridges: `[bridge.NAME]`, the environment, and one line for whatever is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crypto_stream import layout
from crypto_stream.errors import SettingError
from crypto_stream.feed.bridge.source import Bridge
from crypto_stream.feed.loading import load_sources
from crypto_stream.settings import load
from tests.process.programs import short_folder

TOKEN = "0123456789abcdef"


def bridge(options: dict[str, str], **given: Any) -> Bridge:
    """Load the one bridge of the settings."""
    chosen = load({"sources": "bridge:acme", **given})
    (source,) = load_sources(chosen.model_copy(update={"handler_options": {"bridge": options}}))
    assert isinstance(source, Bridge)
    return source


def test_a_bridge_listens_in_the_data_directory() -> None:
    """By default, without any setting."""
    with short_folder() as folder:
        found = bridge({}, data_dir=folder)

        assert found.place.address == f"{folder}/bridge-acme.sock"
    assert found.place.shown == found.urls[0] == "unix:bridge-acme.sock"
    assert (found.name, found.command, found.expected.token) == ("bridge:acme", (), "")


def test_the_table_and_the_environment_are_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`[bridge.NAME]` in the file, CRYPTO_STREAM_BRIDGE_NAME_… before it; names may contain underscores."""
    file = tmp_path / "settings.toml"
    file.write_text(
        'sources = ["bridge:my_venue", "bridge:two"]\n'
        '[bridge.my_venue]\ncommand = "python3 my.py --fast \'a b\'"\nwithout = ["NEIRO-USDT"]\n'
        'names = { NEIRO = "NEIROCTO" }\n[bridge.two]\nlisten = "[::1]:9000"\n'
    )
    monkeypatch.setenv("CRYPTO_STREAM_BRIDGE_TWO_TOKEN", TOKEN)
    monkeypatch.setenv("CRYPTO_STREAM_BRIDGE_MY_VENUE_BUSY", "btc-usdt")
    first, second = load_sources(load({}, file))
    assert isinstance(first, Bridge)
    assert isinstance(second, Bridge)

    assert first.command == ("python3", "my.py", "--fast", "a b")
    assert first.without == {"neirousdt"}
    assert (dict(first.names), first.busy) == ({"NEIRO": "NEIROCTO"}, "btc-usdt")
    assert (second.place.address, second.expected) == ("[::1]:9000", ("two", TOKEN))


def test_a_program_of_ours_is_named_with_what_it_brings() -> None:
    """Its source has the name of the exchange; which Python runs it can be chosen."""
    with short_folder() as folder:
        plain = bridge({}, sources="bridge:ccxt:gate", data_dir=folder)
        chosen = bridge(
            {"gate_python": "/opt/python", "gate_config": "gate.json"},
            sources="bridge:ccxt:gate",
            data_dir=folder,
        )

    assert (plain.name, plain.expected.name) == ("bridge:gate", "gate")
    assert plain.command == (layout.BRIDGES_PYTHON, "-P", "-m", "bridges.ccxt", "gate")
    assert chosen.command == (
        "/opt/python", "-P", "-m", "bridges.ccxt", "gate", "--config", "gate.json"
    )  # fmt: skip
    assert plain.environment["PYTHONPATH"] == str(layout.BRIDGES.parent)
    assert "PYTHONPATH" not in bridge({}).environment


@pytest.mark.parametrize(
    ("source", "options", "line"),
    [
        ("bridge:", {}, "sources: 'bridge:' is not allowed: write bridge:NAME"),
        ("bridge:A-b", {}, "sources: 'bridge:A-b' is not allowed: write bridge:NAME"),
        ("bridge:a", {"a_comand": "x"}, "CRYPTO_STREAM_BRIDGE_A_COMAND: no such setting; did you mean COMM"),
        (
            "bridge:a",
            {"command": "x"},
            "CRYPTO_STREAM_BRIDGE_COMMAND: no such setting; the name of a bridge must",
        ),
        ("binance", {"a_colour": "x"}, "CRYPTO_STREAM_BRIDGE_A_COLOUR: no such setting; allowed: busy"),
        ("bridge:a", {"a_command": "'"}, 'CRYPTO_STREAM_BRIDGE_A_COMMAND: "\'" is not allowed: No closing'),
        ("bridge:a", {"a_command": " "}, "CRYPTO_STREAM_BRIDGE_A_COMMAND: ' ' is not allowed: it names no"),
        ("bridge:a", {"a_token": "short"}, "CRYPTO_STREAM_BRIDGE_A_TOKEN: 5 characters are not allowed"),
        (
            "bridge:a",
            {"a_listen": "127.0.0.1:9"},
            "CRYPTO_STREAM_BRIDGE_A_LISTEN: a TCP address needs CRYPTO",
        ),
        ("bridge:a", {"a_listen": "0.0.0.0:9"}, "CRYPTO_STREAM_BRIDGE_A_LISTEN: '0.0.0.0:9' is not allowed"),
        ("bridge:a", {"a_listen": "localhost:9"}, "CRYPTO_STREAM_BRIDGE_A_LISTEN: 'localhost:9' is not allo"),
        ("bridge:a", {"a_listen": "127.0.0.1:0"}, "CRYPTO_STREAM_BRIDGE_A_LISTEN: '127.0.0.1:0' is not allo"),
        ("bridge:a", {"a_busy": "??"}, "CRYPTO_STREAM_BRIDGE_A_BUSY: "),
        ("bridge:a,bridge:a", {}, "sources: bridge:a is given twice"),
        ("bridge:a,bridge:ccxt:a", {}, "sources: bridge:a is given twice"),
        (
            "bridge:acme:a",
            {},
            "sources: 'bridge:acme:a' is not allowed: write bridge:NAME, or bridge:PROGRAM:",
        ),
        ("bridge:ccxt:", {}, "sources: 'bridge:ccxt:' is not allowed: write bridge:NAME, or bridge:PROGRAM:"),
        ("bridge:ccxt:a", {"a_command": "x"}, "CRYPTO_STREAM_BRIDGE_A_COMMAND: this setting is for bridge:a"),
        (
            "bridge:a",
            {"a_python": "x"},
            "CRYPTO_STREAM_BRIDGE_A_PYTHON: this setting is for bridge:PROGRAM:a",
        ),
        (
            "bridge:a",
            {"a_config": "x"},
            "CRYPTO_STREAM_BRIDGE_A_CONFIG: this setting is for bridge:PROGRAM:a",
        ),
    ],
)
def test_a_wrong_setting_is_one_line(source: str, options: dict[str, str], line: str) -> None:
    """It says which one, and what is allowed."""
    chosen = load({"sources": source}).model_copy(update={"handler_options": {"bridge": options}})
    with pytest.raises(SettingError) as caught:
        load_sources(chosen)

    assert str(caught.value).startswith(line)


def test_a_path_that_is_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    """At the start, instead of a source that is never live."""
    with pytest.raises(SettingError, match=r"the data directory makes a socket path of \d+ bytes"):
        bridge({}, data_dir=str(tmp_path / ("x" * 100)))
