"""The relays of an installation, from the setting `bus`. No I/O here.

`redis://[user:password@]host[:port]/name[,redis://…]`, with `rediss` for TLS; `valkey`, `valkeys` mean the
same. The name distinguishes installations on the same server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from crypto_stream.errors import SettingError

# Scheme → whether it means TLS.
SCHEMES = {"redis": False, "rediss": True, "valkey": False, "valkeys": True}
_PORT = 6379
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Options of a URL with TLS: PEM files, the second and third for a server that requires a certificate of us.
_TLS_OPTIONS = ("ca", "cert", "key")
_FORM = "write redis://user:password@host:6379/name, several with commas between them"


@dataclass(frozen=True, slots=True)
class Relay:
    """One server; user and password are never shown. `ca`, `cert` and `key` are paths, with TLS only."""

    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    @property
    def address(self) -> str:
        """Host and port, for log lines and metrics."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Relays:
    """All relays of the installation `name`, at least one."""

    name: str
    relays: tuple[Relay, ...]


def parse_relays(text: str) -> Relays:
    """Parse the setting; raise SettingError, which contains no password, if it is not as documented."""
    relays: dict[str, Relay] = {}
    names: set[str] = set()
    for number, url in enumerate(filter(None, (part.strip() for part in text.split(","))), 1):
        name, relay = _parse(url, number)
        if relay.address in relays:
            raise SettingError(f"bus: relay {number} is {relay.address} again; name each once")
        relays[relay.address] = relay
        names.add(name)
    if not relays:
        raise SettingError(f"bus: no relay is named; {_FORM}")
    if len(names) > 1:
        raise SettingError(f"bus: one installation has one name, not {' and '.join(sorted(names))}")
    return Relays(names.pop(), tuple(relays.values()))


def _parse(url: str, number: int) -> tuple[str, Relay]:
    """Return name and relay of one URL, the `number`-th."""
    where = f"bus: relay {number}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")  # as a connection would: a name with an empty or endless label is none
    except ValueError:  # a port that is no number, brackets that do not match, or no possible name
        raise SettingError(f"{where} has no valid host and port; {_FORM}") from None
    if parts.scheme not in SCHEMES:
        raise SettingError(f"{where} must begin with one of {', '.join(f'{one}://' for one in SCHEMES)}")
    if not host or port == 0 or parts.fragment:
        raise SettingError(f"{where} has no valid host and port; {_FORM}")
    name = parts.path.removeprefix("/")
    if not _NAME.fullmatch(name):
        raise SettingError(
            f"{where} needs the installation's name after the port, of letters, digits, _ and -; {_FORM}"
        )
    relay = Relay(
        host=host,
        port=port or _PORT,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=SCHEMES[parts.scheme],
        **_tls_files(parts, where),
    )
    if relay.user and relay.password is None:
        raise SettingError(f"{where} names a user, but no password; write redis://:password@… for a password")
    return name, relay


def _tls_files(parts: SplitResult, where: str) -> dict[str, str]:
    given = parse_qsl(parts.query, keep_blank_values=True)
    files = dict(given)
    if len(files) != len(given) or not files.keys() <= set(_TLS_OPTIONS) or not all(files.values()):
        raise SettingError(
            f"{where}: a URL has the options {', '.join(_TLS_OPTIONS)}, each once, with a file"
        )
    if files and not SCHEMES[parts.scheme]:
        raise SettingError(f"{where}: {' and '.join(files)} need TLS: write {parts.scheme}s://")
    if "key" in files and "cert" not in files:
        raise SettingError(f"{where}: key needs cert")
    return files
