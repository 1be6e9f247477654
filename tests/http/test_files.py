import hashlib
from email.message import Message
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from milepost import results
from milepost.access.principal import LOCAL
from milepost.errors import Gone
from milepost.http.files import content_disposition, result_response
from milepost.results import ResultBody
from milepost.store.protocol import TaskStore
from milepost.task import FileResult, JsonResult
from milepost.times import DAY

from .conftest import Clock, Tasks

CONTENT = bytes(range(256)) * 5000
"""More than a piece of the file store."""
SIZE = len(CONTENT)


async def fetch(client: httpx2.AsyncClient, task_id: str, method: str = "GET", **headers: str) -> httpx2.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.request(method, f"/v1/tasks/{task_id}/result", headers=sent)


async def test_a_file_arrives_with_all_that_is_known_of_it(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.with_file(CONTENT, "Wallet_Export-1.csv", "text/csv; charset=latin-1")
    response = await fetch(client, task.id)
    assert response.status_code == 200
    assert response.content == CONTENT
    assert response.headers["content-type"] == "text/csv; charset=latin-1"
    assert response.headers["content-length"] == str(SIZE)
    assert response.headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["content-disposition"] == 'attachment; filename="Wallet_Export-1.csv"'
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, SIZE),
        ("bytes=100-199", 100, 200),
        ("bytes=300000-1000000", 300_000, 1_000_001),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        (f"bytes=5-{SIZE + 100}", 5, SIZE),
        ("bytes=-5", SIZE - 5, SIZE),
        (f"bytes=-{SIZE + 5}", 0, SIZE),
        ("Bytes = 1 - 2", 1, 3),
    ],
)
async def test_a_range_arrives(asked: str, start: int, stop: int, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.with_file(CONTENT)
    response = await fetch(client, task.id, range=asked)
    assert response.status_code == 206
    assert response.content == CONTENT[start:stop]
    assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert response.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize(
    "asked", ["bytes=1-2,5-6", "items=1-2", "bytes=2-1", "bytes=-", "bytes=a-b", "bytes 1-2", "bytes=1", ""]
)
async def test_a_range_that_is_none_is_ignored(asked: str, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    response = await fetch(client, (await tasks.with_file(b"content")).id, range=asked)
    assert (response.status_code, response.content) == (200, b"content")


@pytest.mark.parametrize("asked", ["bytes=7-", "bytes=100-200", "bytes=-0"])
async def test_a_range_outside_is_refused(asked: str, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    response = await fetch(client, (await tasks.with_file(b"content")).id, range=asked)
    assert response.status_code == 416
    assert response.headers["content-range"] == "bytes */7"
    assert response.json()["type"] == "/problems/range-not-satisfiable"


async def test_an_empty_file_has_no_range(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.with_file(b"")
    assert (await fetch(client, task.id)).content == b""
    assert (await fetch(client, task.id, range="bytes=0-")).status_code == 416


async def test_a_range_of_something_else_is_all_of_it(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.with_file(b"content")
    tag = (await fetch(client, task.id)).headers["etag"]
    assert (await fetch(client, task.id, range="bytes=1-2", if_range=tag)).content == b"on"
    for other in ('"other"', f"W/{tag}", "Sat, 29 Oct 1994 19:43:31 GMT"):
        assert (await fetch(client, task.id, range="bytes=1-2", if_range=other)).content == b"content"


async def test_what_the_client_has_is_not_sent_again(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await tasks.with_file(b"content")
    tag = (await fetch(client, task.id)).headers["etag"]
    response = await fetch(client, task.id, if_none_match=tag, range="bytes=0-1")
    assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", tag)


@pytest.mark.parametrize("headers", [{}, {"range": "bytes=1-2"}])
async def test_head_tells_without_sending(headers: Any, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    response = await fetch(client, (await tasks.with_file(b"content")).id, "HEAD", **headers)
    assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "7")


async def test_a_json_result_is_json_of_any_size(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    value = b'{"rows": [' + b"1," * 100_000 + b"1]}"
    task = await tasks.succeeded(JsonResult(len(value), msgspec.Raw(value)))
    response = await fetch(client, task.id)
    assert response.content == value
    assert response.headers["content-type"] == "application/json"
    assert response.headers["etag"] == f'"{task.id}-{task.run}"'
    assert response.headers["content-disposition"] == 'attachment; filename="result.json"'
    assert (await fetch(client, task.id, range="bytes=2-5")).content == b"rows"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PART", 70_000)
    monkeypatch.setattr(results, "PIECE", 30_000)


class Reader:
    """Knows what is read of results from a store."""

    def __init__(self, store: TaskStore) -> None:
        self.parts: list[bytes | None] = []
        self._result = store.result
        store.result = self.result  # type: ignore[method-assign]

    async def result(self, *whose: Any, **part: Any) -> bytes | None:
        self.parts.append(await self._result(*whose, **part))
        return self.parts[-1]


@pytest.mark.usefixtures("small_parts")
async def test_of_a_large_json_result_no_more_is_read_at_once_than_a_part(
    client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    value = msgspec.json.encode(list(range(60_000)))
    task = await tasks.succeeded(JsonResult(len(value), msgspec.Raw(value)))
    reader = Reader(tasks.store)
    whole = await fetch(client, task.id)
    assert (whole.content, whole.headers["content-length"]) == (value, str(len(value)))
    assert {len(part or b"") for part in reader.parts[:-1]} == {70_000}
    reader.parts.clear()
    assert (await fetch(client, task.id, range="bytes=69990-140010")).content == value[69_990:140_011]
    assert [len(part or b"") for part in reader.parts] == [70_000, 21]
    reader.parts.clear()
    assert (await fetch(client, task.id, if_none_match=whole.headers["etag"])).status_code == 304
    assert (await fetch(client, task.id, "HEAD")).headers["content-length"] == str(len(value))
    assert reader.parts == []


@pytest.mark.usefixtures("small_parts")
async def test_p7_a_json_result_that_expires_while_it_is_sent_breaks_off(tasks: Tasks, clock: Clock) -> None:
    value = msgspec.json.encode("x" * 200_000)
    task = await tasks.succeeded(JsonResult(len(value), msgspec.Raw(value)))
    pieces = (await tasks.service.result(LOCAL, task.id)).read(0, None)
    part = [await anext(pieces)]
    clock.ahead = 8 * DAY
    part += [await anext(pieces), await anext(pieces)]
    assert b"".join(part) == value[:70_000]
    with pytest.raises(Gone):
        await anext(pieces)


async def test_a_media_type_that_is_none_does_not_become_a_header(client: httpx2.AsyncClient, tasks: Tasks) -> None:
    for said in (
        "text/html\r\nx-evil: 1",
        "text/html;\nx=1",
        "nonsense",
        "",
        "text/plain; charset=ü",
        'text/plain; a="',
    ):
        task = await tasks.with_file(b"content", media_type=said)
        assert (await fetch(client, task.id)).headers["content-type"] == "application/octet-stream"


async def test_a_file_that_has_just_vanished_is_told_before_anything_is_sent(
    client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    task = await tasks.with_file(b"content")
    assert isinstance(task.result, FileResult)
    await tasks.service.files.delete([task.result.key])
    response = await fetch(client, task.id)
    assert response.status_code == 410
    assert response.json()["type"] == "/problems/gone"


async def test_what_reads_is_closed_when_it_fails() -> None:
    closed = []

    async def read(start: int, stop: int | None) -> Any:
        try:
            raise Gone("just now")
            yield b""
        finally:
            closed.append(True)

    request = Request({"type": "http", "method": "GET", "headers": []})
    with pytest.raises(Gone):
        await result_response(request, ResultBody("a", "text/csv", 5, "0" * 64, read))
    assert closed


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a b.csv", 'attachment; filename="a b.csv"'),
        ("Übung.csv", "attachment; filename=\"_bung.csv\"; filename*=UTF-8''%C3%9Cbung.csv"),
        ('a"b.csv', "attachment; filename=\"a_b.csv\"; filename*=UTF-8''a%22b.csv"),
        ("100%25.csv", "attachment; filename=\"100_25.csv\"; filename*=UTF-8''100%2525.csv"),
        ("../../etc/passwd", 'attachment; filename="passwd"'),
        ("..\\evil.exe", 'attachment; filename="evil.exe"'),
        ("a\r\nx: y", 'attachment; filename="a__x: y"'),
        ("txt\u202eexe", 'attachment; filename="txt_exe"'),
        ("...", 'attachment; filename="result"'),
        ("", 'attachment; filename="result"'),
    ],
)
def test_names_are_made_safe(name: str, expected: str) -> None:
    assert content_disposition(name) == expected


@given(st.text(max_size=50))
def test_any_name_makes_one_header_that_names_one_file(name: str) -> None:
    header = content_disposition(name)
    assert header.isascii()
    assert header.isprintable()
    message = Message()
    message["content-disposition"] = header
    saved = message.get_filename()
    assert saved
    assert not set(saved) & set("/\\\0\r\n")
    assert saved not in (".", "..")
