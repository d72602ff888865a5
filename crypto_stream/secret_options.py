"""Options that carry a secret are hidden at once: all users of a machine may list processes' arguments."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# Only a process's owner may read its environment.
_VARIABLES = {
    "--admin-token": "CRYPTO_STREAM_ADMIN_TOKEN",
    "--token": "CRYPTO_STREAM_ADMIN_TOKEN",
    "--client-id": "CRYPTO_STREAM_CLIENT_ID",
}


def hide() -> None:
    """Start this program anew with its secrets in the environment, where it has some in its arguments."""
    arguments, secrets = without_secrets(sys.orig_argv[1:])
    if secrets:
        os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, **secrets})


def without_secrets(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the other arguments, and the secrets by the names of their environment variables."""
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
        else:  # its value is missing: the command will say so
            kept.append(argument)
    return kept, secrets
