"""What does `milepost serve` do?"""

import contextlib
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from milepost import __version__
from milepost.app import Milepost
from milepost.cli.dialects import AparaviProfile, CloudCoinCaller, Names, PathMap, choose
from milepost.cli.limits import Settings, limit
from milepost.cli.oidc import (
    DISPLAY_CLAIMS,
    GRANTS_CLAIM,
    NAME_CLAIM,
    Audience,
    DisplayClaim,
    GrantsClaim,
    Issuer,
    NameClaim,
    tokens,
)
from milepost.cli.options import (
    DEFAULT_URL,
    CallbackAllow,
    Concurrency,
    Files,
    FilesFolder,
    FilesRoot,
    Grace,
    LogLevel,
    PublicUrl,
    Store,
    examples,
    path,
)
from milepost.cli.sockets import LOCALHOST, listen, urls
from milepost.cli.sources import load
from milepost.cli.tables import parameters, say_fields
from milepost.cli.terminal import say
from milepost.engine.worker import DEFAULT_CONCURRENCY, DEFAULT_GRACE

if TYPE_CHECKING:
    from milepost.cli.exposure import Exposure

EXAMPLES = examples(
    "milepost serve tasks.py",
    "milepost serve shop.py reports.py --store shop.db --files-root /srv/shop",
    "milepost serve tasks.py --port 0 --no-worker",
    "milepost serve tasks.py --dialect native --dialect quant",
    "milepost serve tasks.py --limit body=64KiB --limit requests=20 --limit burst=100",
    "milepost serve tasks.py --host 0.0.0.0 --tls-cert chain.pem --tls-key key.pem",
    "milepost serve tasks.py --trusted-proxy 127.0.0.1 --public-url https://example.com/ops",
)

Proxies = Annotated[
    list[str] | None,
    typer.Option(
        "--trusted-proxy",
        envvar="MILEPOST_TRUSTED_PROXY",
        metavar="CIDR",
        help="Believe who and what the proxies at these addresses say that they ask for. May be repeated.",
    ),
]


def serve(
    files: Files,
    store: Store = None,
    host: Annotated[
        str,
        typer.Option(envvar="MILEPOST_HOST", metavar="HOST", help="localhost (IPv4 and IPv6), or an address."),
    ] = LOCALHOST,
    port: Annotated[
        int, typer.Option(envvar="MILEPOST_PORT", metavar="PORT", min=0, max=65535, help="0 takes any free one.")
    ] = 8006,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", envvar="MILEPOST_NO_WORKER", help="Run no tasks; `milepost worker` does.")
    ] = False,
    concurrency: Concurrency = DEFAULT_CONCURRENCY,
    files_root: FilesRoot = None,
    files_folder: FilesFolder = None,
    grace: Grace = DEFAULT_GRACE,
    callback_allow: CallbackAllow = None,
    dialect: Names = None,
    aparavi: AparaviProfile = None,
    path_map: PathMap = None,
    cloudcoin: CloudCoinCaller = None,
    limits: Settings = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(envvar="MILEPOST_TLS_CERT", metavar="FILE", parser=path, help="Speak TLS, with this chain (PEM)."),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            envvar="MILEPOST_TLS_KEY", metavar="FILE", parser=path, help="Its private key; by default beside the chain."
        ),
    ] = None,
    trusted_proxy: Proxies = None,
    public_url: PublicUrl = None,
    insecure_http: Annotated[
        bool,
        typer.Option(
            "--insecure-http",
            envvar="MILEPOST_INSECURE_HTTP",
            help="Let others reach it over plain HTTP, keys and all.",
        ),
    ] = False,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", envvar="MILEPOST_NO_AUTH", help="Ask nobody for a key, though there are some.")
    ] = False,
    oidc_issuer: Issuer = None,
    oidc_audience: Audience = None,
    oidc_name_claim: NameClaim = NAME_CLAIM,
    oidc_grants_claim: GrantsClaim = GRANTS_CLAIM,
    oidc_display_claim: DisplayClaim = list(DISPLAY_CLAIMS),  # noqa: B006 - typer copies it
    log_level: LogLevel = "info",
) -> None:
    """Serve the task types of these files over HTTP, and run their tasks, until SIGTERM or Ctrl-C.

    Tasks run in a worker, a process of its own that is started again if they take it down. At the end running tasks
    have --grace seconds to end or reach a checkpoint; the others carry on at the next start. A second Ctrl-C ends
    everything at once.
    """
    from milepost.cli import exposure, logging, server  # a client's commands start in half the time without these

    logging.configure(log_level)
    holders = tokens(
        oidc_issuer, oidc_audience, oidc_name_claim, oidc_grants_claim, oidc_display_claim, no_auth=no_auth
    )
    app = load(
        files,
        store=store,
        files_folder=files_folder,
        files_root=files_root,
        callback_allow=callback_allow,
        public_url=public_url,
    )
    exposed = exposure.exposure(
        host,
        tls_cert=tls_cert,
        tls_key=tls_key,
        trusted_proxies=trusted_proxy or (),
        public_url=app.public_url,
        insecure_http=insecure_http,
        no_auth=no_auth,
    )
    choose(app, dialect, aparavi, path_map, cloudcoin)
    limit(app, limits)
    sockets = listen(host, port)
    command = _worker_command(
        files,
        {
            "--store": app.path.resolve(),
            "--files": files_folder and files_folder.resolve(),
            "--files-root": files_root and files_root.absolute(),
            "--concurrency": concurrency,
            "--grace": grace,
            "--public-url": public_url,
            "--log-level": log_level,
        },
        {"--limit": limits or (), "--callback-allow": callback_allow or ()},
    )
    with contextlib.ExitStack() as stack:
        for one in sockets:
            stack.enter_context(one)
        server.run(
            app,
            sockets,
            None if no_worker else command,
            grace=grace,
            access_log=log_level == "debug",
            exposed=exposed,
            tokens=holders,
            on_ready=lambda is_open: _say_ready(
                app,
                _addresses(sockets, exposed),
                no_worker=no_worker,
                access=_access(exposed, is_open=is_open, issuer=oidc_issuer),
            ),
        )


def _worker_command(
    files: Sequence[Path], options: Mapping[str, object], repeated: Mapping[str, Sequence[str]]
) -> list[str]:
    """How the worker is started; the descriptor of its lifeline is still to be added."""
    command = [sys.executable, "-m", "milepost", "worker", *(str(file.resolve()) for file in files)]
    for name, value in options.items():
        if value is not None:
            command += [name, str(value)]
    command += [f"{name}={value}" for name, values in repeated.items() for value in values]
    return [*command, "--lifeline"]


def _addresses(sockets: Sequence[socket.socket], exposed: "Exposure") -> list[str]:
    """Where it is found, first of all by everybody."""
    own = urls(sockets, scheme="http" if exposed.certificate is None else "https")
    return own if exposed.public_url is None else [exposed.public_url, *own]


def _say_ready(app: Milepost, addresses: Sequence[str], *, no_worker: bool, access: str) -> None:
    say(f"Milepost {__version__} is ready. Ctrl-C stops it.")
    say_fields(
        {
            "  api": "  ".join(addresses),
            "  docs": f"{addresses[0]}/docs",
            "  speaks": ", ".join(dialect.name for dialect in app.dialects or ()),
            "  store": str(app.path.resolve()),
            "  types": ", ".join(sorted(app.types)) or "none: no function of these files is under `@app.task`",
            "  worker": "none here; run one with `milepost worker`" if no_worker else "",
            "  access": access,
            "  try": _example(app, addresses[0]),
        }
    )


def _access(exposed: "Exposure", *, is_open: bool, issuer: str | None) -> str:
    if not is_open:
        also = "" if issuer is None else f", or a token of {issuer}"
        return f"by key; `milepost key` makes, lists and revokes them{also}"
    why = "no key was made yet" if exposed.open_mode is None else "by --no-auth"
    proxies = ", and whom the proxies let in," if exposed.open_mode and exposed.open_mode.trusts_proxies else ""
    return f"open, {why}: everybody on this machine{proxies} may do everything"


def _example(app: Milepost, address: str) -> str:
    """A command that starts a task, as far as that can be said without knowing what it is about."""
    if not app.types:
        return ""
    name = min(app.types)
    words = [word for word in parameters(app.types[name].info.schema) if not word.startswith("[")]
    at = "" if address == DEFAULT_URL else f" --url {address}"
    return " ".join(["milepost start", name, *words, f"--watch{at}"])
