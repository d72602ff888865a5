"""Record raw venue frames: one JSON array `[receive time in s, kind, text]` per line."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from crypto_stream.errors import RecordingError

BINARY = "recv-hex"  # a received binary frame, in hexadecimal

_encoder = msgspec.json.Encoder()


class FileRecorder:
    """A context manager that writes frames to a new file; `frames` counts the received ones."""

    def __init__(self, path: Path) -> None:
        """Raise RecordingError if the file exists: a recording cannot be repeated."""
        try:
            self._file = path.open("xb")
        except FileExistsError:
            raise RecordingError(f"record: {str(path)!r} exists already; name a new file") from None
        except OSError as error:
            raise RecordingError(f"record: {str(path)!r} cannot be written: {error.strerror}") from None
        self.frames = 0
        self._fault: OSError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # reported by `flush`
            self._file.close()

    def received(self, frame: bytes) -> None:
        """Record a received frame; binary data is written in hexadecimal."""
        self.frames += 1
        try:
            self.write("recv", frame.decode())
        except UnicodeDecodeError:
            self.write(BINARY, frame.hex())

    def write(self, kind: str, text: str) -> None:
        """Record a connect or a sent frame. Disk errors are reported by `flush`."""
        line = _encoder.encode((time.time(), kind, text)) + b"\n"
        try:
            self._file.write(line)
        except OSError as error:
            self._fault = self._fault or error

    def flush(self) -> None:
        """Flush to the operating system; raise RecordingError if anything could not be written."""
        try:
            if self._fault:
                raise self._fault
            self._file.flush()
        except OSError as error:
            raise RecordingError(f"record: {self._file.name!r} cannot be written: {error.strerror}") from None
