"""A web server on this machine that speaks Aparavi's API as its contract has it, and fails when a test says so."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec

Profile = Literal["page", "node", "python"]

TOKEN = "0b9f7c1e-6a52-4a53-9d3f-5a1fdc3e9c11"
RUNNING: dict[str, Any] = {
    "id": "task_1234567890abcdef",
    "status": "Running",
    "created_at": "2024-01-15T10:30:00Z",
    "updated_at": "2024-01-15T10:35:00Z",
    "progress": 45,
    "files_processed": 150,
    "total_files": 300,
    "error": None,
    "metadata": {"source_path": "/data/source", "destination_url": "https://webhook.com/upload"},
}
"""The sample of the page on the getTask method."""


class Asked(NamedTuple):
    """A request that came."""

    verb: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class Told(NamedTuple):
    """An answer that a test wants instead of the usual one: bytes, or what is sent as JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = {}


class Broken(NamedTuple):
    """The connection ends without an answer, or in the middle of one."""

    after: bytes = b""


class Silent(NamedTuple):
    """No answer comes, until the server ends."""


class Speaker(ThreadingHTTPServer):
    """`asked` is what came; `instead` are the answers to the next requests, and the usual ones follow.

    `data` is what a status says. A token that is not `tokens` is unknown, a key that is not `key` is no good.
    """

    daemon_threads = False

    def __init__(self, *instead: Told | Broken | Silent, profile: Profile = "page", port: int = 0) -> None:
        self.instead = list(instead)
        self.profile = profile
        self.key: str | None = None
        self.tokens: set[str] = set()
        self.data = dict(RUNNING)
        self.asked: list[Asked] = []
        self.came = threading.Condition()
        self.over = threading.Event()
        super().__init__(("127.0.0.1", port), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def wait_for(self, requests: int) -> None:
        """Wait until so many came."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.asked) >= requests, 60)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that has gone takes no answer

    def answer(self, asked: Asked) -> Told:
        """The usual answer."""
        if self.key is not None and asked.headers.get("authorization") not in (self.key, f"Bearer {self.key}"):
            return self.refusal(401, "Unauthorized")
        if (asked.verb, asked.path) == ("PUT", "/task"):
            self.tokens.add(TOKEN)
            return Told(body={"status": "OK", "data": {"token": TOKEN, "type": "cpu"}})
        if asked.query.get("token") not in self.tokens:
            if self.profile == "python":
                return Told(body={"status": "Error", "error": "Task not found"})
            return self.refusal(404, "Task not found")
        if asked.verb == "GET":
            return Told(body={"status": "OK", "data": self.data, "message": "Task status retrieved successfully"})
        if asked.verb == "DELETE":
            self.tokens.discard(asked.query["token"])
            return Told(body={"status": "OK", "data": {"cancelled": True}})
        return Told(body={"status": "OK", "data": {"objectsRequested": 1, "objectsCompleted": 1, "objects": {}}})

    def refusal(self, status: int, error: str) -> Told:
        """What goes wrong, as the profile says it."""
        if self.profile == "page":
            about = "The specified task does not exist or has been deleted"
            return Told(status, {"error": error, "message": about if status == 404 else error})
        return Told(status, {"status": "Error", "error": {"message": error, "code": "X"}, "message": error})


class _Handler(BaseHTTPRequestHandler):
    server: Speaker
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, url.path, dict(parse_qsl(url.query)), headers, body)
        with self.server.came:
            self.server.asked.append(asked)
            self.server.came.notify_all()
        said = self.server.instead.pop(0) if self.server.instead else self.server.answer(asked)
        if isinstance(said, Told):
            self._send(said)
            return
        if isinstance(said, Silent):
            self.server.over.wait(60)
        else:
            self.wfile.write(said.after)
        self.close_connection = True

    do_PUT = do_DELETE = do_GET  # noqa: N815

    def _send(self, said: Told) -> None:
        body = said.body if isinstance(said.body, bytes) else msgspec.json.encode(said.body)
        self.send_response_only(said.status)  # without a Date of its own
        for name, value in {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **said.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def speaking(*instead: Told | Broken | Silent, profile: Profile = "page", port: int = 0) -> Iterator[Speaker]:
    """Such a server, while it runs."""
    server = Speaker(*instead, profile=profile, port=port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
