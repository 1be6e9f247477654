"""Which calls are there, and what do their answers say?

Servers word their answers in three ways, after the clients that they serve (the profiles page, node and python); all of
them are understood. For the words of errors the page on the getTask method is the source.
"""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypedDict

import httpx2
import msgspec

from milepost.client.aparavi.errors import AparaviError, TaskNotFound, TimedOut, Unauthorized, Unreachable
from milepost.client.retries import Repeat

LONGEST_MESSAGE: Final = 1000
"""Characters of a server's message that an error repeats."""

ENDED: Final = frozenset({"Completed", "Failed", "Cancelled"})
"""The words for a task that has come to its end (the page's Task Status Values)."""


class Method(NamedTuple):
    """A call of the API: what is sent where, how its errors begin, and its message where the server has none."""

    verb: str
    path: str
    trouble: str
    message: str
    repeat: Repeat


START: Final = Method("PUT", "/task", "Error starting task", "Task started successfully", Repeat.NOT_BEGUN)
GET: Final = Method(
    "GET", "/task", "Error getting task status", "Task status retrieved successfully", Repeat.IDEMPOTENT
)
DELETE: Final = Method("DELETE", "/task", "Error deleting task", "Task deleted successfully", Repeat.IDEMPOTENT)
SEND: Final = Method(
    "PUT", "/webhook", "Error sending to webhook", "Data sent to webhook successfully", Repeat.NOT_SENT
)


class Answer(TypedDict):
    """What a call gives: the server's data, and a message."""

    data: dict[str, Any]
    message: str


class Reply(NamedTuple):
    """An HTTP answer, read to its end."""

    status: int
    headers: httpx2.Headers
    body: bytes


def answer(method: Method, reply: Reply, hide: Callable[[str], str]) -> Answer:
    """What a reply gives. Raises AparaviError for a refusal, in words that `hide` has taken the secrets out of."""
    said = _object(reply.body)
    if not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
        raise _refusal(method, reply, said, hide)
    if said is None:
        raise AparaviError(f"{method.trouble}: {_FOREIGN}", status=reply.status)
    if said.get("status") == "Error":
        if _says_not_found(method, said):
            raise TaskNotFound(f"{method.trouble}: Task not found", status=reply.status)
        raise AparaviError(f"{method.trouble}: {hide(_told(said) or 'Error')[:LONGEST_MESSAGE]}", status=reply.status)
    data, message = said.get("data"), said.get("message")
    return {
        "data": data if isinstance(data, dict) else {},
        "message": message if isinstance(message, str) and message else method.message,
    }


def started(given: Answer, reply: Reply, hide: Callable[[str], str]) -> tuple[str, str]:
    """The token and type of a task that was started. Raises AparaviError where an answer has none."""
    token, kind = given["data"].get("token"), given["data"].get("type")
    if isinstance(token, str) and token and isinstance(kind, str) and kind:
        return token, kind
    told = _told(_object(reply.body) or {}) or "The answer has no token and type."
    raise AparaviError(f"{START.trouble}: {hide(told)[:LONGEST_MESSAGE]}", status=reply.status)


def silence(method: Method, error: httpx2.TransportError, limit: float, hide: Callable[[str], str]) -> Unreachable:
    """What to raise where no answer came within `limit` seconds, or at all."""
    if isinstance(error, httpx2.TimeoutException):
        return TimedOut(f"{method.trouble}: no answer within {limit:g} seconds")
    why = _ERRNO.sub("", hide(str(error))) or type(error).__name__
    return Unreachable(f"{method.trouble}: no answer ({why})")


def has_ended(data: Mapping[str, Any]) -> bool:
    """Whether a task has come to its end, as its status or the older flag says it."""
    status = data.get("status")
    return (isinstance(status, str) and status in ENDED) or data.get("completed") is True


_ERRNO: Final = re.compile(r"^\[Errno -?\d+\] ")
_FOREIGN: Final = "The server does not answer as Aparavi's does. Is the base URL right?"


def _refusal(method: Method, reply: Reply, said: Mapping[str, Any] | None, hide: Callable[[str], str]) -> AparaviError:
    if reply.status == HTTPStatus.UNAUTHORIZED:
        return Unauthorized(f"{method.trouble}: Unauthorized", status=reply.status)
    told = None if said is None else _told(said)
    if told and method is not START and reply.status == HTTPStatus.NOT_FOUND:
        return TaskNotFound(f"{method.trouble}: Task not found", status=reply.status)
    if not told:
        phrase = httpx2.codes.get_reason_phrase(reply.status)
        told = f"{reply.status} {phrase}. {_FOREIGN}".replace(" .", ".")
    return AparaviError(f"{method.trouble}: {hide(told)[:LONGEST_MESSAGE]}", status=reply.status)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _says_not_found(method: Method, said: Mapping[str, Any]) -> bool:
    """Whether an error that came with a 200 means the task, as it does in the python profile.

    A delivery may fail because of something else that is not found.
    """
    told = _headline(said).lower()
    return "not found" in told and (method in (GET, DELETE) or (method is SEND and "task" in told))


def _headline(said: Mapping[str, Any]) -> str:
    """What went wrong, in short: the `error` of a body, or its message; "" where it has none."""
    error = said.get("error")
    told = error.get("message") if isinstance(error, dict) else error
    return told if isinstance(told, str) else ""


def _told(said: Mapping[str, Any]) -> str:
    """What a body says went wrong, in whichever of the ways there are, in short and at length; "" for nothing."""
    headline, message = _headline(said), said.get("message")
    length = message if isinstance(message, str) else ""
    length = length or _listed(said.get("detail")) or _listed(said.get("errors"))
    return ": ".join(dict.fromkeys(filter(None, (headline, length))))


def _listed(faults: Any) -> str:
    if isinstance(faults, list):
        return "; ".join(filter(None, map(_fault, faults)))
    return faults if isinstance(faults, str) else ""


def _fault(fault: Any) -> str:
    """One of several faults: text, or FastAPI's form with the place and the message."""
    if not isinstance(fault, dict):
        return str(fault)
    place = fault.get("loc")
    where = ".".join(str(step) for step in place) if isinstance(place, list) else ""
    return ": ".join(filter(None, (where, str(fault.get("msg") or fault.get("message") or ""))))
