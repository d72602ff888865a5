"""The client id that a person's orders belong to: made once, kept in a small file of theirs."""

from __future__ import annotations

import uuid
from pathlib import Path

import click

from crypto_stream.errors import UsageError
from crypto_stream.private_files import write_new

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
            write_new(ID_FILE, str(uuid.uuid4()))
            click.echo(f"Your orders belong to the client id now kept in {ID_FILE}.", err=True)
        return str(uuid.UUID(ID_FILE.read_text("utf-8").strip()))
    except OSError as error:
        raise UsageError(f"client-id: {ID_FILE} cannot be used: {error.strerror}; {_ANOTHER}") from None
    except ValueError:
        raise UsageError(
            f"client-id: {ID_FILE} holds no UUID; put yours into it, or delete it to begin with a new one"
        ) from None
