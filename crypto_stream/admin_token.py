"""The local admin token: a private file in the data directory; whoever can read it may pin a source."""

from __future__ import annotations

import secrets
from pathlib import Path

from crypto_stream.errors import UsageError
from crypto_stream.private_files import write_new

NAME = "admin-token"
_MAX_BYTES = 4096  # generated tokens have 43


def make_token(data_dir: Path) -> str:
    """Return the token stored in `data_dir`, generating it on the first start.

    File and directory are readable by their owner only. Of two simultaneous starts the first one's token
    counts. Raises UsageError if it cannot be stored.
    """
    path = data_dir / NAME
    try:
        if not path.exists():
            write_new(path, secrets.token_urlsafe(32))
        path.chmod(0o600)  # restoring a copy may have made it readable by others
    except OSError as error:
        raise UsageError(f"data_dir: {str(data_dir)!r} cannot be used: {error.strerror}") from None
    return read_token(data_dir)


def read_token(data_dir: Path) -> str:
    """Return the token stored in `data_dir`; raise UsageError if there is none or it cannot be read."""
    path = data_dir / NAME
    try:
        with path.open("rb") as file:
            token = file.read(_MAX_BYTES).decode("ascii").strip()
    except FileNotFoundError:
        raise UsageError(
            f"admin_token: {str(path)!r} does not exist; `run` creates it when no admin_token is set;"
            " name the right folder with --data-dir, or give the token in CRYPTO_STREAM_ADMIN_TOKEN"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it does not hold a token"
        raise UsageError(f"admin_token: {str(path)!r} cannot be read: {why}") from None
    if not token:
        raise UsageError(f"admin_token: {str(path)!r} is empty; delete it and start again")
    return token
