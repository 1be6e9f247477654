"""How does the command line talk to a server, and what do its refusals mean for the exit code?"""

import contextlib
import mimetypes
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import httpx2
import msgspec

from milepost import __version__
from milepost.cli.exits import CommandError, Exit
from milepost.cli.faults import told as told_problem
from milepost.cli.records import Problem, TypeList
from milepost.cli.terminal import note, on_one_line
from milepost.client.address import check_way, is_loopback
from milepost.client.retries import retry_after
from milepost.client.trust import is_distrusted, trusted
from milepost.url import told

T = TypeVar("T")

PAUSES: Final = (0.1, 0.3, 0.8)
"""Seconds between tries of a request that is safe to repeat; then the server counts as unreachable."""

LONGEST_PAUSE: Final = 10.0
"""Seconds that a server may ask to be left alone for (Retry-After) before a request is sent again."""

READ_TIMEOUT: Final = 45.0
"""Seconds of silence after which a connection counts as broken. Streams say that they live more often than that."""

SLOW: Final = 3.0
"""Seconds without an answer after which a person is told what the command waits for."""

_FOR_A_WHILE: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE})
"""Answers after which the same request may succeed: the server, or what stands before it, can't just now."""

_CODES: Final[Mapping[int, Exit]] = {
    HTTPStatus.UNAUTHORIZED: Exit.NOT_FOUND,
    HTTPStatus.FORBIDDEN: Exit.NOT_FOUND,
    HTTPStatus.NOT_FOUND: Exit.NOT_FOUND,
    HTTPStatus.GONE: Exit.NOT_FOUND,
    HTTPStatus.CONFLICT: Exit.FAILED,
    HTTPStatus.PRECONDITION_FAILED: Exit.FAILED,
    HTTPStatus.TOO_MANY_REQUESTS: Exit.UNREACHABLE,
}

_NO_KEY: Final = "Set MILEPOST_KEY to one; `milepost key add` makes it, where the server's store is."
_WRONG_KEY: Final = "The one in MILEPOST_KEY (or --key) is none, unknown, revoked or expired there."

_ADDRESS: Final = re.compile(r"[\w.-]+(:[0-9]+)?(/.*)?")
"""A URL whose scheme was left out."""

_ERRNO: Final = re.compile(r"^\[Errno -?\d+\] ")


def task_path(task_id: str, part: str = "") -> str:
    """Where a task, or a part of it, is. Whatever stands in for the id can't lead anywhere else.

    Raises CommandError for dots, or nothing, which paths have other uses for.
    """
    if not task_id.strip("."):
        raise CommandError("There is no such task.", Exit.NOT_FOUND)
    return f"/v1/tasks/{quote(task_id, safe='')}" + (f"/{part}" if part else "")


def schema_of(remote: "Remote", type_name: str) -> Mapping[str, Any]:
    """The JSON Schema of a type's input; of one that the server does not know, nothing is known."""
    types = remote.get("/v1/types", TypeList).types
    return next((one.schema for one in types if one.name == type_name), {})


class Away(httpx2.TransportError):
    """Somebody answered that the server can't for a while: for a stream that is as if nobody had. `told` is how."""

    def __init__(self, told: CommandError) -> None:
        self.told = told
        super().__init__(str(told))


class Remote:
    """The native API of the server at `url`, as whoever holds `key`; connected while entered.

    `ca`: a file with the authorities whose certificates to believe, in place of the system's. The key goes over plain
    HTTP to this machine only, and redirects are not followed. When an answer takes longer than `slow` seconds `on_slow`
    is told, from another thread, what is waited for. Raises CommandError for whatever goes wrong.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        ca: Path | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        slow: float = SLOW,
        on_slow: Callable[[str], None] = note,
    ) -> None:
        self.url = url.rstrip("/") or url
        self.name = told(self.url)
        """What it is called: there may be a password in the URL."""
        self._sleep = sleep
        self._slow = slow
        self._on_slow = on_slow
        headers = {"user-agent": f"milepost/{__version__}", "accept": "application/json, */*;q=0.5"}
        if key and not (key.isascii() and key.isprintable()):  # which is not shown: it is a secret
            raise CommandError("--key: a key has printable ASCII characters alone; this one has others.", Exit.USAGE)
        if key:
            headers["authorization"] = f"Bearer {key}"
        self._hint = _WRONG_KEY if key else _NO_KEY
        base = self._base()
        try:
            if key:
                check_way(base)
        except ValueError as error:
            raise CommandError(f"--url: {error}", Exit.USAGE) from error
        try:
            verify = trusted(ca) if base.scheme == "https" else True
        except ValueError as error:
            raise CommandError(f"--ca: {error}", Exit.USAGE) from error
        self._client = httpx2.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx2.Timeout(READ_TIMEOUT, connect=5),
            verify=verify,
            trust_env=not is_loopback(base.host),  # a proxy would look for its own loopback
        )

    def _base(self) -> httpx2.URL:
        """The URL. Raises CommandError where it is none that requests can go to."""
        try:
            url = httpx2.URL(self.url)
        except httpx2.InvalidURL as error:
            raise CommandError(f"--url: {self.name!r} is not a URL ({error}).", Exit.USAGE) from error
        if url.scheme not in ("http", "https") or not url.host:
            hint = f" Is it http://{self.name}?" if _ADDRESS.fullmatch(self.url) else ""
            raise CommandError(f"--url: {self.name!r} is not a URL like http://127.0.0.1:8006.{hint}", Exit.USAGE)
        return url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, shape: type[T], **query: Any) -> T:
        """What the server says at `path`, decoded. Parameters that are None are not sent."""
        return self._decode(self.request("GET", path, query=query), shape)

    def post(
        self,
        path: str,
        shape: type[T],
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> T:
        """Send `body`, if any, as JSON, and decode the answer. Repeated only with an Idempotency-Key in `headers`."""
        return self._decode(self.request("POST", path, query=query, body=body, headers=headers), shape)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """One request, repeated after a failure of the connection where that can't do anything twice."""
        headers = dict(headers or {})
        content = None if body is None else msgspec.json.encode(body)
        if method != "GET":
            headers["content-type"] = "application/json"
        safe = method == "GET" or "idempotency-key" in headers
        return self._sent(method, path, query, content, headers, safe=safe)

    def post_lines(self, path: str, lines: Sequence[Any]) -> list[msgspec.Raw]:
        """Send values as lines of JSON, and give the lines of the answer.

        Repeated after a failure of the connection: what they ask for has to be the same when it is asked for again.
        """
        headers = {"content-type": "application/x-ndjson"}
        answer = self._sent("POST", path, None, msgspec.json.Encoder().encode_lines(lines), headers, safe=True)
        return [msgspec.Raw(line) for line in answer.content.splitlines()]

    def _sent(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        content: bytes | None,
        headers: Mapping[str, str],
        *,
        safe: bool,
    ) -> httpx2.Response:
        query = {name: value for name, value in (query or {}).items() if value is not None}
        pauses = iter(PAUSES)
        while True:
            asked = 0.0
            try:
                with self._waiting():
                    response = self._client.request(method, path, params=query, content=content, headers=headers)
            except httpx2.TransportError as error:
                pause = next(pauses, None) if safe or isinstance(error, httpx2.ConnectError) else None
                if pause is None:
                    raise self.unreachable(error) from error
            else:
                pause = next(pauses, None) if safe and response.status_code in _FOR_A_WHILE else None
                if pause is None:
                    return self._checked(response)
                asked = retry_after(response.headers, time.time()) or 0.0
            self._sleep(max(pause, min(asked, LONGEST_PAUSE)))

    def post_file(self, path: str, shape: type[T], file: Path, headers: Mapping[str, str]) -> T:
        """Send a file as it is, under its name, once, and decode the answer."""
        named = {
            "content-type": mimetypes.guess_type(file.name)[0] or "application/octet-stream",
            "content-disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
        }
        try:
            with file.open("rb") as content:
                response = self._client.request("POST", path, content=content, headers={**headers, **named})
        except httpx2.TransportError as error:
            raise self.unreachable(error) from error
        except OSError as error:
            raise CommandError(f"{file} can't be read ({error.strerror}).", Exit.USAGE) from error
        return self._decode(self._checked(response), shape)

    @contextlib.contextmanager
    def stream(self, path: str, headers: Mapping[str, str] | None = None) -> Iterator[httpx2.Response]:
        """An answer whose body is still to be read, once, without another try.

        Raises TransportError, also (Away) when the server says that it can't for a while.
        """
        with contextlib.ExitStack() as stack:
            with self._waiting():
                response = stack.enter_context(self._client.stream("GET", path, headers=headers))
            if response.status_code >= HTTPStatus.BAD_REQUEST:
                response.read()
            try:
                checked = self._checked(response)
            except CommandError as error:
                raise Away(error) if response.status_code in _FOR_A_WHILE else error from None
            yield checked

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        """Around what may take long without anything to be seen of it."""
        timer = threading.Timer(self._slow, self._on_slow, [f"Waiting for an answer from {self.name} …"])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def unreachable(self, error: Exception) -> CommandError:
        """What to tell when the server does not answer."""
        if isinstance(error, Away):
            return error.told
        if is_distrusted(error):
            return CommandError(
                f"The certificate that {self.name} shows is not one to believe ({error}). If its authority is your "
                "own, name that by --ca or SSL_CERT_FILE.",
                Exit.UNREACHABLE,
            )
        why = _ERRNO.sub("", str(error)) or type(error).__name__
        return CommandError(
            f"No Milepost server answers at {self.name} ({why}). Start one with `milepost serve FILE`, "
            "or say where it is with MILEPOST_URL.",
            Exit.UNREACHABLE,
        )

    def _checked(self, response: httpx2.Response) -> httpx2.Response:
        if response.is_success or response.status_code == HTTPStatus.NOT_MODIFIED:
            return response
        code = _CODES.get(response.status_code, Exit.UNREACHABLE if response.is_server_error else Exit.USAGE)
        try:
            problem = msgspec.json.decode(response.content, type=Problem)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CommandError(
                f"{self.name} answered {response.status_code} {on_one_line(response.reason_phrase)}, and not as "
                "Milepost does. Is MILEPOST_URL right?",
                code,
            ) from error
        hint = f" {self._hint}" if response.status_code == HTTPStatus.UNAUTHORIZED else ""
        raise CommandError(told_problem(problem) + hint, code)

    def _decode(self, response: httpx2.Response, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(response.content, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CommandError(
                f"{self.name} did not answer as Milepost does ({on_one_line(str(error))}). Is MILEPOST_URL right?",
                Exit.UNREACHABLE,
            ) from error
