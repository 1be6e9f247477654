"""Whatever a whole request says, in every dialect: is it answered, and never by a 500?

Everything that reads a request is in the way: paths, queries, headers, credentials, bodies, forms and files.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, quote_from_bytes

import msgspec
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from msgspec.structs import fields

from milepost.access.principal import LOCAL
from milepost.http.app import HttpApp
from milepost.http.dialect import Dialect, Operation
from milepost.http.dialects.known import NAMES, dialects
from milepost.http.dialects.metavault import Metavault
from milepost.http.forwarded import Forwarding
from milepost.service import Service
from milepost.start import Start
from milepost.store.protocol import TypeInfo
from milepost.task import State, Task
from tests.fuzz.dirt import blobs, dirty, fuzzed, names_of, pipelines, shaped, targets, texts, values, written

PIPELINE = TypeInfo("pipeline", "loop", {"type": "object", "properties": {"components": {"type": "array"}}})
ECHO = TypeInfo("echo", "loop", {"type": "object"})
TYPED = {"POST /api/exports/{rows}": "export", "PUT /api/projects/{projectId}/sheets/{rows}/{export_index}": "export"}

HEADERS = (
    *("accept", "authorization", "content-disposition", "content-encoding", "content-length", "content-type", "cookie"),
    *("expect", "forwarded", "host", "idempotency-key", "if-match", "if-modified-since", "if-none-match", "if-range"),
    *("last-event-id", "origin", "prefer", "range", "sec-fetch-site", "transfer-encoding", "user-agent", "via"),
    *("x-forwarded-for", "x-forwarded-host", "x-forwarded-prefix", "x-forwarded-proto", "x-real-ip"),
    *("x-spaaza-session-chain-id", "x-spaaza-session-key", "x-spaaza-session-user-id"),
)
SAID = st.sampled_from(
    [
        *("Bearer x", "Basic OjpA", f"Bearer mp_{'0' * 16}_{'0' * 64}", "wait=5", "bytes=0-", "bytes=-5", '"1-native"'),
        *('W/"1-native", "2"', "*", "application/json", "application/json; charset=utf-16", "multipart/form-data"),
        *(
            "multipart/form-data; boundary=b",
            "application/x-ndjson",
            "application/octet-stream",
            "text/plain",
            "0",
            "5",
        ),
        *("attachment; filename=a", "attachment; filename*=utf-8''%e2%82", "attachment; filename*0=a; filename*2*=b"),
        *("for=1.2.3.4;proto=https;host=a", "for=unknown, for=_x", "1.2.3.4, 5.6.7.8", "https", "example.com:99999"),
        *("chunked", "gzip", "identity", "localhost", "null", "cross-site", "1764", "Wed, 21 Oct 2026 07:28:00 GMT"),
    ]
)
FORM = (
    b'--b\r\ncontent-disposition: form-data; name="f"; filename="../a\x00b"\r\ncontent-type: text/plain\r\n\r\nabc\r\n'
    b'--b\r\ncontent-disposition: form-data; name="field"\r\n\r\nvalue\r\n--b--\r\n'
)


class Asked(NamedTuple):
    """A request as a server hands it over."""

    method: str
    raw_path: bytes
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class Standing(NamedTuple):
    """An application, and tasks that requests may be about."""

    app: HttpApp
    ids: Sequence[str]


@pytest.fixture
async def standing(service: Service) -> Standing:
    await service.store.publish_types([PIPELINE, ECHO])
    made = [await _started(service, start) for start in _STARTS]
    spoken = [Metavault(calls=TYPED) if isinstance(dialect, Metavault) else dialect for dialect in dialects()]
    app = HttpApp(lambda: service, spoken, forwarding=Forwarding(["127.0.0.1"]))
    app.stopping.set()  # what would wait or follow for minutes answers with what there is
    tokens = [await service.token_of(task) for task in made]
    ids = [task.id for task in made]
    return Standing(app, [*ids, *(each.replace("-", "") for each in ids), *tokens, "1", "2"])


_STARTS = (
    Start(type="export"),
    Start(type="export", tenant="1764", list_id="campaign-5", metadata={"a": 1}),
    Start(type="pipeline", runner="external", state=State.RUNNING),
    Start(type="agent", runner="external", tenant="acme", title="t"),
)


async def _started(service: Service, start: Start) -> Task:
    return (await service.start(LOCAL, start, origin="native")).task


def operations(name: str) -> Sequence[Operation]:
    """All that a dialect answers."""
    dialect: Dialect = Metavault(calls=TYPED) if name == "metavault" else dialects([name])[0]
    return dialect.operations()


@st.composite
def asked(draw: st.DrawFn, name: str, ids: Sequence[str]) -> Asked:
    """A request for one of a dialect's operations, more or less."""
    operation = draw(st.sampled_from(operations(name)))
    # The rest is as it should be, or most requests would come no further than to their first fault.
    odd = draw(st.sampled_from(["method", "path", "query", "headers", "body", "body", "body", "all"]))
    headers = (
        draw(st.lists(st.tuples(st.sampled_from(HEADERS), dirty(SAID)), max_size=3)) if odd in _("headers") else []
    )
    if operation.body is not None and not any(header == "content-type" for header, _ in headers):
        headers.append(("content-type", operation.media_types[0]))
    return Asked(
        draw(st.sampled_from(["HEAD", "PUT", "OPTIONS", "BREW"])) if odd == "method" else operation.method,
        b"/".join([_segment(draw, part, ids, is_odd=odd in _("path")) for part in operation.path.split("/")]),
        _query(draw, operation, ids, is_odd=odd in _("query")),
        [(header.encode(), _byte(text)) for header, text in headers],
        draw(_body(name, operation)),
    )


def _(part: str) -> tuple[str, str]:
    return part, "all"


def _segment(draw: st.DrawFn, part: str, ids: Sequence[str], *, is_odd: bool) -> bytes:
    """A part of a path as it is sent: in ASCII, as servers refuse any other."""
    if not part.startswith("{"):
        return part.encode() if draw(st.integers(0, 49)) else part.upper().encode()
    right = st.sampled_from(["1764", "default"] if part in _TENANTS else ["export", "5"] if part in _CALLS else ids)
    said = draw(texts | blobs if is_odd else right)
    return (quote_from_bytes(said, safe="") if isinstance(said, bytes) else _quoted(said)).encode("ascii", "ignore")


_TENANTS = ("{projectId}", "{organisation}", "{tenant}")
_CALLS = ("{call}", "{command}", "{rows}", "{export_index}", "{type}", "{name}")


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _query(draw: st.DrawFn, operation: Operation, ids: Sequence[str], *, is_odd: bool) -> bytes:
    names = [*names_of(operation.query), "token"]
    said = [(field.encode_name, draw(st.sampled_from(ids))) for field in fields(operation.query) if field.required]
    if is_odd:
        said = draw(st.lists(st.tuples(st.sampled_from(names) | texts, st.sampled_from(ids) | texts), max_size=3))
    query = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in said)
    return draw(st.just(query.encode()) | blobs) if is_odd else query.encode()


def _byte(text: str) -> bytes:
    """What a header can be made of: servers let no line break and no NUL through."""
    said = text.encode("utf-8", "surrogatepass")
    return bytes(byte for byte in said if byte not in b"\r\n\x00").strip()


def _body(name: str, operation: Operation) -> st.SearchStrategy[bytes]:
    if operation.body is None:
        return st.sampled_from((b"", b"", b"{}", FORM, FORM[:-9])) | blobs
    bodies = written(_BODIES.get(name, shaped)(operation.body))
    if operation.lines:
        return st.lists(bodies | blobs, max_size=4).map(b"\n".join)
    return bodies | blobs


_BODIES: Mapping[str, Callable[[Any], st.SearchStrategy[Any]]] = {
    "aparavi": lambda _: pipelines | st.fixed_dictionaries({"pipeline": pipelines | values}),
    "services": lambda kind: shaped(kind).flatmap(_aimed),
}


def _aimed(value: Any) -> st.SearchStrategy[Any]:
    return targets.map(lambda target: value | {"target": target}) if isinstance(value, dict) else st.just(value)


async def answer(app: HttpApp, request: Asked, chunk: int = 1000) -> tuple[int, Mapping[bytes, bytes], bytes]:
    """What an application answers."""
    pieces = [request.body[at : at + chunk] for at in range(0, len(request.body), chunk)] or [b""]
    messages = iter(
        {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1}
        for index, piece in enumerate(pieces)
    )
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.raw_path.decode("ascii"),
        "raw_path": request.raw_path,
        "query_string": request.query,
        "root_path": "",
        "headers": [(b"host", b"localhost"), *request.headers]
        if b"host" not in dict(request.headers)
        else [*request.headers],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 8006),
    }
    async with asyncio.timeout(20):
        await app(scope, receive, send)
    if not sent:  # the client has left before all of its body had come
        return 499, {}, b""
    start, *bodies = sent
    return start["status"], dict(start["headers"]), b"".join(message.get("body", b"") for message in bodies)


@pytest.mark.parametrize("name", NAMES)
@fuzzed(40)
@given(data=st.data())
async def test_every_request_is_answered(name: str, standing: Standing, data: st.DataObject) -> None:
    request = data.draw(asked(name, standing.ids))
    with _no_errors():
        status, headers, body = await answer(standing.app, request, data.draw(st.sampled_from([7, 1000, 10**6])))
    event(f"answered with {status}")
    assert status < 500, body
    for header, value in headers.items():
        assert not set(value) & set(b"\r\n\x00"), header
    if headers.get(b"content-type", b"").endswith(b"json") and request.method != "HEAD":
        msgspec.json.decode(body)
    if status == 422 and name == "native" and request.method != "HEAD":
        assert all(fault.keys() & {"pointer", "parameter"} for fault in msgspec.json.decode(body)["errors"]), body


class _no_errors(logging.Handler):  # noqa: N801 it reads as what it says
    """Inside, nothing is logged as an error."""

    def __enter__(self) -> None:
        logging.getLogger("milepost").addHandler(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("milepost").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            error = None if record.exc_info is None else record.exc_info[1]
            raise AssertionError(record.getMessage()) from error
