"""How do API and worker run together, and come to an end together?"""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import structlog
import uvicorn
import uvloop

from milepost.access.limits import DEFAULT_LIMITS
from milepost.app import Milepost
from milepost.cli.corked import CorkedProtocol
from milepost.cli.descriptors import raise_limit
from milepost.cli.exits import Exit
from milepost.cli.exposure import Exposure
from milepost.cli.garbage import settle
from milepost.cli.half_closed import HalfClosedProtocol
from milepost.cli.impatient import ImpatientProtocol
from milepost.cli.slim import SlimProtocol
from milepost.cli.storing import opened
from milepost.cli.strict import StrictProtocol
from milepost.cli.supervisor import Supervisor
from milepost.http.admission import Admission, Tokens
from milepost.http.app import HttpApp
from milepost.service import Service

log = structlog.get_logger(__name__)


def run(
    app: Milepost,
    sockets: Sequence[socket.socket],
    worker: Sequence[str] | None,
    *,
    grace: float,
    access_log: bool,
    exposed: Exposure,
    tokens: Tokens | None = None,
    on_ready: Callable[[bool], None],
) -> None:
    """Serve `app` on these sockets until SIGTERM or SIGINT; a second SIGINT ends the process at once.

    `worker` is the command of the worker that is kept running meanwhile; without one this process looks after the store
    itself, and runs no tasks. `grace`: seconds that tasks and requests have to come to their end. Requests are answered
    until the worker has ended, so that clients see what becomes of its tasks. `exposed`: from where it is reached;
    `tokens`: who knows callers that show no key of the store.
    `on_ready` is called once requests are taken, with whether everybody on this machine may call. Raises CommandError
    when the store can't be opened, or must not be served there.
    """
    raise_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            _run(app, sockets, worker, grace, access_log=access_log, exposed=exposed, tokens=tokens, on_ready=on_ready)
        )


async def _run(
    app: Milepost,
    sockets: Sequence[socket.socket],
    worker: Sequence[str] | None,
    grace: float,
    *,
    access_log: bool,
    exposed: Exposure,
    tokens: Tokens | None = None,
    on_ready: Callable[[bool], None],
) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(opened(app))
        admission = exposed.open_mode or Admission(lambda: app.service, tokens=tokens)
        web = app.asgi(authenticator=admission, forwarding=exposed.forwarding)
        exposed.check_paths(web.beginnings)
        exposed.check_store(is_open=await web.is_open())
        is_open = await web.log_access()
        tls = exposed.certificate
        context = None if tls is None else tls.context
        served = config(web, grace, access_log=access_log, tls=context, patience=app.limits.patience)
        server = _Server(served, lambda: on_ready(is_open))
        # The worker looks after the store too, but one that hangs does not.
        await stack.enter_async_context(app.maintenance())
        supervisor = None
        if worker is not None:
            supervisor = Supervisor(worker, grace=grace, on_end=partial(end_lease, app.service))
        ending = _Ending(web, server, supervisor, grace)
        ending.heed_signals()
        async with asyncio.TaskGroup() as together:
            together.create_task(server.serve(list(sockets)))
            if supervisor is not None:
                together.create_task(ending.follow(supervisor))


def config(
    web: Callable[..., Any],
    grace: float,
    *,
    access_log: bool,
    tls: ssl.SSLContext | None = None,
    patience: float = DEFAULT_LIMITS.patience,
) -> uvicorn.Config:
    """How uvicorn serves an application here; `grace` and `patience`, with slow peers, are in seconds."""
    return uvicorn.Config(
        web,
        loop="none",
        http=type("_Protocol", (_Protocol,), {"patience": patience}),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=access_log,
        proxy_headers=False,
        server_header=False,
        ssl_context_factory=None if tls is None else lambda _, __: tls,
        timeout_graceful_shutdown=round(grace),  # or what is left of it by then
    )


async def end_lease(service: Service, pid: int) -> None:
    """Queue a dead worker's tasks again at once: that its lease runs out need not be waited for."""
    try:
        for worker in await service.workers():
            if worker.pid == pid and worker.host == socket.gethostname():
                await service.store.dismiss(worker.id, now=service.clock())
    except Exception:
        log.exception("The lease of a worker that ended could not be ended; it runs out by itself", worker=pid)


class _Ending:
    """In which order worker and API come to their end."""

    def __init__(self, web: HttpApp, server: "_Server", supervisor: Supervisor | None, grace: float) -> None:
        self._web = web
        self._server = server
        self._supervisor = supervisor
        self._grace = grace
        self._began_at: float | None = None

    def heed_signals(self) -> None:
        """Begin with it on SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._begin)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)

    async def follow(self, supervisor: Supervisor) -> None:
        """Keep the worker running; once it has ended for good the API may end too."""
        await supervisor.run()
        self._close()

    def _begin(self) -> None:
        if self._began_at is not None:
            return
        self._began_at = time.monotonic()
        log.info("Stopping; Ctrl-C ends it at once")
        if self._supervisor is None:
            self._close()
        else:
            self._web.leave()
            self._supervisor.stop()

    def _interrupt(self) -> None:
        if self._began_at is not None:
            if self._supervisor is not None:
                self._supervisor.kill()
            os._exit(Exit.INTERRUPTED)
        self._begin()

    def _close(self) -> None:
        """Requests had the same time as the tasks; those that came late have a moment."""
        began_at = time.monotonic() if self._began_at is None else self._began_at
        left = self._grace - (time.monotonic() - began_at)
        self._server.config.timeout_graceful_shutdown = max(1, round(left))
        self._web.stop()
        self._server.should_exit = True


class _Protocol(CorkedProtocol, StrictProtocol, ImpatientProtocol, HalfClosedProtocol, SlimProtocol):
    """uvicorn's, but answers leave in one piece, what is in doubt is refused, heads have an end, who is too slow is
    hung up on, who sends nothing more is answered, and who waits takes little memory.

    Of uvicorn's two parsers this is llhttp (httptools): it is written in C, and is the stricter one about line ends,
    lengths and chunks. What it lets pass beside that is `StrictProtocol`'s affair.
    """


class _Server(uvicorn.Server):
    """uvicorn's, but signals are its owner's affair."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        settle()
        self._on_ready()
