"""Who asks, and at which address are we to them, where proxies stand between?

A trusted proxy says so in headers: `Forwarded` (RFC 7239), or the `X-Forwarded-` ones that are older. Each proxy on the
way adds to what it was told, so that only what trusted ones have added is heeded, from the last one back; what anybody
else says in such headers changes nothing. A public URL that is configured goes before what proxies say of it.
"""

import re
from collections.abc import Mapping, MutableMapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from milepost.errors import Fault, Malformed
from milepost.network import Network, address, network
from milepost.url import told

PUBLIC: Final = "milepost.public"
"""In a request's scope: the scheme, host and path that this application has for everybody, by its `public_url`."""
VOUCHED: Final = "milepost.vouched"
"""In a request's scope: whether a trusted proxy has said for whom it asks; absent where none has passed it on."""

HOST: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*)|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
"""A name or an address, perhaps with a port, as the Host header has it."""
_PREFIX: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*/?")
"""Of a path: plain segments, none of which leads upwards, or to another host as `//` would."""
_URL: Final = re.compile(rf"(https?://{HOST.pattern})({_PREFIX.pattern})", re.IGNORECASE)
_PAIR: Final = re.compile(r'\s*([!#$%&\'*+.^_`|~\w-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,;"]*))\s*([,;]|$)', re.ASCII)
"""A parameter of `Forwarded`, and what ends it. A little wider than the RFC: proxies forget to quote colons."""
_NODE: Final = re.compile(r"[\w.:%-]{1,100}", re.ASCII)
"""An address, or what stands for one (RFC 7239, section 6). It is told in logs."""
_RIVALS: Final = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host")


class PublicUrl(NamedTuple):
    """Where everybody finds this application."""

    origin: str
    """Scheme and host."""
    path: str
    """Without a slash at its end."""


class _Said(NamedTuple):
    """What trusted proxies say of a request; None for what they do not."""

    client: str | None
    scheme: str | None
    host: str | None
    prefix: str | None


class Forwarding:
    """Tells requests that trusted proxies pass on from those that come from elsewhere.

    `proxies` are addresses or networks in CIDR notation. `public_url` is where clients find this application: http or
    https, a host, perhaps a path. Raises ValueError, naming what is neither.
    """

    def __init__(self, proxies: Sequence[str] = (), public_url: str | None = None) -> None:
        self._networks = [_network(text) for text in proxies]
        self._public = None if public_url is None else parse_public_url(public_url)
        self._trusts = lru_cache(maxsize=1024)(self._is_trusted)

    def __call__(self, scope: MutableMapping[str, Any]) -> Malformed | None:
        """Write into a request's scope who asks, and where; or what is wrong with what its proxy says of that.

        In `scope`: client, scheme, root_path, the Host header, `PUBLIC`, `VOUCHED`.
        """
        if not (self._networks or self._public):
            return None
        client = scope.get("client")
        try:
            said = self._said(scope) if client is not None and self._trusts(client[0]) else None
        except Malformed as error:
            return error
        if said is not None:
            _write(scope, said)
        prefix = None if said is None else said.prefix
        if self._public is not None:
            scope[PUBLIC] = self._public
            # What is mounted has a path of its own already.
            prefix = None if scope.get("root_path") else self._public.path
        if prefix:
            for name in ("root_path", "app_root_path"):
                scope[name] = prefix + scope.get(name, "")
        return None

    def _said(self, scope: Mapping[str, Any]) -> _Said:
        said = _headers(scope)
        if b"forwarded" not in {name for name, _ in scope["headers"]}:
            chain = [_node(text) for text in said.get("x-forwarded-for", ())]
            hops = self._hops(chain)
            scheme, host = (_picked(said.get(f"x-forwarded-{name}", ()), hops) for name in ("proto", "host"))
        else:
            rival = next((name for name in _RIVALS if name in said), None)
            if rival is not None:  # the proxy sets one, and has let the client's other one through: who knows which?
                raise _malformed(rival.title(), "This and Forwarded can't both be given.")
            elements = _elements(", ".join(said["forwarded"]))
            chain = [_node(element["for"]) for element in elements if "for" in element]
            hops = self._hops(chain)
            element = elements[-min(hops or 1, len(elements))]
            scheme, host = element.get("proto"), element.get("host")
        prefix = _picked(said.get("x-forwarded-prefix", ()), hops)
        return _checked(_Said(chain[-hops] if hops else None, scheme, host, prefix))

    def _hops(self, chain: Sequence[str]) -> int:
        """How many of the last of these to believe: up to the first one that is no proxy of ours."""
        for hops, node in enumerate(reversed(chain), 1):
            if not self._trusts(node):
                return hops
        return len(chain)

    def _is_trusted(self, host: str) -> bool:
        try:
            found = address(host)
        except ValueError:
            return False
        return any(found in network for network in self._networks)


def parse_public_url(url: str) -> PublicUrl:
    """The parts of a public URL. Raises ValueError for what is none."""
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(f"{told(url)!r:.200} is not a URL like https://tasks.example.com or https://example.com/ops.")
    return PublicUrl(match[1].lower(), match[2].rstrip("/"))


def _network(text: str) -> Network:
    try:
        return network(text)
    except ValueError as error:
        raise ValueError(f"{text!r:.100} is no address and no network like 10.0.0.0/8 ({error!s:.200}).") from None


def _headers(scope: Mapping[str, Any]) -> dict[str, list[str]]:
    """What is said in the headers of proxies: each as the list that it stands for, the last one added last."""
    said: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        if name == b"forwarded":
            said.setdefault("forwarded", []).append(value.decode("latin-1"))
        elif name.startswith(b"x-forwarded-"):
            values = [part.strip() for part in value.decode("latin-1").split(",")]
            said.setdefault(name.decode(), []).extend(part for part in values if part)
    return said


def _picked(values: Sequence[str], hops: int) -> str | None:
    """What the proxy said that stands as far away as the one that named the client; or the only one that says it."""
    return values[-min(hops or 1, len(values))] if values else None


def _elements(text: str) -> list[dict[str, str]]:
    """The elements of a `Forwarded`, from the first proxy to the last. Raises Malformed."""
    elements: list[dict[str, str]] = [{}]
    at = 0
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None:
            raise _malformed("Forwarded", "This can't be read (RFC 7239).")
        name, quoted, plain, end = match.groups()
        elements[-1][name.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        if end == ",":
            elements.append({})
        at = match.end()
    return elements


def _node(text: str) -> str:
    """An address without its port and brackets; what is none (`unknown`, `_hidden`) as it is."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _checked(said: _Said) -> _Said:
    """What can be in no answer without danger is refused. Raises Malformed."""
    if said.client is not None and _NODE.fullmatch(said.client) is None:
        raise _malformed("X-Forwarded-For", "This is no address.")
    scheme = None if said.scheme is None else said.scheme.lower()
    if scheme not in (None, "http", "https"):
        raise _malformed("X-Forwarded-Proto", "This is http or https.")
    if said.host is not None and HOST.fullmatch(said.host) is None:
        raise _malformed("X-Forwarded-Host", "This is no host.")
    if said.prefix is not None and _PREFIX.fullmatch(said.prefix) is None:
        raise _malformed("X-Forwarded-Prefix", "This is no path.")
    return said._replace(scheme=scheme, prefix=None if said.prefix is None else said.prefix.rstrip("/"))


def _write(scope: MutableMapping[str, Any], said: _Said) -> None:
    scope[VOUCHED] = said.client is not None
    if said.client is not None:
        scope["client"] = (said.client, 0)
    if said.scheme is not None:
        scope["scheme"] = said.scheme
    if said.host is not None:
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        scope["headers"] = [(b"host", said.host.encode()), *others]


def _malformed(header: str, why: str) -> Malformed:
    return Malformed(f"{header}: {why}", errors=[Fault(why, parameter=header)])
