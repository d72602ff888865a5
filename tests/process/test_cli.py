"""The commands as a person meets them: help, one line for a mistake, quick to start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from crypto_stream import __version__
from crypto_stream.settings import OPTIONS
from tests.process.programs import ROOT, command
from tests.waiting import DEADLINE_S

# As the tests call it: what we suggest must run as it stands.
PROGRAM = f"{sys.executable.removeprefix(f'{ROOT}/')} -m crypto_stream"
_OWNER = "8f9d4ba2-52b5-4f0f-9a3e-0d7f3f2b1c11"


def test_version() -> None:
    """--version says name and version."""
    assert command("--version").stdout == f"Crypto Stream {__version__}\n"


def test_the_help_lists_everycommand() -> None:
    """Without a command the help comes."""
    shown = command().stderr

    for name in ("run", "engine", "gateway", "sources", "switch", "watch", "record"):
        assert f"\n  {name} " in shown


@pytest.mark.parametrize("name", ["run", "engine", "gateway", "sources", "record"])
def test_every_setting_is_an_option_with_help(name: str) -> None:
    """Each setting is an option, and each option but --config and --help is a setting."""
    shown = command(name, "--help").stdout
    options = {word for line in shown.splitlines() for word in line.split() if word.startswith("--")}

    assert options == {f"--{name.replace('_', '-')}" for name in OPTIONS} | {"--config", "--help"}


def test_an_option_has_the_unit_of_its_help() -> None:
    """Hours are not called seconds, nor a percentage."""
    shown = command("run", "--help").stdout

    for name, unit in (("keep-1s", "HOURS"), ("stale-after", "SECONDS"), ("jump-guard", "PERCENT")):
        assert f"--{name} {unit}" in shown


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run", "--port", "99999"], "Error: port: '99999' is not allowed: "),
        (["run", "--prot", "1"], "Error: No such option '--prot'."),
        (["rum"], "Error: No such command 'rum'."),
        (["switch"], f"Error: Missing argument 'SOURCE'. See: {PROGRAM} switch --help"),
        (
            ["run", "--sources", "binanec"],
            "Error: sources: 'binanec' is not a handler; did you mean binance?",
        ),
        (["run", "--config", "gone.toml"], "Error: config: 'gone.toml' does not exist"),
        (["engine", "--runtime-dir", "/tmp/" + "x" * 200], "Error: runtime-dir: '/tmp/xxx"),
    ],
)
def test_a_mistake_gets_one_line_and_status_2(arguments: list[str], line: str) -> None:
    """Whatever a person must change is said in one line on standard error."""
    done = command(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_a_gateway_that_is_not_there_gets_one_line_and_status_1() -> None:
    """`switch` without a running gateway says so."""
    done = command("switch", "auto", "--url", "http://127.0.0.1:1")

    assert done.returncode == 1
    assert done.stderr.startswith("Error: no answer from http://127.0.0.1:1: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "environment",
    [
        {"ALL_PROXY": "socks5://127.0.0.1:9"},
        {"http_proxy": "http://127.0.0.1:9"},
        {"all_proxy": "nonsense://", "no_proxy": "::1/128"},
    ],
)
@pytest.mark.parametrize("name", [["switch", "auto"], ["order", "list", "--client-id", _OWNER]])
def test_this_machine_is_asked_without_a_proxy(name: list[str], environment: dict[str, str]) -> None:
    """A proxy in the environment, however broken, is none of a local gateway's business."""
    done = command(*name, "--url", "http://127.0.0.1:1", **environment)

    assert done.returncode == 1
    assert "no answer from http://127.0.0.1:1: " in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", [["switch", "auto"], ["watch"], ["order", "list", "--client-id", _OWNER]])
def test_a_proxy_that_cannot_be_used_gets_one_line(name: list[str]) -> None:
    """The line names the proxy and what to install, instead of a trace."""
    done = command(*name, "--url", "http://stream.example", ALL_PROXY="socks5://u:secret@127.0.0.1:9")

    assert done.returncode == 2
    assert done.stderr.startswith(
        "Error: all_proxy is the SOCKS proxy socks5://127.0.0.1:9, for which packages"
    )
    assert done.stderr.count("\n") == 1


def test_without_a_home_the_line_says_what_to_give() -> None:
    """A service's user may have no home directory: nothing is made in the present folder."""
    done = command("order", "list", "--url", "http://127.0.0.1:1", HOME="~nobody-knows", XDG_CONFIG_HOME="")

    assert done.returncode in (1, 2)
    assert not (ROOT / "~nobody-knows").exists()
    assert "client-id: this user has no home directory" in done.stderr


def test_sources_shows_each_handler_and_where_it_was_found(tmp_path: Path) -> None:
    """Handlers of the package and of a folder are listed; a broken one says why and harms no other."""
    (tmp_path / "broken.py").write_text("import gone_module\n")
    done = command("sources", "--handlers-dir", str(tmp_path))
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}

    assert "handlers/binance.py" in rows["binance"]
    assert "No module named 'gone_module'" in rows["broken"]
    assert str(tmp_path / "broken.py") in rows["broken"]


def test_the_lock_file_names_no_registry() -> None:
    """package-lock.json holds versions and checksums, no download address, and npm is told to keep it so."""
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]

    assert not [name for name, entry in packages.items() if "resolved" in entry]
    assert all("integrity" in entry for name, entry in packages.items() if name)
    assert "omit-lockfile-registry-resolved=true" in (ROOT / ".npmrc").read_text().splitlines()


def test_scripts_of_the_pages_are_pinned_exactly() -> None:
    """package.json names exact versions, so that two set-ups are the same."""
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]

    assert set(wanted) == {"socket.io-client", "lightweight-charts"}
    assert all(version.replace(".", "").isdigit() for version in wanted.values())


def test_make_alone_lists_its_targets() -> None:
    """`make` without a target does nothing but explain."""
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=True)

    for target in ("run", "setup", "wheel", "test", "check", "clean"):
        assert f"make {target} " in shown.stdout
