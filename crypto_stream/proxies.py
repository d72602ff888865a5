"""Which proxy to use for a URL, according to http_proxy, https_proxy, all_proxy and no_proxy."""

from __future__ import annotations

import importlib.util
import ipaddress
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

from crypto_stream import layout
from crypto_stream.errors import ProxyError

# The variables for each scheme, most specific first. A WebSocket may use any proxy that can tunnel TLS.
_VARIABLES = {
    "http": ("http", "all"),
    "https": ("https", "all"),
    "ws": ("ws", "socks", "https", "http", "all"),
    "wss": ("wss", "socks", "https", "all"),
}
_SOCKS = ("socks4", "socks4a", "socks5", "socks5h")
# The packages that websockets (the first) and httpx (the second) need for SOCKS.
_SOCKS_PACKAGES = {"python_socks": "python-socks[asyncio]", "socksio": "socksio"}


def proxy_for(url: str) -> str | None:
    """Return the proxy's URL for `url` (http, https, ws or wss), or None for a direct connection.

    Loopback addresses are always direct. Raises ProxyError, saying what to change, if the proxy is unusable.
    """
    target = urlsplit(url)
    configured = getproxies()
    if _is_direct(target, configured.get("no", "")):
        return None
    for name in _VARIABLES[target.scheme]:
        if text := configured.get(name, "").strip():
            return _checked(text, name)
    return None


def redacted(proxy: str) -> str:
    """Return a proxy's URL without user and password, for display."""
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def is_loopback(host: str) -> bool:
    """Return whether `host`, a name or an address without brackets, is this machine."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped is not None and (mapped.is_loopback or mapped.is_unspecified)


def _is_direct(target: SplitResult, no_proxy: str) -> bool:
    host = (target.hostname or "").rstrip(".")
    if is_loopback(host):
        return True
    port = target.port or (443 if target.scheme in ("https", "wss") else 80)
    return any(_excludes(entry.strip().lower(), host, port) for entry in no_proxy.split(","))


def _excludes(entry: str, host: str, port: int) -> bool:
    """Return whether an entry of no_proxy (`*`, a domain, address or network, port optional) matches."""
    if entry == "*":
        return True
    address = _address(host)
    try:
        network = ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    else:
        return address is not None and address in network
    name, colon, digits = entry.rpartition(":")
    if colon and digits.isdecimal():
        return int(digits) == port and _excludes(name, host, port)
    domain = entry.removeprefix("*").strip("[]").strip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _checked(text: str, name: str) -> str:
    """Return the proxy with its scheme, after checking it; `name` is the variable's name without `_proxy`."""
    proxy = text if "://" in text else f"http://{text}"
    variable = f"{name}_proxy"
    try:
        parts = urlsplit(proxy)
        usable = parts.hostname is not None and (parts.port is None or parts.port > 0)
    except ValueError:
        raise ProxyError(f"{variable} is not the address of a proxy: write http://host:port") from None
    if parts.scheme not in ("http", "https", *_SOCKS):
        raise ProxyError(f"{variable}: the proxy must be http, https or socks5, not {parts.scheme!r}")
    if not usable:
        raise ProxyError(f"{variable} is not the address of a proxy: write http://host:port")
    if parts.scheme in _SOCKS:
        missing = [pip for module, pip in _SOCKS_PACKAGES.items() if importlib.util.find_spec(module) is None]
        if missing:
            raise ProxyError(
                f"{variable} is the SOCKS proxy {redacted(proxy)}, for which packages are missing: "
                f"install them with {layout.PIP} install {' '.join(missing)}, or list the host in no_proxy"
            )
    return proxy


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
