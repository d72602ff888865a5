"""Types of settings that need parsing: lists, origins, networks, a path; ValueError says what is allowed."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from crypto_stream.origin import normal_origin


def _words(value: object) -> object:
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _origins(words: tuple[str, ...]) -> tuple[str, ...]:
    """Normalize each to what browsers send, so that it can match."""
    return tuple(dict.fromkeys(word if word == "*" else normal_origin(word) for word in words))


def _root_path(text: str) -> str:
    path = "/" + text.strip().strip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+|/", path):
        raise ValueError("write a path such as /crypto, of letters, digits and . _ ~ -")
    return path.rstrip("/")


def _networks(words: tuple[str, ...]) -> tuple[str, ...]:
    for word in words:
        try:
            ipaddress.ip_network(word)
        except ValueError:
            raise ValueError(f"{word!r} is not a network; write 127.0.0.1 or 10.0.0.0/8") from None
    return words


def is_postgresql(database: str) -> bool:
    """Return whether the setting `database` is the address of a PostgreSQL database."""
    return database.startswith(("postgresql://", "postgres://"))


def _database(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if text != "sqlite" and not is_postgresql(text):
        raise ValueError("write sqlite or postgresql://user@host/name")
    servers, _, rest = text.partition("://")[2].partition("/")
    if servers.count("@") > 1 or "@" in rest.partition("?")[0]:
        # The end of such a password would be taken for a server's name, and shown when it is not found.
        raise ValueError("write %40 for @ and %2F for / in a user or password")
    return secret


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Origins = Annotated[Words, AfterValidator(_origins)]
Networks = Annotated[Words, AfterValidator(_networks)]
RootPath = Annotated[str, AfterValidator(_root_path)]
Database = Annotated[SecretStr, AfterValidator(_database)]
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]
