"""Move secrets from command-line options to the environment: any user can list a process's arguments."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# A process's environment can be read by its owner only.
_VARIABLES = {
    "--admin-token": "CRYPTO_STREAM_ADMIN_TOKEN",
    "--token": "CRYPTO_STREAM_ADMIN_TOKEN",
    "--client-id": "CRYPTO_STREAM_CLIENT_ID",
    "--bus": "CRYPTO_STREAM_BUS",  # may contain passwords
    "--database": "CRYPTO_STREAM_DATABASE",  # likewise
    "--to": "CRYPTO_STREAM_DATABASE",
}


def move_to_environment() -> None:
    """Replace this process by one with its secrets in the environment, if there are any in its arguments."""
    arguments, secrets = without_secrets(sys.orig_argv[1:])
    if secrets:
        os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, **secrets})


def without_secrets(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the arguments that are not secret, and the secrets by environment variable."""
    kept: list[str] = []
    secrets: dict[str, str] = {}
    left = iter(arguments)
    for argument in left:
        if argument == "--":
            return [*kept, argument, *left], secrets
        option, given, value = argument.partition("=")
        if option not in _VARIABLES:
            kept.append(argument)
        elif given:
            secrets[_VARIABLES[option]] = value
        elif (following := next(left, None)) is not None:
            secrets[_VARIABLES[option]] = following
        else:  # its value is missing: leave the error to the command
            kept.append(argument)
    return kept, secrets
