"""The measurements side by side, in their quick form: no figure is judged, only that clients met no error.

Peers that `make bench` installs are left out where they are not installed.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import SCALE

ROOT = Path(__file__).parents[2]


def quick(tmp_path: Path, name: str, *more: str) -> dict[str, Any]:
    """Run a measurement with a few clients for a second; return its file of results."""
    output = tmp_path / f"{name}.json"
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--output", str(output), *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100 * SCALE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(output.read_text("utf-8"))
    return result


def test_every_server_delivers_every_frame(tmp_path: Path) -> None:
    """Our gateways and the peers in Python give each client each frame, and each client checked it."""
    result = quick(tmp_path, "delivery", "--only", "send loop,flask-socketio,crypto")
    medians = result["medians"]

    assert set(medians) == {
        "bare send loop",
        "Flask-SocketIO, eventlet",
        "Flask-SocketIO, gevent",
        "Crypto Stream, eventlet",
        "Crypto Stream, gevent",
    }
    assert all(row["frames"] > 0 and row["missing"] == 0 for row in medians.values())
    assert "sendall" in result["peers"]["bare send loop"]["code"]
    assert result["machine"]["packages"]["gevent"]


def test_board_is_whole_and_each_client_gets_it(tmp_path: Path) -> None:
    """A hundred tickers come in one frame, plain and compressed, and the compressed one is smaller."""
    medians = quick(tmp_path, "board")["medians"]
    plain, compressed = (
        medians[f"Crypto Stream, eventlet, {each}"] for each in ("uncompressed", "compressed")
    )

    assert plain["missing"] == compressed["missing"] == 0
    assert compressed["bytes_per_frame"] < plain["bytes_per_frame"] / 4


def test_memory_is_measured_with_all_clients_there(tmp_path: Path) -> None:
    """A server holds more with its clients than without."""
    medians = quick(tmp_path, "memory", "--only", "flask-socketio, eventlet,crypto")["medians"]

    assert all(row["full_mb"] > 1 for row in medians.values())


def test_halted_readers_are_told_apart(tmp_path: Path) -> None:
    """Who stopped reading for a moment has the newest at the end; each of the others skipped no more than he.

    On a busy machine the gateway reads two changes at once and sends one frame: then everybody skips one.
    """
    medians = quick(tmp_path, "slow")["medians"]
    disturbed = medians["Crypto Stream, eventlet, 2 s"]

    assert disturbed["halted"] == disturbed["halted_newest"] == 2
    assert disturbed["others_skipped"] / 18 <= disturbed["halted_skipped"] / 2


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_courses_are_the_same_bytes_everywhere(tmp_path: Path) -> None:
    """Plain Flask answers the bytes that our gateway gave."""
    result = quick(tmp_path, "courses", "--only", "stock,crypto")

    assert len(json.loads(result["answer"]["body"])) == 3
    assert all(row["requests_per_s"] > 0 for row in result["medians"].values())


def test_frames_of_a_venue_reach_every_viewer(tmp_path: Path) -> None:
    """From the fake venue's frame to the viewers, through engine, bus and gateway, the last one arrives."""
    medians = quick(tmp_path, "end_to_end", "--only", "send loop,crypto stream, eventlet")["medians"]

    assert all(row["frames"] > 0 for row in medians.values())


def test_our_parser_reads_every_frame(tmp_path: Path) -> None:
    """Frames written by hand become as many quotes in the book; peers do the same where installed."""
    only = "stream" if importlib.util.find_spec("cryptofeed") is None else "crypto,ccxt"
    medians = quick(tmp_path, "parse", "--only", only)["medians"]

    assert all(row["us_per_frame"] > 0 for row in medians.values())


def test_two_gateways_share_the_viewers(tmp_path: Path) -> None:
    """Frames are counted with one gateway and with two."""
    medians = quick(tmp_path, "workers")["medians"]

    assert set(medians) == {"1 on eventlet", "2 on eventlet"}
    assert all(row["frames_per_s"] > 0 for row in medians.values())


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    """A name that nothing has is told with those that exist, before anything starts."""
    with pytest.raises(AssertionError, match="known: bare send loop"):
        quick(tmp_path, "delivery", "--only", "nonsense")


def test_the_way_in_is_measured_beside_a_bare_loop(tmp_path: Path) -> None:
    """Our engine and a loop that drops every frame get the same frames at both rates."""
    medians = quick(tmp_path, "ingest", "--only", "bare websockets,stream")["medians"]

    assert len(medians) == 4
    assert all(row["us_per_frame"] > 0 for row in medians.values())
