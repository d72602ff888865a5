"""The local admin token: a secret file in the data directory; who can read it may pin a source."""

from __future__ import annotations

import secrets
from pathlib import Path

from crypto_stream.errors import UsageError
from crypto_stream.private_files import write_new

NAME = "admin-token"
_LONGEST = 4096  # bytes; a token of ours has 43


def make_token(data_dir: Path) -> str:
    """Return the token kept in `data_dir`, made at the first start; UsageError when it cannot be kept.

    Readable for its owner alone, in a directory that is made likewise. Of two starts at once the first
    one's token holds.
    """
    path = data_dir / NAME
    try:
        if not path.exists():
            write_new(path, secrets.token_urlsafe(32))
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
