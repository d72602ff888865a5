"""Record raw venue frames as they come: one JSON array `[receive time in s, kind, text]` per line."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from crypto_stream.errors import RecordingError

_encoder = msgspec.json.Encoder()


class FileRecorder:
    """Write frames to a new file; `frames` counts what was received. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        """Refuse to overwrite: a recording cannot be made again."""
        try:
            self._file = path.open("xb")
        except FileExistsError:
            raise RecordingError(f"record: {str(path)!r} exists already; name a new file") from None
        except OSError as error:
            raise RecordingError(f"record: {str(path)!r} cannot be written: {error.strerror}") from None
        self.frames = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, kind: str, text: str) -> None:
        """Keep one frame; `kind` is connect, send or recv."""
        self.frames += kind == "recv"
        self._file.write(_encoder.encode((time.time(), kind, text)) + b"\n")

    def flush(self) -> None:
        """Hand what was kept to the operating system."""
        self._file.flush()
