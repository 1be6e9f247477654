"""Who follows a task and never reads is let go, whatever there is to tell; nobody else is held up."""

import asyncio
import socket

import pytest

from milepost.access.limits import Limits
from milepost.cli.server import config
from milepost.http.app import HttpApp
from milepost.http.dialects.native import Native
from milepost.service import Service

from .conftest import Tasks, served

WITHIN = 30.0
"""Seconds after which a wait has failed."""


@pytest.mark.parametrize(("patience", "of_server"), [(1, 0.2), (1, 60)])
async def test_a_follower_that_never_reads_is_let_go(
    patience: int, of_server: float, service: Service, tasks: Tasks, complaints: list[str]
) -> None:
    app = HttpApp(lambda: service, [Native()], limits=Limits(patience=patience))
    protocol = config(app, 1, access_log=False, patience=of_server).http
    task = await tasks.running()
    ask = f"GET /v1/tasks/{task.id}/events HTTP/1.1\r\nhost: localhost\r\n\r\n"
    async with served(app, app.stop, http=protocol, log_config=None) as url:
        port = int(url.rpartition(":")[2])
        with socket.socket() as peer:
            peer.setblocking(False)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(peer, ("127.0.0.1", port))
            await loop.sock_sendall(peer, ask.encode())
            async with asyncio.timeout(WITHIN):
                while not app._throttle._places.open:
                    await asyncio.sleep(0.01)
                while app._throttle._places.open:  # until it is let go, although there is ever more to tell
                    await tasks.report(task, *["x" * 1000] * 100)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ask.replace("/events", "").encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()
    assert complaints == []  # else a caller could fill the log
