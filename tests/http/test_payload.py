"""Whatever way files come in, what is stored is what was sent; and what is no payload is refused, and nothing kept."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Message as AsgiMessage

from milepost.access.limits import DEFAULT_LIMITS, Limits
from milepost.errors import ServiceError
from milepost.http.dialect import Call, NoQuery, Operation
from milepost.http.dialects.native import Native
from milepost.http.payload import BETWEEN, MAX_FIELD, MAX_FIELDS, MEDIA_TYPES, payload
from milepost.http.problems import status_of
from milepost.service import Service
from tests.http.conftest import http_app, in_memory

FORM = {"content-type": "multipart/form-data; boundary=cut"}
MOST = DEFAULT_LIMITS.delivery
MOST_OF_FORM = MOST + BETWEEN
OPEN_FILES = Path("/proc/self/fd")


class Taking(Native):
    """A dialect that says what has arrived."""

    name = "taking"

    def operations(self) -> list[Operation]:
        return [Operation("PUT", "/in", self.take, media_types=MEDIA_TYPES)]

    def problem(self, error: ServiceError, request: Request) -> Response:
        return PlainTextResponse(f"{type(error).__name__}: {error}", status_of(error))

    async def take(self, call: Call[NoQuery, None]) -> Response:
        async with payload(call.request, call.service.limits) as uploads:
            return JSONResponse([[upload.name, upload.media_type, await size(upload.source)] for upload in uploads])


async def size(source: Any) -> str:
    content = b"".join([piece async for piece in source])
    return content.decode("latin-1") if len(content) < 100 else str(len(content))


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    async with in_memory(http_app(service, Taking())) as client:
        yield client


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    """Every temporary file is closed at the end."""
    before = opened()
    yield
    assert opened() == before


def opened() -> set[str]:
    """The temporary files that are open."""
    places = [str(path.readlink()) for path in OPEN_FILES.iterdir() if path.is_symlink()]
    return {place for place in places if place.startswith(tempfile.gettempdir()) and place.endswith("(deleted)")}


def part(content: bytes, name: str | None = "a.txt", field: str = "files", more: str = "") -> bytes:
    named = "" if name is None else f'; filename="{name}"'
    return f'--cut\r\nContent-Disposition: form-data; name="{field}"{named}\r\n{more}\r\n'.encode() + content + b"\r\n"


async def send(client: httpx2.AsyncClient, content: Any, headers: Any = FORM) -> Any:
    response = await client.put("/in", content=content, headers=headers)
    return response.json() if response.status_code == 200 else (response.status_code, response.text)


@pytest.mark.parametrize(
    ("headers", "arrived"),
    [
        ({"content-type": "text/plain"}, ["text.txt", "text/plain", "x"]),
        ({"content-type": "text/plain; charset=utf-8"}, ["text.txt", "text/plain; charset=utf-8", "x"]),
        ({"content-type": "application/json"}, ["data.json", "application/json", "x"]),
        ({"content-type": "image/png"}, [None, "image/png", "x"]),
        ({"content-type": "application/x-www-form-urlencoded"}, [None, "application/x-www-form-urlencoded", "x"]),
        ({}, [None, None, "x"]),
        (
            {"content-type": "image/png", "content-disposition": 'attachment; filename="b.png"'},
            ["b.png", "image/png", "x"],
        ),
        ({"content-type": "text/plain", "content-disposition": "attachment"}, ["text.txt", "text/plain", "x"]),
    ],
)
async def test_a_body_is_a_file(client: httpx2.AsyncClient, headers: dict[str, str], arrived: list[Any]) -> None:
    assert await send(client, b"x", headers) == [arrived]


async def test_every_file_of_a_form_is_taken_in_its_order(client: httpx2.AsyncClient) -> None:
    large = bytes(3 << 20)
    body = part(b"1", "b.txt", more="Content-Type: text/css\r\n") + part(b"passed over", None, "note")
    body += part(large, "a.bin") + part(b"", "") + part(b"2", "b.txt", "other") + b"--cut--\r\n"
    assert await send(client, body) == [
        ["b.txt", "text/css", "1"],
        ["a.bin", None, str(len(large))],
        ["", None, ""],
        ["b.txt", None, "2"],
    ]


async def test_a_form_as_a_client_makes_it(client: httpx2.AsyncClient) -> None:
    files: Any = [("files", ("é.txt", b"one", "text/plain")), ("files", ("two.bin", b"two"))]
    response = await client.put("/in", files=files)
    assert response.json() == [["é.txt", "text/plain", "one"], ["two.bin", "application/octet-stream", "two"]]


@pytest.mark.parametrize(
    ("body", "headers", "refusal"),
    [
        (b"", {}, (422, "Invalid: There is nothing in it to deliver: send a file, several as a form, or text.")),
        (b"--cut--\r\n", FORM, (422, "Invalid: /files: There is no file in the form.")),
        (part(b"x", None) + b"--cut--\r\n", FORM, (422, "Invalid: /files: There is no file in the form.")),
        (part(b"x"), FORM, (400, "Malformed: The form can't be read. It ends before its last boundary.")),
        (part(b"x" * (2 << 20)), FORM, (400, "Malformed: The form can't be read. It ends before its last boundary.")),
        (b"nonsense", FORM, (400, "Malformed: The form can't be read. Invalid multipart data.")),
        (
            b"x",
            {"content-type": "multipart/form-data"},
            (400, "Malformed: The form can't be read. Missing boundary in multipart."),
        ),
        (
            part(b"x", None) * (MAX_FIELDS + 1) + b"--cut--\r\n",
            FORM,
            (400, "Malformed: The form can't be read. Too many fields. Maximum number of fields is 20."),
        ),
        (
            part(bytes(MAX_FIELD + 1), None) + b"--cut--\r\n",
            FORM,
            (400, "Malformed: The form can't be read. Part exceeded maximum size of 64KB."),
        ),
        (
            part(b"x") * (DEFAULT_LIMITS.delivery_files + 1) + b"--cut--\r\n",
            FORM,
            (400, "Malformed: The form can't be read. Too many files. Maximum number of files is 100."),
        ),
        (
            b"x",
            {"content-length": str(MOST + 1), "content-type": "text/plain"},
            (413, f"TooLarge: The body may have up to {MOST} bytes."),
        ),
        (
            b"x",
            FORM | {"content-length": str(MOST_OF_FORM + 1)},
            (413, f"TooLarge: The form may have up to {MOST_OF_FORM} bytes."),
        ),
        (
            b"x",
            {"content-encoding": "gzip", "content-type": "text/plain"},
            (415, "UnsupportedMediaType: The body must be sent as it is, without a Content-Encoding."),
        ),
    ],
)
async def test_what_is_no_payload_is_refused(
    client: httpx2.AsyncClient, body: bytes, headers: dict[str, str], refusal: tuple[int, str]
) -> None:
    assert await send(client, body, headers) == refusal


async def test_a_form_that_says_no_length_is_bounded_too(client: httpx2.AsyncClient, service: Service) -> None:
    service.limits = Limits(delivery=1000)
    most = 1000 + BETWEEN

    async def pieces() -> AsyncIterator[bytes]:
        yield part(bytes(most // 2))
        yield part(bytes(most // 2)) + b"--cut--\r\n"

    assert await send(client, pieces()) == (413, f"TooLarge: The form may have up to {most} bytes.")


async def test_no_room_for_a_form_is_said(client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    refused = await send(client, part(bytes(2 << 20)) + b"--cut--\r\n")
    assert refused == (
        503,
        "Unavailable: The form could not be stored (No such file or directory); nothing was changed.",
    )


NAMES = st.text(st.characters(exclude_characters='"\\\r\n\0', exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=40)), min_size=1, max_size=5), st.integers(1, 50))
async def test_however_it_is_cut_the_files_are_those(files: list[tuple[str, bytes]], cut: int) -> None:
    body = b"".join(part(content.replace(b"--cut", b""), name) for name, content in files) + b"--cut--\r\n"
    pieces = [body[begin : begin + cut] for begin in range(0, len(body), cut)]

    async def receive() -> AsgiMessage:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    scope = {"type": "http", "method": "PUT", "headers": [(b"content-type", FORM["content-type"].encode())]}
    async with payload(Request(scope, receive)) as uploads:
        read = [(upload.name, await size(upload.source)) for upload in uploads]
    assert read == [(name, content.replace(b"--cut", b"").decode("latin-1")) for name, content in files]
