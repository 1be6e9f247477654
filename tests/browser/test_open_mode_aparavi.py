"""A web page of somebody else's, in a real browser, delivers nothing to a pipeline that takes forms and plain text."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page

from milepost import Milepost
from milepost.access.principal import LOCAL
from milepost.http.dialects.aparavi import Aparavi
from milepost.http.dialects.native import Native
from milepost.task import State
from tests.browser.conftest import Open, Recorded, site
from tests.browser.test_open_mode import FETCH, kept_out, origins
from tests.http.conftest import served

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEND = """async ([url, kind, mode]) => {
    const form = new FormData();
    form.append('files', new Blob(['from elsewhere'], {type: 'text/plain'}), 'a.txt');
    const body = {form, text: 'from elsewhere', blob: new Blob(['from elsewhere']), none: undefined}[kind];
    try {
        const response = await fetch(url, {method: 'PUT', mode, body});
        return {type: response.type, status: response.status, body: await response.text()};
    } catch (error) {
        return {refused: String(error)};
    }
}"""


@pytest_asyncio.fixture(loop_scope="module")
async def standing(tmp_path: Path) -> AsyncIterator[Open]:
    """A server in open mode with a pipeline that stands."""
    app = Milepost(tmp_path / "milepost.db", files=tmp_path / "files", files_root=tmp_path)

    @app.task
    async def pipeline(*, components: list[dict[str, Any]]) -> None: ...

    async with app.opened() as service:
        task = await app.start("pipeline", {"components": []}, runner="external", state=State.RUNNING)
        web = app.asgi(dialects=[Native(), Aparavi()])
        recorded = Recorded(web)
        async with served(recorded, web.stop, http="httptools") as url:
            opened = Open(service, url, task)
            opened.requests = recorded.seen
            yield opened


async def unharmed(milepost: Open) -> None:
    """Nothing was delivered, started or ended."""
    assert await milepost.tasks() == [milepost.task]


async def test_a_foreign_page_delivers_nothing(page: Page, standing: Open) -> None:
    token = await standing.service.token_of(standing.task)
    async with site("") as foreign:
        for origin in origins(foreign):
            await page.goto(origin)
            for kind in ("form", "text", "blob", "none"):
                for mode in ("cors", "no-cors", "same-origin"):
                    got = await page.evaluate(SEND, [f"{standing.url}/webhook?token={token}", kind, mode])
                    assert kept_out(got), (origin, kind, mode, got)
            for method, body in (("GET", None), ("DELETE", None), ("PUT", "{}")):
                got = await page.evaluate(
                    FETCH, [f"{standing.url}/task?token={token}", {"method": method, "body": body}]
                )
                assert kept_out(got), (origin, method, got)
    assert standing.requests, "some do arrive, and are refused there"
    assert not [seen for seen in standing.requests if seen.rpartition(" ")[2].startswith("2")]
    await unharmed(standing)


@pytest.mark.parametrize("kind", ["multipart/form-data", "text/plain", "application/x-www-form-urlencoded"])
async def test_a_form_delivers_nothing(kind: str, page: Page, standing: Open) -> None:
    """A form knows GET and POST alone."""
    token = await standing.service.token_of(standing.task)
    action = f"{standing.url}/webhook?token={token}"
    html = f"<form method=put enctype={kind} action='{action}'><input name=files value=x></form>"
    for method in ("put", "post"):
        async with site(html.replace("method=put", f"method={method}")) as foreign:
            await page.goto(foreign)
            async with page.expect_navigation():
                await page.evaluate("document.forms[0].submit()")
    assert [seen.split()[::2] for seen in standing.requests] == [["GET", "405"], ["POST", "405"]]
    assert (await standing.service.get(LOCAL, standing.task.id)).counts.total is None
    await unharmed(standing)
