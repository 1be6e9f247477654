"""What would a server cost that only parses the same requests and sends the same answer each time?

    python benchmarks/bare_server.py ANSWER

`ANSWER` is a file with a whole HTTP answer. The port is printed; it serves until SIGTERM.
"""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
import uvloop
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from milepost.cli.server import config
from milepost.engine.worker import DEFAULT_GRACE


class Body(msgspec.Struct):
    """What is sent to start a task."""

    type: str
    input: dict[str, Any]


def constant(answer: bytes) -> ASGIApp:
    """An application with one answer, as an application of Starlette's classes has it; the date is the server's."""
    head, _, body = answer.partition(b"\r\n\r\n")
    response = Response(body, int(head.split()[1]))
    pairs = (line.partition(b": ") for line in head.split(b"\r\n")[1:])
    response.raw_headers = [(name.lower(), value) for name, _, value in pairs if name.lower() != b"date"]
    decode = msgspec.json.Decoder(Body).decode

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        if request.method == "POST":
            decode(await request.body())
        await response(scope, receive, send)

    return app


def main() -> None:
    """Serve as `milepost serve` does: with its settings, its protocol, its event loop."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listening.getsockname()[1], flush=True)
    answering = config(constant(Path(sys.argv[1]).read_bytes()), DEFAULT_GRACE, access_log=False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(uvicorn.Server(answering).serve([listening]))


if __name__ == "__main__":
    main()
