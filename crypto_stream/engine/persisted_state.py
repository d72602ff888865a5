"""What the engine remembers over restarts (pin, bans, timeline), and the lock on its data directory."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from crypto_stream.errors import SettingError
from crypto_stream.orphans import stopped_hint
from crypto_stream.private_files import make_private
from crypto_stream.storage.interface import StateStore

log = logging.getLogger(__name__)

_PIN = "pin"
_BAN = "ban:"
_TIMELINE = "timeline"
_EPOCH = "epoch"
_SEQ = "seq"
# `seq` follows the clock in us; so far ahead it is kept, and kept anew when half of that is used up.
_SEQ_AHEAD = 60_000_000
_RETRY_S = 10.0
# The longest ban any venue states; what is stored may have been written by a wrong clock, or by anybody.
_LONGEST_BAN_MS = 3 * 24 * 3_600_000
_DIGITS = 15
_SEQ_DIGITS = 16


class PersistedState:
    """Keep the pin and the bans, written to the store soon after each change."""

    def __init__(self, store: StateStore, now_ms: int) -> None:
        """Read what a former life left; bans that are over are forgotten, long ones cut to three days."""
        self._store = store
        self._kept = store.load()
        self.bans = {
            key.removeprefix(_BAN): min(int(value), now_ms + _LONGEST_BAN_MS)
            for key, value in self._kept.items()
            if key.startswith(_BAN) and _is_time(value) and int(value) > now_ms
        }
        self._changed = asyncio.Event()

    @property
    def epoch(self) -> str:
        """The name of this installation, made at its first start: it changes only with the whole data."""
        if _EPOCH not in self._kept:
            self._kept[_EPOCH] = uuid.uuid4().hex[:16]
            self._changed.set()
        return self._kept[_EPOCH]

    @property
    def seq(self) -> int:
        """A number that no `seq` of an earlier run was above, whatever the clock was then."""
        kept = self._kept.get(_SEQ, "0")
        return int(kept) if kept.isascii() and kept.isdecimal() and len(kept) <= _SEQ_DIGITS else 0

    def note_seq(self, seq: int) -> None:
        """Keep a number well above `seq`, now and then."""
        if seq + _SEQ_AHEAD // 2 > self.seq:
            self._kept[_SEQ] = str(seq + _SEQ_AHEAD)
            self._changed.set()

    @property
    def pin(self) -> str | None:
        """The pinned source, None while the order decides."""
        return self._kept.get(_PIN)

    def set_pin(self, source: str | None) -> None:
        """Remember a pin, or that there is none."""
        self._kept.pop(_PIN, None)
        if source is not None:
            self._kept[_PIN] = source
        self._changed.set()

    @property
    def timeline(self) -> str | None:
        """What a former run noted, as text; None where it noted nothing."""
        return self._kept.get(_TIMELINE)

    def set_timeline(self, text: str) -> None:
        """Remember the timeline."""
        self._kept[_TIMELINE] = text
        self._changed.set()

    def set_ban(self, source: str, until_ms: int) -> None:
        """Remember until when a venue wants no connection."""
        self._kept[_BAN + source] = str(until_ms)
        self._changed.set()

    async def run(self) -> None:
        """Write changes, for ever and at the end; a disk that refuses is tried again."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._write()
        finally:
            if self._changed.is_set():
                self._save()

    async def _write(self) -> None:
        if not await asyncio.to_thread(self._save):
            await asyncio.sleep(_RETRY_S)
            self._changed.set()

    def _save(self) -> bool:
        try:
            self._store.save(dict(self._kept))
        except OSError as error:
            log.error("pin and bans cannot be stored", extra={"reason": str(error)})
            return False
        return True


def _is_time(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _DIGITS


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the data directory for one engine; SettingError when another has it or it cannot be used."""
    try:
        make_private(data_dir)
        lock = os.open(data_dir / "engine.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise SettingError(f"data_dir: {str(data_dir)!r} cannot be used: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise SettingError(
            f"data_dir: {str(data_dir)!r} is in use by another engine (pid {owner}); "
            f"stop it or choose another --data-dir{stopped_hint(int(owner)) if owner.isdecimal() else ''}"
        ) from None
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(lock)
