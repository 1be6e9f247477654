"""A reverse proxy that speaks TLS to clients and plain HTTP to the server, as one stands before a server in earnest."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

from tests.cli.authority import Authority

Says = Literal["x", "rfc", "nothing"]
"""In which headers it says for whom it asks: in those that begin with X-Forwarded, by RFC 7239, or not at all."""
ADDRESS = "127.0.0.2"
"""From which it asks: another one than clients have, who would be trusted like it."""
_OWN = ("connection", "transfer-encoding", "keep-alive", "server", "date")


class Reverse(ThreadingHTTPServer):
    """Forwards what is beneath `prefix` to a port of this machine, without it."""

    daemon_threads = False

    def __init__(self, port: int, authority: Authority, *, prefix: str, says: Says, inner: str) -> None:
        self.port, self.prefix, self.says, self.inner = port, prefix, says, inner
        super().__init__(("127.0.0.1", 0), _Handler)
        self.socket = authority.context().wrap_socket(self.socket, server_side=True)
        self.host = f"localhost:{self.server_port}"
        self.url = f"https://{self.host}{prefix}"


class _Handler(BaseHTTPRequestHandler):
    server: Reverse

    def do_GET(self) -> None:
        server = self.server
        if not self.path.startswith(f"{server.prefix}/"):
            self.send_error(404)
            return
        headers = {name.title(): value for name, value in self.headers.items()}
        headers |= {"Host": f"{server.inner}:{server.port}", "Connection": "close"}
        client = self.client_address[0]
        if server.says == "x":
            headers |= {
                "X-Forwarded-For": self._added("x-forwarded-for", client),
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Host": server.host,
                "X-Forwarded-Prefix": server.prefix,
            }
        elif server.says == "rfc":
            said = f'for={client};proto=https;host="{server.host}"'
            headers |= {"Forwarded": self._added("forwarded", said), "X-Forwarded-Prefix": server.prefix}
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        inner = HTTPConnection("127.0.0.1", server.port, timeout=60, source_address=(ADDRESS, 0))
        try:
            inner.request(self.command, self.path.removeprefix(server.prefix), body, headers)
            answer = inner.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _OWN:
                    self.send_header(name, value)
            self.end_headers()
            while piece := answer.read1(1 << 16):
                self.wfile.write(piece)
        finally:
            inner.close()

    def _added(self, name: str, said: str) -> str:
        """What the client has said itself, and behind it what the proxy says."""
        before = self.headers.get(name)
        return said if before is None else f"{before}, {said}"

    do_POST = do_DELETE = do_PATCH = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def reverse(
    port: int, authority: Authority, *, prefix: str = "/ops", says: Says = "x", inner: str = "inner"
) -> Iterator[Reverse]:
    """One that runs, and calls the server `inner`."""
    with Reverse(port, authority, prefix=prefix, says=says, inner=inner) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
