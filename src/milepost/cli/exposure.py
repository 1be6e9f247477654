"""From where can a server be reached, and who is let in from there?

What others can reach speaks TLS, or stands behind a proxy that does: keys and tasks are not to be read on the way. And
it asks for keys, or stands behind a proxy that knows whom it lets in: there is no address at which everybody may do
everything. So a store without a key is served to this machine alone, and `--no-auth` beyond it lets in whom the proxies
do, under the name that they go by.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from milepost.cli.certificate import Certificate
from milepost.cli.exits import CommandError, Exit
from milepost.cli.sockets import is_beyond
from milepost.http.forwarded import Forwarding, parse_public_url
from milepost.http.open_mode import OpenMode


class Exposure(NamedTuple):
    """How a server is reached, once that is known to be safe."""

    is_beyond: bool
    """Whether others than this machine's programs can reach it by themselves."""
    certificate: Certificate | None
    """For TLS."""
    forwarding: Forwarding
    public_url: str | None
    """Without a slash at its end."""
    open_mode: OpenMode | None
    """Who is let in without being asked for a key; None: who has one."""

    def check_store(self, *, is_open: bool) -> None:
        """Raises CommandError where everybody could call whom nobody vouches for. `is_open`: no key is asked for."""
        if is_open and self.is_beyond and self.open_mode is None:
            raise CommandError(
                "--host: others can reach this address, and no key was made yet: all of them could do everything. "
                "Make one first, with `milepost key add`.",
                Exit.USAGE,
            )

    def check_paths(self, beginnings: Collection[str]) -> None:
        """Raises CommandError where the public URL's path begins like one of ours: who knows what is meant?"""
        first = urlsplit(self.public_url or "").path.split("/")[1:2]
        if first and first[0] in beginnings:
            raise CommandError(
                f"--public-url: its path begins with /{first[0]}, as paths of what is served here do: nobody "
                "can tell whether a proxy has taken it off. Choose another one, such as /operations.",
                Exit.USAGE,
            )


def exposure(
    host: str,
    *,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    trusted_proxies: Sequence[str] = (),
    public_url: str | None = None,
    insecure_http: bool = False,
    no_auth: bool = False,
) -> Exposure:
    """What the options of `serve` say together. Raises CommandError where that is not safe, or makes no sense."""
    beyond = is_beyond(host)
    if tls_key is not None and tls_cert is None:
        raise CommandError("--tls-key: goes with --tls-cert.", Exit.USAGE)
    forwarding = _forwarding(trusted_proxies, public_url)
    if beyond and not (tls_cert or trusted_proxies or insecure_http):
        raise CommandError(
            f"--host: {host} can be reached by others, and plain HTTP can be read on the way. Give --tls-cert and "
            "--tls-key, or --trusted-proxy where a proxy before it speaks TLS; --insecure-http does without.",
            Exit.USAGE,
        )
    if beyond and no_auth and not (trusted_proxies and public_url):
        raise CommandError(
            f"--no-auth: {host} can be reached by others, who could do everything. That takes a proxy which knows whom "
            "it lets in: say which by --trusted-proxy, and its name by --public-url.",
            Exit.USAGE,
        )
    return Exposure(
        beyond,
        None if tls_cert is None else Certificate(tls_cert, tls_key),
        forwarding,
        None if public_url is None else public_url.rstrip("/"),
        _open_mode(public_url, trusts_proxies=bool(trusted_proxies)) if no_auth else None,
    )


def _forwarding(trusted_proxies: Sequence[str], public_url: str | None) -> Forwarding:
    try:
        Forwarding(trusted_proxies)
    except ValueError as error:
        raise CommandError(f"--trusted-proxy: {error}", Exit.USAGE) from error
    try:
        return Forwarding(trusted_proxies, public_url)
    except ValueError as error:
        raise CommandError(f"--public-url: {error}", Exit.USAGE) from error


def _open_mode(public_url: str | None, *, trusts_proxies: bool) -> OpenMode:
    host = None if public_url is None else urlsplit(parse_public_url(public_url).origin).hostname
    return OpenMode([host] if host else (), trusts_proxies=trusts_proxies)
