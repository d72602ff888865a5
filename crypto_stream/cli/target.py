"""Which running gateway a command addresses, and the admin token for it."""

from __future__ import annotations

import ipaddress
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import click

from crypto_stream import layout
from crypto_stream.admin_token import read_token
from crypto_stream.errors import RefusedError, UsageError
from crypto_stream.orphans import running_address
from crypto_stream.settings import load


def _as_called(script: str, arguments: Sequence[str]) -> str:
    """Return the program as the user called it, so that suggested commands can be pasted.

    `script` is what Python runs, `arguments` are its own and the program's.
    """
    folder = f"{os.getcwd()}{os.sep}"
    if Path(script).name == layout.SCRIPT:
        is_on_path = shutil.which(layout.SCRIPT) == script
        return layout.SCRIPT if is_on_path else shlex.quote(script.removeprefix(folder))
    number = arguments.index("-m") + 2 if "-m" in arguments[:-1] else 1
    program, *rest = arguments[:number]
    return shlex.join([program.removeprefix(folder), *rest])


PROGRAM = _as_called(sys.argv[0], sys.orig_argv)

url_option = click.option(
    "--url", help="Address of the gateway. [the one that uses this folder's data directory]"
)
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Data directory of the server, with its admin token. [data_dir of the settings]",
)


token_option = click.option(
    "--token", help="Admin token. [the setting admin_token, else the one in the data directory]"
)


@contextmanager
def with_token(token: str | None, data_dir: Path | None, url: str | None) -> Iterator[str | None]:
    """Yield `token`, else the one of this machine; that there is none is reported only if one is required."""
    missing: UsageError | None = None
    if not token:
        try:
            token = admin_token(data_dir, url)
        except UsageError as error:
            missing = error
    try:
        yield token
    except RefusedError as refused:
        raise (missing if missing and refused.code == "unauthorized" else refused) from None


def address(url: str | None, data_dir: Path | None = None) -> str:
    """Return `url`, else the address of what runs on the data directory, else that of the settings."""
    if url:
        return url
    settings = load({} if data_dir is None else {"data_dir": data_dir})
    if running := running_address(settings.data_dir):
        return running
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    return f"http://{host}:{settings.port}"


def with_options(command: str, **given: object) -> str:
    """Return a command of ours with the options that were given, ready to be pasted."""
    options = [
        f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in given.items() if value
    ]
    return " ".join([PROGRAM, command, *options])


def admin_token(data_dir: Path | None, url: str | None = None) -> str:
    """Return the admin token of the settings, else the one in the data directory.

    Raises UsageError if there is none, or if `url` is another machine, to which ours must not be sent.
    """
    settings = load({} if data_dir is None else {"data_dir": data_dir})
    if settings.admin_token:
        return settings.admin_token.get_secret_value()
    if url is not None and not _is_local(url):
        raise UsageError(f"admin_token: {url} is another machine; give its token with --token")
    return read_token(settings.data_dir)


def _is_local(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
