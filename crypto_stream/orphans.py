"""Processes that a killed supervisor left behind, and how commands find the running ones.

A process that was stopped (SIGSTOP) does not notice that its supervisor died until it is continued.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from crypto_stream.logs import ORPHAN_S

_PROCESSES_FILE = "processes.json"
_ADDRESS_FILE = "address.json"
_GRACE_S = ORPHAN_S + 1.0  # an orphan that is continued ends by itself within this time
_POLL_S = 0.05
_PROC = Path("/proc")
Identity = tuple[int, str]  # process id, and boot and start time


class ProcessList:
    """The processes of one run, kept in a file in its data directory."""

    def __init__(self, data_dir: Path) -> None:
        """Write to `data_dir`, which must exist."""
        self._path = data_dir / _PROCESSES_FILE

    def update(self, children: Sequence[int]) -> None:
        """Record this process and its `children`; a failed write only loses the help with orphans."""
        _write(self._path, [identity for pid in (os.getpid(), *children) if (identity := identify(pid))])


def publish_address(data_dir: Path, url: str) -> None:
    """Let commands with the same data directory find this process at `url`."""
    _write(data_dir / _ADDRESS_FILE, [identify(os.getpid()), url])


def running_address(data_dir: Path) -> str | None:
    """Return the URL of what runs on `data_dir`; None if nothing does or that cannot be determined."""
    with suppress(OSError, ValueError, TypeError):
        (pid, started), url = json.loads((data_dir / _ADDRESS_FILE).read_text("utf-8"))
        if _is_running((pid, started)):
            return str(url)
    return None


def end_orphans(data_dir: Path) -> list[int]:
    """End the processes that a dead supervisor left behind on `data_dir`; return their process ids.

    Only processes with the recorded id, start time and boot are touched, and none while the supervisor runs.
    """
    known = _read(data_dir / _PROCESSES_FILE)
    if not known or _is_running(known[0]):  # the first entry is the supervisor itself
        return []
    orphans = [each for each in known[1:] if _is_running(each)]
    for number in (signal.SIGCONT, signal.SIGKILL):
        for pid, _ in filter(_is_running, orphans):
            with suppress(OSError):
                os.kill(pid, number)
        deadline = time.monotonic() + _GRACE_S
        while any(map(_is_running, orphans)) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    return [pid for pid, _ in orphans]


def identify(pid: int) -> Identity | None:
    """Return process id, boot and start time, which no other process ever shares; None if unknown."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return None
    return None if fields[0] in "ZX" else (pid, f"{boot}/{fields[19]}")


def stopped_hint(pid: int) -> str:
    """Return advice on a process in the way if it is stopped, else an empty string."""
    try:
        state = (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
    except OSError:
        return ""
    if state not in "Tt":
        return ""
    return f"; it is stopped: continue it with kill -CONT {pid}, or end it with kill -9 {pid}"


def pid_listening_on(port: int) -> int | None:
    """Return the id of the process of this user that listens on `port`; None if unknown."""
    wanted = f"{port:04X}"
    inodes = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "net" / table).read_text("ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and fields[1].rpartition(":")[2] == wanted:
                    inodes.add(f"socket:[{fields[9]}]")
    for folder in _PROC.glob("[0-9]*/fd") if inodes else ():
        with suppress(OSError):
            for link in folder.iterdir():
                with suppress(OSError):
                    if os.readlink(link) in inodes:
                        return int(folder.parent.name)
    return None


def _write(path: Path, content: object) -> None:
    draft = path.with_suffix(".new")
    with suppress(OSError):
        with open(draft, "w", encoding="utf-8", opener=_open_private) as file:
            json.dump(content, file)
        draft.replace(path)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _is_running(identity: Identity) -> bool:
    return identify(identity[0]) == identity


def _read(path: Path) -> list[Identity]:
    """Read the recorded processes; a malformed file counts as an empty list."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads(path.read_text("utf-8"))
        return [(int(pid), str(started)) for pid, started in found]
    return []
