"""What does a server cost that only holds requests, and answers none?

    python benchmarks/idle_server.py

uvicorn with the settings of `milepost serve`, and an application that waits until its client leaves: nothing of
Milepost is loaded. The port is printed; it serves until SIGTERM.
"""

import asyncio
import resource
import socket

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 ASGI's
    """Wait until the client leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass


def main() -> None:
    """Serve."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(uvicorn.Server(config).serve([listening]))


if __name__ == "__main__":
    main()
