"""Secrets that are planted in a run, and where they are looked for afterwards: in whatever it wrote, in every form."""

import base64
import contextlib
import json
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus


class Planted(NamedTuple):
    """A secret. `cores` are what of it is looked for; where a label begins with one of `allowed` it may be."""

    name: str
    cores: tuple[bytes, ...]
    allowed: tuple[str, ...] = ()


def core() -> str:
    """What no other text has in it."""
    return f"planted-{secrets.token_hex(12)}"


def forms(secret: bytes) -> set[bytes]:
    """How a secret may look wherever it was written: as it is, in URLs, in JSON, as hexadecimals, within Base64."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    with contextlib.suppress(UnicodeDecodeError):
        text = secret.decode()
        found |= {quote(text, safe="").encode(), quote_plus(text).encode(), repr(text)[1:-1].encode()}
        found |= {json.dumps(text, ensure_ascii=only)[1:-1].encode() for only in (True, False)}
    for before in range(3):
        whole = base64.b64encode(bytes(before) + secret)
        inner = whole[(0, 2, 3)[before] : (before + len(secret)) * 8 // 6]
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return found


def leaks(planted: Iterable[Planted], written: Mapping[str, bytes]) -> list[str]:
    """Which secret stands in what, beside where it may."""
    return [
        f"{each.name} in {place}: …{_around(body, min(found), 60)}…"
        for each in planted
        for place, body in written.items()
        if not place.startswith(each.allowed or ("\0",))
        and (found := [at for core in each.cores for form in forms(core) if (at := body.find(form)) >= 0])
    ]


def _around(body: bytes, place: int, far: int) -> str:
    """What stands there, and before and after that."""
    return body[max(0, place - far) : place + 2 * far].decode(errors="replace")


class Written:
    """All that a run has written, by where."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}

    def note(self, place: str, body: bytes | str) -> None:
        """Something was written there, after what was before."""
        self.bodies[place] = self.bodies.get(place, b"") + (body.encode() if isinstance(body, str) else body)

    def files(self, folder: Path) -> None:
        """Whatever lies beneath a folder, by name, and the names themselves."""
        for path in sorted(folder.rglob("*")):
            place = f"file {path.relative_to(folder)}"
            self.note("names of files", f"{place}\n")
            if path.is_file():
                self.note(place, path.read_bytes())


@contextlib.contextmanager
def watched_processes() -> Iterator[set[bytes]]:
    """What everybody can see of processes while it lasts: their command lines, looked at over and over."""
    seen: set[bytes] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    seen.add((process / "cmdline").read_bytes())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


class Receiver(ThreadingHTTPServer):
    """Who is told of ends: notes what it is sent, and answers with success. `ends` counts."""

    def __init__(self, written: Written) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.written = written
        self.ends = threading.Semaphore(0)
        self.url = f"http://127.0.0.1:{self.server_port}/ends"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.written.note("callbacks", f"{self.path}\n{self.headers}\n".encode() + body)
        self.send_response(204)
        self.end_headers()
        self.server.ends.release()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def receiving(written: Written) -> Iterator[Receiver]:
    """One, while it lasts."""
    receiver = Receiver(written)
    serving = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        yield receiver
    finally:
        receiver.shutdown()
        serving.join()
        receiver.server_close()
