"""How does a record leave as an answer, in whatever words: with its version as ETag, or as 304 to who has that?"""

from collections.abc import Callable
from typing import Any, Final

from starlette.responses import Response

from milepost.http.dialect import JSON, Call
from milepost.http.etag import etag, is_unchanged
from milepost.http.rendered import RawHeaders, Rendered
from milepost.task import Task
from milepost.times import SECOND

JSON_HEADERS: Final = ((b"content-type", JSON.encode()), (b"x-content-type-options", b"nosniff"))
_REVALIDATE: Final = (b"cache-control", b"private, no-cache")
NO_STORE: Final = (b"cache-control", b"no-store")


def representation(
    call: Call[Any, Any],
    dialect: str,
    task: Task,
    render: Callable[[], bytes],
    status: int = 200,
    headers: RawHeaders = (),
    *,
    query: str = "",
) -> Response:
    """The record as JSON, which `render` gives; 304 to a read whose client has this version.

    `dialect` is its name; `query`, in canonical form, is what of the request makes it another body.
    """
    tag = etag(task.version, dialect, query)
    said = [(b"etag", tag.encode()), _REVALIDATE, *headers]
    if not task.state.terminal:
        said.append((b"retry-after", _retry_after(task, call.service.clock())))
    if call.request.method in ("GET", "HEAD") and is_unchanged(call.request, tag):
        return Rendered(b"", 304, said)
    return Rendered(render(), status, (*JSON_HEADERS, *said))


def json_answer(body: bytes, status: int = 200, headers: RawHeaders = ()) -> Response:
    """JSON that is about no single record: as it has no version, there is nothing by which a copy could be kept."""
    return Rendered(body, status, (*JSON_HEADERS, NO_STORE, *headers))


def _retry_after(task: Task, now: int) -> bytes:
    """From 1 second for a young task to 10 for one that has been at it for long."""
    age = now - (task.started_at or task.created_at)
    return b"%d" % min(10, max(1, age // (10 * SECOND)))
