"""How do API and worker run together, and come to an end together?"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack

import structlog
import uvicorn

from milepost.app import Milepost
from milepost.cli.exits import Exit
from milepost.cli.storing import opened
from milepost.cli.supervisor import Supervisor

log = structlog.get_logger(__name__)


async def run(
    app: Milepost,
    sockets: Sequence[socket.socket],
    supervisor: Supervisor | None,
    *,
    grace: float,
    access_log: bool,
    on_ready: Callable[[], None],
) -> None:
    """Serve `app` on these sockets until SIGTERM or SIGINT; a second SIGINT ends the process at once.

    Without a supervisor this process looks after the store itself, and runs no tasks. `grace`: seconds that requests
    have to come to their end. `on_ready` is called once they are taken.
    """
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(opened(app))
        if supervisor is None:
            await stack.enter_async_context(app.maintenance())
        web = app.asgi()
        config = uvicorn.Config(
            web,
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=access_log,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=round(grace),
        )
        server = _Server(config, on_ready)

        def stop() -> None:
            if server.should_exit:
                return
            log.info("Stopping; Ctrl-C ends it at once" if supervisor else "Stopping")
            server.should_exit = True
            web.stop()
            if supervisor is not None:
                supervisor.stop()

        def interrupt() -> None:
            if server.should_exit:
                if supervisor is not None:
                    supervisor.kill()
                os._exit(Exit.INTERRUPTED)
            stop()

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop)
        loop.add_signal_handler(signal.SIGINT, interrupt)
        async with asyncio.TaskGroup() as together:
            together.create_task(server.serve(list(sockets)))
            if supervisor is not None:
                together.create_task(supervisor.run())


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
        self._on_ready()
