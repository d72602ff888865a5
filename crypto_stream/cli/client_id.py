"""The client id that a user's orders belong to, generated once and stored in a private file."""

from __future__ import annotations

import uuid
from pathlib import Path

import click

from crypto_stream.errors import UsageError
from crypto_stream.private_files import write_new

ID_FILE = Path(click.get_app_dir("crypto-stream")) / "client-id"
_ALTERNATIVE = "name an id with --client-id UUID or CRYPTO_STREAM_CLIENT_ID"


def client_id_of(given: uuid.UUID | None) -> str:
    """Return the given id, else the stored one, generating it the first time; UsageError if impossible."""
    if given is not None:
        return str(given)
    if not ID_FILE.is_absolute():  # "~" is not expanded for a user without a home directory
        raise UsageError(f"client-id: this user has no home directory to store one in; {_ALTERNATIVE}")
    try:
        if not ID_FILE.exists():
            write_new(ID_FILE, str(uuid.uuid4()))
            click.echo(f"Your orders belong to the client id now stored in {ID_FILE}.", err=True)
        return str(uuid.UUID(ID_FILE.read_text("utf-8").strip()))
    except OSError as error:
        raise UsageError(f"client-id: {ID_FILE} cannot be used: {error.strerror}; {_ALTERNATIVE}") from None
    except ValueError:
        raise UsageError(
            f"client-id: {ID_FILE} does not contain a UUID; put yours into it, or delete it to get a new one"
        ) from None
