"""Does whatever a task made leave as a file to be saved, in every dialect?

Each request that `asking.py` knows about a task that has succeeded is made, and every link to a result that an answer
names is followed: what comes back with a result's own bytes is a download.
"""

import re
from collections.abc import Mapping
from typing import Final

import httpx2
import msgspec
import pytest

from milepost.access.principal import LOCAL
from milepost.http.app import HttpApp
from milepost.http.dialect import RESULTS
from milepost.task import FileResult, JsonResult, Task
from tests.http.conftest import Tasks, http_app, in_memory

from .addresses import TENANT
from .asking import ASKED, About, Place
from .test_one_rule import spoken

PAGE: Final = b"<script>alert(document.cookie)</script>"
VALUE: Final = b'{"page":"<script>alert(document.cookie)</script>"}'
NAMED: Final = "attachment; filename=\"_bersicht__x: y.html\"; filename*=UTF-8''%C3%9Cbersicht__x%3A%20y.html"
LINK: Final = re.compile(rf'https?://[^"/]+{RESULTS}[^"]+')

READING: Final = [
    (dialect, asked)
    for dialect, operations in ASKED.items()
    for operation, requests in operations.items()
    for asked in requests
    if isinstance(asked, About) and operation.startswith("GET") and asked.status is None
]
WHO: Final = {
    "file": {"native": "itself", "metavault": "itself", "services": "link", "cloudcoin": "link", "quant": "link"},
    "json": {"native": "itself", "metavault": "itself"},
}
"""How each dialect gives who reads the bytes of a result, by what that is; Aparavi gives a link to who delivers."""


@pytest.fixture
def app(tasks: Tasks) -> HttpApp:
    """Every dialect."""
    return http_app(tasks.service, *spoken())


async def with_page(tasks: Tasks) -> Task:
    """A task that made a page with a name and a media type that mean harm."""
    task = await tasks.with_file(PAGE, "../Übersicht\r\nx: y.html", "text/html", tenant=TENANT)
    assert isinstance(task.result, FileResult)
    return task


async def with_value(tasks: Tasks) -> Task:
    """A task that made a value."""
    return await tasks.succeeded(JsonResult(len(VALUE), msgspec.Raw(VALUE)), tenant=TENANT)


def is_to_be_saved(response: httpx2.Response, disposition: str) -> None:
    """Whatever it is, no browser shows or runs it as a page of this server."""
    assert response.headers["content-disposition"] == disposition
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert "x" not in response.headers


async def downloads(client: httpx2.AsyncClient, path: str, headers: Mapping[str, str], content: bytes) -> set[str]:
    """Where the bytes of the result come from: the path itself, or the links that its answer names."""
    response = await client.get(path, headers=headers)
    assert response.headers["x-content-type-options"] == "nosniff", path
    if response.headers["content-type"].partition(";")[0] in ("application/json", "text/event-stream"):
        links = set(LINK.findall(response.text))
        return links if links or response.content not in (content, content[:2]) else {path}
    return {path}


async def is_all_to_be_saved(client: httpx2.AsyncClient, path: str, content: bytes, disposition: str) -> None:
    """So are a part of it, what is known of it, and that it is as it was."""
    whole = await client.get(path)
    assert (whole.status_code, whole.content) == (200, content)
    part = await client.get(path, headers={"range": "bytes=0-7"})
    assert (part.status_code, part.content) == (206, content[:8])
    head = await client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    same = await client.get(path, headers={"if-none-match": whole.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    for response in (whole, part, head, same):
        is_to_be_saved(response, disposition)


@pytest.mark.parametrize("kind", ["file", "json"])
async def test_whatever_leads_to_a_result_leads_to_what_is_to_be_saved(
    kind: str, client: httpx2.AsyncClient, tasks: Tasks
) -> None:
    task = await (with_page(tasks) if kind == "file" else with_value(tasks))
    content, disposition = (PAGE, NAMED) if kind == "file" else (VALUE, 'attachment; filename="result.json"')
    place = Place(task.tenant, task.id, task.number, await tasks.service.token_of(task))
    how: dict[str, str] = {}
    for dialect, asked in READING:
        path = place.within(asked.path)
        for found in await downloads(client, path, asked.send.get("headers", {}), content):
            await is_all_to_be_saved(client, found, content, disposition)
            how[dialect] = "itself" if found == path else "link"
    assert how == WHO[kind]


@pytest.mark.parametrize("kind", ["file", "json"])
async def test_a_link_leads_to_what_is_to_be_saved(kind: str, client: httpx2.AsyncClient, tasks: Tasks) -> None:
    task = await (with_page(tasks) if kind == "file" else with_value(tasks))
    content, disposition = (PAGE, NAMED) if kind == "file" else (VALUE, 'attachment; filename="result.json"')
    await is_all_to_be_saved(client, RESULTS + await tasks.service.link(LOCAL, task.id), content, disposition)


async def test_no_answer_of_any_operation_is_anything_else_than_it_says(app: HttpApp, tasks: Tasks) -> None:
    """Nor are refusals: whatever there is is asked for about a task that has ended, and most of it is not allowed."""
    app.stop()  # so that nobody waits
    task = await with_page(tasks)
    place = Place(task.tenant, task.id, task.number, await tasks.service.token_of(task))
    async with in_memory(app) as client:
        for operations in ASKED.values():
            for operation, requests in operations.items():
                for asked in requests:
                    method, _ = operation.split()
                    response = await client.request(method, place.within(asked.path), **getattr(asked, "send", {}))
                    if response.content:
                        assert response.headers["x-content-type-options"] == "nosniff", (operation, response.text)
