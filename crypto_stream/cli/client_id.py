"""The client id that a person's orders belong to: made once, kept in a small file of theirs."""

from __future__ import annotations

import os
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

import click

from crypto_stream.errors import UsageError

ID_FILE = Path(click.get_app_dir("crypto-stream")) / "client-id"
_ANOTHER = "name an id with --client-id UUID or CRYPTO_STREAM_CLIENT_ID"


def client_id_of(given: uuid.UUID | None) -> str:
    """Return the given id, else the kept one, made at the first time; UsageError says what is wrong."""
    if given is not None:
        return str(given)
    if not ID_FILE.is_absolute():  # "~" stays as it is where nobody knows a home
        raise UsageError(f"client-id: this user has no home directory to keep one in; {_ANOTHER}")
    try:
        if not ID_FILE.exists():
            _make(ID_FILE)
        return str(uuid.UUID(ID_FILE.read_text("utf-8").strip()))
    except OSError as error:
        raise UsageError(f"client-id: {ID_FILE} cannot be used: {error.strerror}; {_ANOTHER}") from None
    except ValueError:
        raise UsageError(
            f"client-id: {ID_FILE} holds no UUID; put yours into it, or delete it to begin with a new one"
        ) from None


def _make(path: Path) -> None:
    """Write a new id, readable for its owner alone; of two commands at once the first one's id holds."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{uuid.uuid4()}\n")
        with suppress(FileExistsError):
            os.link(draft, path)  # all or nothing, and never over another one
    finally:
        os.unlink(draft)
    click.echo(f"Your orders belong to the client id now kept in {path}.", err=True)
