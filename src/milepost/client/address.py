"""Where is the server, and what may be sent there?"""

import ipaddress
from typing import Final
from urllib.request import getproxies, proxy_bypass

import httpx2

DEFAULT: Final = "http://localhost:8006"
"""Where `milepost serve` listens unless it is told otherwise."""


def parse_base(url: str, *, secret: bool) -> httpx2.URL:
    """The address that all paths are appended to; `secret`: whether a key is to be sent there.

    Raises ValueError for what is no address of a server, and where a key would cross a network in the clear.
    """
    try:
        base = httpx2.URL(url)
    except httpx2.InvalidURL:  # whose text may have a part of it that is secret
        raise ValueError(f"The base URL can't be read. It has to be one like {DEFAULT}.") from None
    if base.userinfo:  # not shown: it is a secret
        raise ValueError("The base URL has a user name in it. Give the key as api_key instead.")
    if base.scheme not in ("http", "https") or not base.host:
        shown = "" if "@" in url else f", not {url!r}"  # which may have a password before it
        raise ValueError(f"The base URL has to be one like {DEFAULT}{shown}.")
    if base.query or base.fragment:
        raise ValueError("The base URL ends with its path; it has no query and no fragment.")
    if secret:
        check_way(base)
    return base


def check_way(url: httpx2.URL) -> None:
    """Raises ValueError where a key that is sent to this URL would cross a network in the clear."""
    if url.scheme == "http" and not is_loopback(url.host):
        raise ValueError(
            f"The key is not sent to {url.host} over plain http, where others could read it. Use https, "
            "or a server on this machine."
        )


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine's loopback interface."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_for(url: httpx2.URL) -> str | None:
    """The proxy that the environment names for this server (`HTTPS_PROXY` and the like, `NO_PROXY` excepted)."""
    if is_loopback(url.host) or proxy_bypass(url.host):  # a proxy would look for its own loopback
        return None
    proxies = getproxies()
    return proxies.get(url.scheme) or proxies.get("all")


def check_key(key: str) -> None:
    """Raises ValueError for what no header can carry. The key is not in the message."""
    if not (key.isascii() and key.isprintable() and key == key.strip()):
        raise ValueError("A key has printable ASCII characters alone, and no space around it; this one has others.")
