"""The local admin token: a secret file in the data directory; who can read it may pin a source."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from crypto_stream.errors import UsageError

NAME = "admin-token"
_LONGEST = 4096  # bytes; a token of ours has 43


def make_token(data_dir: Path) -> str:
    """Return the token kept in `data_dir`, made at the first start; UsageError when it cannot be kept.

    Readable for its owner alone, in a directory that is made likewise. Of two starts at once the first
    one's token holds.
    """
    path = data_dir / NAME
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write(path)
        path.chmod(0o600)  # whoever copied it back may have opened it to others
    except OSError as error:
        raise UsageError(f"data_dir: {str(data_dir)!r} cannot be used: {error.strerror}") from None
    return read_token(data_dir)


def read_token(data_dir: Path) -> str:
    """Return the token that a start has left in `data_dir`; UsageError says what is wrong."""
    path = data_dir / NAME
    try:
        with path.open("rb") as file:
            token = file.read(_LONGEST).decode("ascii").strip()
    except FileNotFoundError:
        raise UsageError(
            f"admin_token: {str(path)!r} is not there; `run` makes it where no admin_token is set;"
            " name the right folder with --data-dir"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it holds no token"
        raise UsageError(f"admin_token: {str(path)!r} cannot be read: {why}") from None
    if not token:
        raise UsageError(f"admin_token: {str(path)!r} is empty; delete it and start again")
    return token


def _write(path: Path) -> None:
    descriptor, draft = tempfile.mkstemp(dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_urlsafe(32)}\n")
        with suppress(FileExistsError):
            os.link(draft, path)  # all or nothing, and never over another one
    finally:
        os.unlink(draft)
