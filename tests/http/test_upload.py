import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from milepost.access.limits import DEFAULT_LIMITS
from milepost.errors import Invalid, ServiceError
from milepost.http.dialect import Call, NoQuery, Operation
from milepost.http.dialects.native import Native
from milepost.http.upload import LONGEST_DISPOSITION, UploadReader, disposed_name
from milepost.intake import Upload
from milepost.service import Service
from tests.http.conftest import http_app, in_memory


class Body(msgspec.Struct):
    n: int = 0


class Taking(Native):
    """A dialect that says what has arrived."""

    name = "taking"

    def operations(self) -> list[Operation]:
        return [Operation("POST", "/in", self.take, body=Body, takes_files=True)]

    async def take(self, call: Call[NoQuery, Body | Upload]) -> Response:
        if isinstance(call.body, Body):
            return JSONResponse({"n": call.body.n})
        assert not isinstance(call.body.source, str)
        content = b"".join([piece async for piece in call.body.source])  # type: ignore[union-attr]
        return JSONResponse({"name": call.body.name, "type": call.body.media_type, "content": content.decode()})


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    async with in_memory(http_app(service, Taking())) as client:
        yield client


async def send(client: httpx2.AsyncClient, content: bytes = b"bytes", **headers: str) -> httpx2.Response:
    raw = [(name.replace("_", "-").encode(), value.encode("utf-8")) for name, value in headers.items()]
    return await client.post("/in", content=content, headers=raw)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="a.txt"', "a.txt"),
        ("attachment; filename=a.txt", "a.txt"),
        ("inline; FileName=a.txt", "a.txt"),
        ('attachment; filename="a;\\"b.txt"', 'a;"b.txt'),
        ("attachment; filename*=UTF-8''%e2%82%ac.txt", "€.txt"),
        ("attachment; filename=\"euro.txt\"; filename*=UTF-8''%e2%82%ac.txt", "€.txt"),
        ('attachment; filename="ä€.txt"', "ä€.txt"),
        ("attachment; filename*=nope''%ff", "ÿ"),
        ("attachment", None),
        ("attachment; filename*", ""),
        ("", None),
    ],
)
async def test_a_disposition_names_the_file(client: httpx2.AsyncClient, disposition: str, name: str | None) -> None:
    response = await send(client, content_type="text/plain; charset=utf-8", content_disposition=disposition)
    assert response.json() == {"name": name, "type": "text/plain; charset=utf-8", "content": "bytes"}


WORDS = ["filename", "filename*", "name", "*", "*0", "*0*", "*1*", "0*", "=", ";", "''", "utf-8''", "%e2", '"', "\\"]


@given(st.lists(st.sampled_from(WORDS) | st.text("aZ09 ;=*'\"\\%ü/\t-", max_size=5), max_size=12), st.booleans())
@example(["filename*", ";", "filename", "*0*"], True)
def test_whatever_stands_there_is_a_name_or_refused(words: list[str], has_kind: bool) -> None:
    name: str | None = None
    with contextlib.suppress(Invalid):
        name = disposed_name("attachment; " * has_kind + "".join(words))
    assert name is None or isinstance(name, str)


@pytest.mark.parametrize("end", ["filename*;filename*0*", "filename*1*;filename*=a", "x=" + "y" * LONGEST_DISPOSITION])
async def test_a_disposition_that_cannot_be_read_is_refused(client: httpx2.AsyncClient, end: str) -> None:
    response = await send(client, content_type="text/plain", content_disposition=f"attachment; {end}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "Content-Disposition"


async def test_a_name_in_latin_1_is_taken_as_that(client: httpx2.AsyncClient) -> None:
    headers = {"content-disposition": 'attachment; filename="ä.txt"'.encode("latin-1")}
    raw = [(name.encode(), value) for name, value in headers.items()]
    response = await client.post("/in", content=b"", headers=raw)
    assert response.json() == {"name": "ä.txt", "type": None, "content": ""}


async def test_bytes_of_no_known_kind_need_no_name(client: httpx2.AsyncClient) -> None:
    response = await send(client, content_type="application/octet-stream")
    assert response.json() == {"name": None, "type": "application/octet-stream", "content": "bytes"}


async def test_json_is_a_body_unless_it_is_named(client: httpx2.AsyncClient) -> None:
    assert (await send(client, b'{"n": 3}', content_type="application/json")).json() == {"n": 3}
    named = await send(client, b'{"n": 3}', content_type="application/json", content_disposition="attachment")
    assert named.json()["content"] == '{"n": 3}'
    assert (await send(client, b"x", content_type="application/json")).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content_type": "text/plain"},
        {"content_type": "text/csv"},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": "multipart/form-data; boundary=x"},
        {"content_type": "multipart/form-data; boundary=x", "content_disposition": "attachment; filename=a"},
        {"content_type": "application/octet-stream", "content_encoding": "gzip"},
    ],
)
async def test_what_could_be_a_form_or_is_no_plain_file_is_refused(
    client: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    response = await send(client, b"bytes", **headers)
    assert response.status_code == 415
    assert response.json()["type"] == "/problems/unsupported-media-type"


@pytest.mark.parametrize("length", [str(DEFAULT_LIMITS.delivery + 1), "9" * 5000, "x", "-1"])
async def test_a_file_that_is_too_large_is_refused_before_it_is_sent(length: str) -> None:
    async def receive() -> Any:
        raise AssertionError("This was read.")

    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", length.encode())]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with pytest.raises(ServiceError, match="up to 1073741824 bytes"):
        await UploadReader(Body, ["application/json"]).read(request)
