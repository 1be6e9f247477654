"""On which addresses does `serve` listen?"""

import errno
import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

from milepost.cli.exits import CommandError, Exit

LOCALHOST: Final = "localhost"
_BOTH: Final = {LOCALHOST: ("127.0.0.1", "::1"), "::": ("0.0.0.0", "::")}  # noqa: S104 who names it wants it
"""What stands for addresses of both families, each with a socket of its own, so that no IPv4 caller looks like IPv6."""
UNSENT: Final = 128 << 10
"""Bytes beyond what its peer is ready to take that a connection takes of an answer."""
_TRIES: Final = 20
"""Free ports that are tried before none counts as free in both families."""

_NO_IPV6: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to an address, to both loopback ones (`localhost`) or all (`::`), on one port; 0: any free one.

    Raises CommandError for what is no address of this machine, and for a port that is taken.
    """
    addresses = _addresses(host)
    for _ in range(_TRIES):
        try:
            return _bind(addresses, port)
        except OSError as error:
            if port != 0 or error.errno != errno.EADDRINUSE:
                raise _told(error, host, port) from error
    raise CommandError("--port: no port is free.", Exit.FAILED)


def urls(sockets: Sequence[socket.socket], *, scheme: str = "http") -> list[str]:
    """Where these sockets can be reached."""
    return [
        f"{scheme}://[{name[0]}]:{name[1]}" if ":" in name[0] else f"{scheme}://{name[0]}:{name[1]}"
        for name in (one.getsockname() for one in sockets)
    ]


def is_beyond(host: str) -> bool:
    """Whether others than this machine can reach what listens there. Raises CommandError for what is no address."""
    return not all(ipaddress.ip_address(address).is_loopback for address in _addresses(host))


def _addresses(host: str) -> tuple[str, ...]:
    if host in _BOTH:
        return _BOTH[host]
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        told = f"--host: {host!r} is not an address; use localhost, or one like 127.0.0.1, 0.0.0.0 or ::1."
        raise CommandError(told, Exit.USAGE) from error
    return (host,)


def _bind(addresses: tuple[str, ...], port: int) -> list[socket.socket]:
    """All or none; but where both families are wanted, a machine without IPv6 does with one."""
    bound: list[socket.socket] = []
    try:
        for address in addresses:
            try:
                bound.append(_bound(address, port))
            except OSError as error:
                if not (bound and error.errno in _NO_IPV6):
                    raise
            port = bound[0].getsockname()[1]
    except OSError:
        for one in bound:
            one.close()
        raise
    return bound


def _bound(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Else the system keeps megabytes for each peer that reads slowly. Those that it accepts have it from this one.
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind((address, port))
        # At once: on Linux two sockets may be bound to a port as long as none of them listens.
        one.listen(2048)
    except OSError:
        one.close()
        raise
    return one


def _told(error: OSError, host: str, port: int) -> CommandError:
    if error.errno == errno.EADDRNOTAVAIL:
        return CommandError(f"--host: this machine has no address {host}.", Exit.USAGE)
    if error.errno == errno.EADDRINUSE:
        return CommandError(
            f"--port: {port} is in use; does another Milepost run? Choose another port, or 0 for any free one.",
            Exit.FAILED,
        )
    return CommandError(f"--port: {port} can't be used ({error.strerror}).", Exit.USAGE)
