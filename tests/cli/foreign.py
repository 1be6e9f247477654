"""A web server that is not Milepost: it gives the answers that it was told, in order, and the last one for ever."""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Canned(NamedTuple):
    """An answer."""

    status: int
    body: bytes = b""
    media_type: str = "text/html"
    retry_after: str | None = None


class Foreign(ThreadingHTTPServer):
    """`requests` are the method, path and headers of all that were asked for, `asked` whether any was.

    Answers `once` an event has come. Closing it waits for the answers that are under way, so that none of them
    writes into the next test.
    """

    daemon_threads = False

    def __init__(self, *answers: Canned, once: threading.Event | None = None) -> None:
        self.answers = list(answers)
        self.once = once
        self.asked = threading.Event()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that was ended takes no answer
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Foreign

    def do_GET(self) -> None:
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        self.server.asked.set()
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self.rfile.read(int(self.headers.get("content-length", 0)))
        assert self.server.once is None or self.server.once.wait(60)
        self.send_response(answer.status)
        self.send_header("content-type", answer.media_type)
        if answer.retry_after is not None:
            self.send_header("retry-after", answer.retry_after)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_POST = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(*answers: Canned, once: threading.Event | None = None) -> Iterator[Foreign]:
    """Such a server, while it runs."""
    server = Foreign(*answers, once=once)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
