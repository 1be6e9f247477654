# Made of dtc_async.py by scripts/sync: change that one.
"""The client of the Aparavi dialect: how does a program start a task, follow it, feed it and end it?"""

import math
import os
import random
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx2

from milepost import __version__
from milepost.client.address import DEFAULT, check_key, parse_base, proxy_for
from milepost.client.aparavi.errors import AparaviError, NoTaskStarted, TimedOut
from milepost.client.aparavi.methods import (
    DELETE,
    GET,
    SEND,
    START,
    Answer,
    Method,
    Reply,
    answer,
    has_ended,
    silence,
    started,
)
from milepost.client.body import NOTHING, Body, Sendable, Stream, file_body, form_body, json_body, text_body
from milepost.client.retries import LIMITS, Repeat, Sleep, pause, retry_after, share

LONGEST_ANSWER: Final = 64 << 20
"""Bytes of an answer that are read: what a webhook gives back has the text of the files in it."""

LAST_LOOK: Final = 1.0
"""Seconds that the last look of `wait` may take beyond its limit."""

SLOWEST_POLL: Final = 10.0
"""Seconds to which the pauses of `wait` grow, unless the server asks for more."""


class AparaviDTC:
    """One task at a time on a server that speaks Aparavi's API; it keeps the task's token and type between the calls.

    `api_key`: where it is None, `MILEPOST_KEY`, else `APARAVI_APIKEY`; a server without keys needs none, or "". It is
    sent as it is in the Authorization header, to the server of `base_url` alone: redirects are not followed, and plain
    http carries it to this machine only. `base_url`: else `MILEPOST_URL`, else http://localhost:8006.

    `timeout`: seconds that a call may take in all, tries and pauses included; each call takes one of its own too. It is
    checked at every piece that comes or goes, and bounds each silence between them.
    `retries`: how often a call is tried again after what passes by itself, with pauses that grow, and never sooner than
    a Retry-After asks for. Where a second request could do something twice it is not sent: see each method.

    `clock` (seconds, only ever forward), `now` (seconds since the epoch), `sleep` and `random` (0 to 1) are those that
    pauses go by; `transport` is what requests go through. Raises ValueError for a key or a URL that can't be used.

    `token` and `type` can be kept, and set on another client, which then goes on with the same task. Neither they nor
    the key are in what this writes, logs or raises.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = 4,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        sleep: Sleep = time.sleep,
        random: Callable[[], float] = random.random,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        if api_key is None:
            api_key = os.environ.get("MILEPOST_KEY") or os.environ.get("APARAVI_APIKEY") or ""
        check_key(api_key)
        if not timeout > 0 or retries < 0:
            raise ValueError("A timeout is more than 0 seconds, and retries are 0 or more.")
        self._base = parse_base(base_url or os.environ.get("MILEPOST_URL") or DEFAULT, secret=bool(api_key))
        self._key = api_key
        self._timeout = timeout
        self._retries = retries
        self._clock = clock
        self._now = now
        self._sleep = sleep
        self._random = random
        # No client of the library's around it: that would log each URL, and the token is in there.
        self._transport = transport or httpx2.HTTPTransport(proxy=proxy_for(self._base), limits=LIMITS)
        self._closed = False
        self.token: str | None = None
        self.type: str | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._base}{', with a task' if self.token else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections; the task goes on. Calls after it raise RuntimeError."""
        self._closed = True
        self._transport.close()

    def start_task(
        self,
        pipeline: Mapping[str, Any],
        *,
        name: str | None = None,
        threads: int | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Start a pipeline, given as it is or within `{"pipeline": …}`; `threads`: 1 to 16.

        Tried again only where nothing can have been started: nobody took the connection, or the server answered 429 or
        503. Raises AparaviError; after one that says that no answer came, the task may have been started all the same.
        """
        wrapped = pipeline if "pipeline" in pipeline else {"pipeline": pipeline}
        query = {"name": name, "threads": None if threads is None else str(threads)}
        given, reply = self._call(START, query, json_body({"errors": [], "warnings": [], **wrapped}), timeout)
        self.token, self.type = started(given, reply, self._hide)
        return given

    def get_task(self, *, timeout: float | None = None) -> Answer:
        """How far the task is. Raises NoTaskStarted, TaskNotFound, Unauthorized, and AparaviError for the rest."""
        given, _ = self._call(GET, self._task(), NOTHING, timeout)
        return given

    def delete_task(self, *, timeout: float | None = None) -> Answer:
        """End the task. The token is kept, so that get_task tells what the server still knows of it.

        Raises NoTaskStarted, TaskNotFound, Unauthorized, and AparaviError for the rest.
        """
        given, _ = self._call(DELETE, self._task(), NOTHING, timeout)
        return given

    def send_to_webhook(self, *files: Sendable, text: str | None = None, timeout: float | None = None) -> Answer:
        """Give files, or a text, to a pipeline that starts with a webhook, and wait for what it makes of them.

        `files`: paths, or `(name, bytes)`. One goes as it is, several as one form, read from disk on their way.

        What was delivered twice would be worked on twice: this is tried again only while nobody takes the connection,
        and after an error that says that no answer came, it may have been delivered all the same. Raises OSError for
        files that can't be read, ValueError for none, NoTaskStarted, TaskNotFound, Unauthorized, and AparaviError.
        """
        if bool(files) == (text is not None):
            raise ValueError("Give one file or more, or a text.")
        if text is not None:
            body = text_body(text)
        else:
            body = file_body(files[0]) if len(files) == 1 else form_body(files, "files")
        given, _ = self._call(SEND, self._task(), body, timeout)
        return given

    def wait(self, timeout: float | None = None, poll: float = 0.5) -> Answer:
        """Ask until the task has ended; `data["status"]` says how. One with a webhook stands until it is deleted.

        `timeout`: seconds; None waits for ever. `poll`: seconds until the second look; the pauses grow to 10 s, and are
        never shorter than a Retry-After, but for the last look, at the limit. Raises TimedOut, and as get_task does. A
        Ctrl-C, or a cancel, ends it at once; the task goes on.
        """
        if not poll > 0:
            raise ValueError("A pause between two looks is more than 0 seconds.")
        until = math.inf if timeout is None else self._clock() + timeout
        while True:
            limit = min(self._timeout, max(until - self._clock(), LAST_LOOK))
            given, reply = self._call(GET, self._task(), NOTHING, limit)
            if has_ended(given["data"]):
                return given
            left = until - self._clock()
            if left <= 0:
                raise TimedOut(f"{GET.trouble}: the task has not ended within {timeout:g} seconds")
            self._sleep(min(left, max(poll, retry_after(reply.headers, self._now()) or 0.0)))
            poll = max(poll, min(poll * 1.5, SLOWEST_POLL))

    def _task(self) -> dict[str, str | None]:
        """The query that names the task. Raises NoTaskStarted."""
        if not self.token or not self.type:
            raise NoTaskStarted
        return {"token": self.token, "type": self.type}

    def _call(
        self, method: Method, query: Mapping[str, str | None], body: Body, timeout: float | None
    ) -> tuple[Answer, Reply]:
        """One call with its tries: its answer, and the reply that it was in. Raises AparaviError."""
        limit = self._timeout if timeout is None else timeout
        if self._closed:
            raise RuntimeError("This client is closed.")
        if not limit > 0:
            raise ValueError("A timeout is more than 0 seconds.")
        until = self._clock() + limit
        tries = 1
        while True:
            outcome = self._try(method, query, body, until, self._retries + 1 - tries)
            rest = self._rest(method, outcome, until, tries)
            if rest is not None:
                self._sleep(rest)
                tries += 1
            elif isinstance(outcome, Reply):
                return answer(method, outcome, self._hide), outcome
            else:
                raise silence(method, outcome, limit, self._hide) from None

    def _rest(self, method: Method, outcome: Reply | httpx2.TransportError, until: float, tries: int) -> float | None:
        """Seconds until the next try; None where there is none, also because it would come after the limit."""
        said: int | httpx2.TransportError
        asked = None
        if isinstance(outcome, Reply):
            said, asked = outcome.status, retry_after(outcome.headers, self._now())
        else:
            said = outcome
        if tries > self._retries or not method.repeat.after(said):
            return None
        rest = pause(tries, asked, self._random)
        return rest if rest < until - self._clock() else None

    def _try(
        self, method: Method, query: Mapping[str, str | None], body: Body, until: float, tries_left: int
    ) -> Reply | httpx2.TransportError:
        """One request: its reply, or what became of the connection."""
        began_at = self._clock()
        part = share(until - began_at, tries_left)
        whole = part if method.repeat is Repeat.IDEMPOTENT else until - began_at

        def check() -> None:
            if self._clock() >= began_at + whole:
                raise httpx2.WriteTimeout("The time limit is over.")

        request = httpx2.Request(
            method.verb,
            f"{str(self._base).rstrip('/')}{method.path}",
            params={name: value for name, value in query.items() if value is not None},
            headers=self._headers(body),
            stream=Stream(body, check),
            extensions={"timeout": {"connect": part, "read": whole, "write": whole, "pool": part}},
        )
        try:
            response = self._transport.handle_request(request)
            try:
                content = bytearray()
                for piece in response.iter_raw():
                    check()
                    content += piece
                    if len(content) > LONGEST_ANSWER:
                        raise AparaviError(f"{method.trouble}: The answer has more than {LONGEST_ANSWER} bytes.")
            finally:
                response.close()
        except httpx2.TransportError as error:
            return error
        return Reply(response.status_code, response.headers, bytes(content))

    def _headers(self, body: Body) -> dict[str, str]:
        headers = {
            "host": self._base.netloc.decode("ascii"),
            "user-agent": f"milepost/{__version__}",
            "accept": "application/json",
            **body.headers,
        }
        if body.parts:
            headers["content-length"] = str(body.size)
        if self._key:
            headers["authorization"] = self._key
        return headers

    def _hide(self, text: str) -> str:
        """What a server says, without the secrets that it may repeat."""
        for secret in filter(None, (self._key, self.token)):
            for form in (secret, quote(secret, safe="")):
                text = text.replace(form, "…")
        return text
