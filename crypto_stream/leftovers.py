"""What a killed supervisor left behind: a stopped process (SIGSTOP) notices nothing until it goes on."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from crypto_stream.logs import ORPHAN_S

_NAME = "processes.json"
_ADDRESS = "address.json"
_PATIENCE_S = ORPHAN_S + 1.0  # an orphan that goes on ends by itself within this
_LOOK_S = 0.05
_PROC = Path("/proc")
Identity = tuple[int, str]


class Roster:
    """The processes of one run, in a file of its data directory; `note` is called when they change."""

    def __init__(self, data_dir: Path) -> None:
        """Write to `data_dir`, which must be there."""
        self._path = data_dir / _NAME

    def note(self, children: Sequence[int]) -> None:
        """Keep who runs now; a disk that refuses costs only this help."""
        _keep(self._path, [identity for pid in (os.getpid(), *children) if (identity := identify(pid))])


def announce(data_dir: Path, url: str) -> None:
    """Let commands find this process at `url` by its data directory."""
    _keep(data_dir / _ADDRESS, [identify(os.getpid()), url])


def running_at(data_dir: Path) -> str | None:
    """Return the address of what runs on `data_dir`, None where nothing does or nobody can tell."""
    with suppress(OSError, ValueError, TypeError):
        (pid, began), url = json.loads((data_dir / _ADDRESS).read_text("utf-8"))
        if _lives((pid, began)):
            return str(url)
    return None


def end_leftovers(data_dir: Path) -> list[int]:
    """End what a supervisor that is gone left in `data_dir`'s name; return the process ids.

    Only what is provably that very process: same id, start and boot. Nothing while the supervisor lives.
    """
    known = _read(data_dir / _NAME)
    if not known or _lives(known[0]):  # the supervisor itself comes first
        return []
    left = [each for each in known[1:] if _lives(each)]
    for number, patience_s in ((signal.SIGCONT, _PATIENCE_S), (signal.SIGKILL, _PATIENCE_S)):
        for pid, _ in filter(_lives, left):
            with suppress(OSError):
                os.kill(pid, number)
        deadline = time.monotonic() + patience_s
        while any(map(_lives, left)) and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
    return [pid for pid, _ in left]


def identify(pid: int) -> Identity | None:
    """Name a living process for good: its id and when it began in which boot; None where nobody can tell."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return None
    return None if fields[0] in "ZX" else (pid, f"{boot}/{fields[19]}")


def hint(pid: int) -> str:
    """Say what to do about a process in the way, where its state tells more than that it is there."""
    try:
        state = (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
    except OSError:
        return ""
    return (
        f"; it is stopped: let it go on with kill -CONT {pid}, or end it with kill -9 {pid}"
        if state in "Tt"
        else ""
    )


def listener_of(port: int) -> int | None:
    """Find the process of ours that listens on `port`; None where nobody can tell."""
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


def _keep(path: Path, content: object) -> None:
    draft = path.with_suffix(".new")
    with suppress(OSError):
        with open(draft, "w", encoding="utf-8", opener=_for_us_alone) as file:
            json.dump(content, file)
        draft.replace(path)


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _lives(identity: Identity) -> bool:
    return identify(identity[0]) == identity


def _read(path: Path) -> list[Identity]:
    """Read a roster as what it is, a file that anybody may have written: nonsense names nobody."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads(path.read_text("utf-8"))
        return [(int(pid), str(began)) for pid, began in found]
    return []
