"""State that survives restarts (pin, bans, pairs, timeline), and the lock on the data directory."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

from crypto_stream.errors import SettingError
from crypto_stream.log_throttle import TroubleLog
from crypto_stream.orphans import stopped_hint
from crypto_stream.private_files import make_private
from crypto_stream.storage.interface import FencedError, StateStore

log = logging.getLogger(__name__)

_PIN = "pin"
_BAN = "ban:"
_TIMELINE = "timeline"
_PAIRS = "pairs"
_EPOCH = "epoch"
_SEQ = "seq"
# `seq` follows the clock in µs. A value this far ahead is stored, and again once half of that is used up.
_SEQ_AHEAD = 60_000_000
_RETRY_S = 10.0
# No venue states a longer ban; a stored one may be wrong, for instance because the clock was.
_MAX_BAN_MS = 3 * 24 * 3_600_000
_TIME_DIGITS = 15
_SEQ_DIGITS = 16


class PersistedState:
    """A few values that are written to the store shortly after each change."""

    def __init__(self, store: StateStore, now_ms: int) -> None:
        """Load the values of the previous run; expired bans are dropped, long ones reduced to three days."""
        self._store = store
        self._values = store.load()
        self._own_bans: dict[str, str] = {}
        self.bans = {
            key.removeprefix(_BAN): min(int(value), now_ms + _MAX_BAN_MS)
            for key, value in self._values.items()
            if key.startswith(_BAN) and _is_time(value) and int(value) > now_ms
        }
        self._changed = asyncio.Event()
        self._unsaved = False
        self._saving = threading.Lock()
        self._log = TroubleLog(
            log, "pin and bans cannot be stored", "pin and bans are stored again", level=logging.ERROR
        )

    def reload(self) -> None:
        """Load what another engine has stored since; bans that were set here meanwhile are kept. Blocking."""
        self._values = {**self._store.load(), **self._own_bans}
        if self._own_bans:
            self._changed.set()

    def peek_pairs(self) -> str | None:
        """Return the chosen pairs that any engine has stored; raise OSError if that fails. Blocking."""
        return self._store.peek().get(_PAIRS)

    @property
    def epoch(self) -> str:
        """The random id of this data directory, generated at the first start."""
        if _EPOCH not in self._values:
            self._values[_EPOCH] = uuid.uuid4().hex[:16]
            self._changed.set()
        return self._values[_EPOCH]

    @property
    def seq(self) -> int:
        """A number that no `seq` of earlier runs has exceeded, whatever their clock."""
        text = self._values.get(_SEQ, "0")
        return int(text) if text.isascii() and text.isdecimal() and len(text) <= _SEQ_DIGITS else 0

    def note_seq(self, seq: int) -> None:
        """Store a number well above `seq`, once in a while."""
        if seq + _SEQ_AHEAD // 2 > self.seq:
            self._values[_SEQ] = str(seq + _SEQ_AHEAD)
            self._changed.set()

    @property
    def pin(self) -> str | None:
        """The pinned source, or None."""
        return self._values.get(_PIN)

    def set_pin(self, source: str | None) -> None:
        """Store the pin; None removes it."""
        self._values.pop(_PIN, None)
        if source is not None:
            self._values[_PIN] = source
        self._changed.set()

    @property
    def timeline(self) -> str | None:
        """The stored timeline as text; None if there is none."""
        return self._values.get(_TIMELINE)

    def set_timeline(self, text: str) -> None:
        """Store the timeline."""
        self._values[_TIMELINE] = text
        self._changed.set()

    @property
    def pairs(self) -> str | None:
        """The chosen pairs as text; None if none are stored."""
        return self._values.get(_PAIRS)

    def set_pairs(self, text: str) -> None:
        """Store the chosen pairs."""
        self._values[_PAIRS] = text
        self._changed.set()

    def set_ban(self, source: str, until_ms: int) -> None:
        """Store until when a venue refuses connections."""
        self._own_bans[_BAN + source] = self._values[_BAN + source] = str(until_ms)
        self._changed.set()

    async def run(self) -> None:
        """Write changes until cancelled, retrying after errors, and once more at the end."""
        try:
            while True:
                await self._changed.wait()
                await self._write()
        finally:
            if self._unsaved or self._changed.is_set():
                self._save()

    async def _write(self) -> None:
        self._changed.clear()
        self._unsaved = True  # until it is known to be written
        if await asyncio.to_thread(self._save):
            self._unsaved = False
        else:
            await asyncio.sleep(_RETRY_S)
            self._changed.set()

    def _save(self) -> bool:
        with self._saving:  # the last save may begin while the one before it, of older values, still runs
            return self._save_values()

    def _save_values(self) -> bool:
        try:
            self._store.save(dict(self._values))
        except FencedError:
            raise
        except OSError as error:
            self._log.fails(str(error))
            return False
        self._log.works()
        return True


def _is_time(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _TIME_DIGITS


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Lock the data directory; raise SettingError if another engine has it or it cannot be used."""
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
