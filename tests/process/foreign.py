"""A supervisor, stand-ins and a foreign program: `python -m tests.process.foreign LOG LIMITS COMMAND…`."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from crypto_stream import logs
from crypto_stream.child_process import Program, Timeouts
from crypto_stream.supervisor import Supervisor

_log = logging.getLogger("crypto_stream.foreign")


def _supervise(log_file: str, limits: str, command: list[str]) -> int:
    file = logs.LogFile(Path(log_file), 100_000_000, 1, "supervisor")
    logs.configure("INFO", file, logs.Terminal("supervisor"))
    programs = [
        Program("polite", [sys.executable, "-m", "tests.process.stand_in", "polite"], {}),
        Program("other", [sys.executable, "-m", "tests.process.stand_in", "other"], {}),
        Program("bridge:x", command, {"BRIDGE_NAME": "x"}, foreign=True),
    ]
    return Supervisor(programs, file.line, lambda: _log.info("serving"), Timeouts(**json.loads(limits))).run()


if __name__ == "__main__":
    sys.exit(_supervise(sys.argv[1], sys.argv[2], sys.argv[3:]))
