"""Bodies, lines, forms, and what each dialect makes of them: is each read, or refused with the place of its fault?"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from milepost.access.limits import Limits
from milepost.errors import Fault, Invalid, Malformed, ServiceError, TooLarge, pointer
from milepost.http.body import BodyReader, _is_too_deep
from milepost.http.dialect import JSON
from milepost.http.dialects import native_parse, quant_parse, services_parse
from milepost.http.dialects.aparavi_pipelines import placed, read
from milepost.http.dialects.aparavi_words import error_body
from milepost.http.dialects.cloudcoin import _said, data_of
from milepost.http.dialects.known import dialects
from milepost.http.dialects.metavault_shapes import problem_body
from milepost.http.dialects.native_requests import StartBody, StartLine, UpdateBody
from milepost.http.dialects.quant_shapes import CreateTaskRequest, UpdateTaskRequest
from milepost.http.dialects.services_errors import renamed
from milepost.http.dialects.services_shapes import CreateBody
from milepost.http.lines import LineReader
from milepost.http.payload import payload
from milepost.start import Start
from milepost.store.protocol import TypeInfo
from milepost.update import Update, merged
from milepost.wish import checked
from tests.fuzz.dirt import (
    blobs,
    dirty,
    fuzzed,
    pipelines,
    shaped,
    spoilt_bytes,
    targets,
    texts,
    utf8,
    values,
    written,
)


def _shapes() -> list[Any]:
    return sorted({op.body for each in dialects() for op in each.operations() if op.body is not None}, key=str)


@pytest.mark.parametrize("shape", _shapes(), ids=lambda shape: getattr(shape, "__name__", str(shape)))
@fuzzed(15)
@given(data=st.data())
def test_json(shape: Any, data: st.DataObject) -> None:
    body = data.draw(written(shaped(shape)))
    reader = BodyReader(shape, [JSON])
    try:
        value = reader.decode(body)
    except Invalid as error:
        assert all(fault.pointer is not None and fault.pointer[:1] in ("", "/") for fault in error.faults)
        assert len(error.detail) < 2 * len(body) + 1000
    except Malformed as error:
        assert error.detail.startswith("The body ")
    else:
        json.loads(body)
        assert _decoded_again(value) == msgspec.json.encode(value)


def _decoded_again(value: Any) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(msgspec.json.encode(value)))


@fuzzed(40)
@given(written(values), st.integers(1, 5))
def test_depth(body: bytes, most: int) -> None:
    """Whatever JSON there is, it is found too deep exactly if it is."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        _is_too_deep(body, most)
    else:
        assert _is_too_deep(body, most) == (_depth(value) > most)


def _depth(value: Any) -> int:
    inner = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def request(pieces: Sequence[bytes], **headers: str) -> Request:
    """A request whose body comes in these pieces."""
    messages = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, 1)
    ] or [{"type": "http.request"}]
    coming = iter(messages)

    async def receive() -> Any:
        return next(coming)

    raw = [(name.replace("_", "-").encode(), value.encode("utf-8", "surrogatepass")) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


def cut(body: bytes, at: Sequence[int]) -> list[bytes]:
    """A body in pieces."""
    places = sorted({0, len(body), *(place % (len(body) + 1) for place in at)})
    return [body[start:stop] for start, stop in pairwise(places)]


@fuzzed(30)
@given(
    st.lists(written(shaped(StartLine)) | blobs, max_size=4).map(b"\n".join), st.lists(st.integers(0, 9999), max_size=3)
)
async def test_lines(body: bytes, at: list[int]) -> None:
    reader = LineReader(StartLine, ["application/x-ndjson"], Limits(body=3000))
    lines = await reader.read(request(cut(body, at), content_type="application/x-ndjson"))
    found = [line async for bunch in lines.bunches(2, asyncio.Event()) for line in bunch]
    assert lines.ended
    assert all(isinstance(line.body, StartLine | Invalid | Malformed | TooLarge) for line in found)
    said = [number for number, text in enumerate(body.split(b"\n"), 1) if text.strip() or len(text) > 3000]
    assert [line.number for line in found] == said


@fuzzed(30)
@given(shaped(StartLine), shaped(UpdateBody))
def test_starts_and_changes_of_the_native_api(start: Any, update: Any) -> None:
    ways: Sequence[tuple[Any, Callable[[Any], object], Any]] = (
        (StartLine, native_parse.line_wish, start),
        (StartBody, native_parse.wish, start),
        (UpdateBody, native_parse.change, update),
    )
    for shape, make, value in ways:
        try:
            assert make(msgspec.convert(value, shape, dec_hook=_hook)) is not None
        except Invalid as error:
            assert all(fault.pointer for fault in error.faults)
        except (msgspec.ValidationError, UnicodeEncodeError):
            continue


def _hook(kind: Any, value: Any) -> Any:
    return kind.parse(value)


@fuzzed(30)
@given(shaped(CreateTaskRequest), shaped(UpdateTaskRequest))
def test_tasks_of_quant(create: Any, update: Any) -> None:
    info = TypeInfo("export", "loop", {})
    try:
        body = msgspec.convert(create, CreateTaskRequest, dec_hook=_hook)
    except (msgspec.ValidationError, UnicodeEncodeError):
        pass
    else:
        for known in (info, None):
            assert isinstance(quant_parse.start(body, known, "acme", type="agent", keep=1), Start)
    try:
        change = msgspec.convert(update, UpdateTaskRequest, dec_hook=_hook)
        assert isinstance(quant_parse.change(change), Update)
    except (msgspec.ValidationError, UnicodeEncodeError):
        pass


TRIGGERS = st.fixed_dictionaries(
    {},
    optional={
        "once": dirty(st.datetimes(timezones=st.timezones() | st.none()).map(lambda moment: moment.isoformat()))
        | st.sampled_from(["0001-01-01T00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-W01-1", "20260101T000000,5Z"])
        | values,
        "repeat": st.sampled_from(["daily", "weekly"]) | values,
    },
)


@fuzzed(60)
@given(targets | st.dictionaries(texts, values), TRIGGERS | st.none())
def test_tasks_of_the_services_api(target: dict[str, Any], trigger: Any) -> None:
    body = CreateBody(chain=1, desc="d", target=target, trigger=trigger)  # type: ignore[arg-type]
    try:
        start = services_parse.wish(body, "1")
    except Invalid as error:
        (fault,) = error.faults
        assert fault.pointer in ("/trigger/once", "/trigger/repeat", "/target/action")
        assert renamed(fault).detail
    else:
        assert start.type == target["action"].replace(" ", "-")


@fuzzed(80)
@given(pipelines | st.fixed_dictionaries({"pipeline": pipelines | values}), st.dictionaries(texts, texts, max_size=2))
def test_pipelines_of_aparavi(body: dict[str, Any], paths: dict[str, str]) -> None:
    info = TypeInfo("pipeline", "loop", {"properties": {"components": {}, "source": {}}})
    try:
        pipeline = read(body, info, paths)
        with placed(pipeline.place):
            if pipeline.faults:
                raise Invalid(*pipeline.faults)
    except Invalid as error:
        assert all(fault.pointer is not None for fault in error.faults)
        assert error_body(error, "page").detail
    else:
        assert pipeline.input.keys() <= {"components", "source"}


@fuzzed(60)
@given(st.lists(texts, max_size=3))
def test_places_of_faults_in_every_dialect(steps: list[str]) -> None:
    """What a body calls its members may be anything, and every dialect tells where the fault is."""
    error = Invalid(Fault("It is wrong.", pointer(["input", *steps])), Fault("It is.", parameter="".join(steps)))
    assert error_body(error, "node").detail
    assert quant_parse.message(error)
    assert _said(error)
    assert problem_body(error).status == 400


@fuzzed(40)
@given(values)
def test_results_of_cloudcoin(value: Any) -> None:
    try:
        body = msgspec.Raw(msgspec.json.encode(value))
    except (ValueError, OverflowError):  # of what no result can have
        return
    data = data_of(body)
    assert data is None or bytes(body).startswith((b"{", b'"')) == isinstance(data, msgspec.Raw)


@fuzzed(60)
@given(values, values)
def test_merge_patches(target: Any, patch: Any) -> None:
    """RFC 7396: what is null goes, and nothing is left of it."""
    found = merged(target, patch)
    assert not isinstance(patch, dict) or all((name in found) == (value is not None) for name, value in patch.items())


@fuzzed(40)
@given(st.sampled_from(["input", "metadata", "title", "tenant", "run_at", "depends_on", "priority"]), values)
def test_starts_in_python(name: str, value: Any) -> None:
    try:
        start = checked(Start(type="export", **{name: value}))
    except Invalid as error:
        assert [fault.pointer for fault in error.faults] == [f"/{name}"]
    else:
        msgspec.json.encode(start)


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nabc\r\n'
    b"--b\r\nContent-Disposition: form-data; name=\"g\"; filename*=UTF-8''%e2%82%ac\r\n\r\n\r\n"
    b'--b\r\nContent-Disposition: form-data; name="h"\r\n\r\nvalue\r\n--b--\r\n'
)
KINDS = st.sampled_from(["multipart/form-data; boundary=b", 'multipart/form-data; boundary="b"', "text/plain", ""])


@fuzzed(60)
@given(
    dirty(KINDS), spoilt_bytes(st.just(FORM)) | blobs | st.just(FORM), st.lists(st.integers(0, 999), max_size=3), utf8
)
async def test_forms(kind: str, body: bytes, at: list[int], disposition: str) -> None:
    asked = request(cut(body, at), content_type=kind, content_disposition=disposition)
    try:
        async with payload(asked, Limits(delivery=1000, delivery_files=3)) as files:
            for file in files:
                assert file.name is None or isinstance(file.name, str)
                assert isinstance(file.source, AsyncIterator)
                assert b"".join([piece async for piece in file.source]) in body
    except ServiceError as error:
        assert error.detail
