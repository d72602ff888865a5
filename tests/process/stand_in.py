"""A supervisor with small children of its own: `python -m tests.process.stand_in LOG LIMITS CHILD…`.

The supervisor is the real one; each CHILD is a behaviour below, run as a process named after it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from crypto_stream import logs
from crypto_stream.child_process import INHERITED, Program, Timeouts
from crypto_stream.supervisor import Supervisor

_log = logging.getLogger("crypto_stream.stand_in")
_BEAT_S = 0.05
_FLOOD = 50_000


def _beats(beat: Callable[[], None]) -> NoReturn:
    while True:
        beat()
        time.sleep(_BEAT_S)


def _waits(beat: Callable[..., None]) -> NoReturn:
    for _ in range(20):
        beat(waits=True)
        time.sleep(_BEAT_S)
    _beats(beat)


def _takes_turns(beat: Callable[..., None]) -> NoReturn:
    while True:
        for number in range(40):
            beat(waits=number < 20)
            time.sleep(_BEAT_S)


def _polite(beat: Callable[[], None]) -> NoReturn:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        _beats(beat)
    finally:  # not where the signal came: that may be in the middle of a line
        _log.info("asked to end")


def _deaf(beat: Callable[[], None]) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _beats(beat)


def _wrong(beat: Callable[[], None]) -> NoReturn:
    _log.error("data-dir: it is in use")
    sys.exit(2)


def _flood(beat: Callable[[], None]) -> NoReturn:
    beat()
    for number in range(_FLOOD):
        _log.info("line", extra={"number": number, "filling": "x" * 100})
    Path(json.loads(os.environ[INHERITED])["folder"], "flood.over").touch()  # a line that says so may be lost
    _beats(beat)


def _hangs_later(beat: Callable[[], None]) -> NoReturn:
    beat()
    _hangs_at_once(beat)


def _hangs_at_once(beat: Callable[[], None]) -> NoReturn:
    while True:
        time.sleep(60)


def _crashes(beat: Callable[[], None]) -> NoReturn:
    beat()
    raise ValueError("broken\nin two lines")


BEHAVIOURS: dict[str, Callable[[Callable[..., None]], NoReturn]] = {
    "waits": _waits,
    "takes_turns": _takes_turns,
    "polite": _polite,
    "other": _polite,
    "deaf": _deaf,
    "wrong": _wrong,
    "flood": _flood,
    "hangs": _hangs_at_once,
    "hangs_later": _hangs_later,
    "crashes": _crashes,
}


def _child(behaviour: str) -> NoReturn:
    told = json.loads(os.environ[INHERITED])
    pipe = logs.PipeHandler(told["log"], told["name"], told["hang_s"])
    logs.configure("INFO", pipe)
    BEHAVIOURS[behaviour](pipe.beat)


def _supervise(log_file: str, limits: str, behaviours: list[str]) -> int:
    file = logs.LogFile(Path(log_file), 100_000_000, 1, "supervisor")
    logs.configure("INFO", file, logs.Terminal("supervisor"))
    told = {"folder": str(Path(log_file).parent)}
    programs = [
        Program(name, [sys.executable, "-m", "tests.process.stand_in", name], told, stops_last=not number)
        for number, name in enumerate(behaviours)
    ]
    return Supervisor(
        programs,
        file.line,
        lambda: _log.info("serving"),
        Timeouts(**json.loads(limits)),
        on_waiting=lambda: _log.info("waiting"),
    ).run()


if __name__ == "__main__":
    if INHERITED in os.environ:
        _child(sys.argv[1])
    sys.exit(_supervise(sys.argv[1], sys.argv[2], sys.argv[3:]))
