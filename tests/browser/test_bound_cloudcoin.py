"""A web page of somebody else's, in a real browser, is not taken for the user that CloudCoin's clients are bound to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page

from milepost import Milepost
from milepost.http.dialects.cloudcoin import CloudCoin
from milepost.http.dialects.native import Native
from tests.browser.conftest import Open, Recorded, site
from tests.browser.test_open_mode import FETCH, kept_out, origins
from tests.http.conftest import served

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def bound(tmp_path: Path) -> AsyncIterator[Open]:
    """A server that asks for keys, and takes CloudCoin's clients for somebody who has a task there."""
    app = Milepost(tmp_path / "milepost.db", files=tmp_path / "files")

    @app.task
    async def export() -> None: ...

    async with app.opened() as service:
        await service.keys.add("root", ["wallets:admin"])
        task = await app.start("export", owner="coins", tenant="wallets")
        web = app.asgi(dialects=[Native(), CloudCoin(caller="coins@wallets")])
        recorded = Recorded(web)
        async with served(recorded, web.stop, http="httptools") as url:
            opened = Open(service, url, task)
            opened.requests = recorded.seen
            yield opened


async def test_a_foreign_page_reads_and_begins_nothing(page: Page, bound: Open) -> None:
    task = f"{bound.url}/api/v1/tasks/{bound.task.id}"
    async with site("") as foreign:
        for origin in origins(foreign):
            await page.goto(origin)
            for mode in ("cors", "no-cors", "same-origin"):
                got = await page.evaluate(FETCH, [task, {"mode": mode}])
                assert kept_out(got), (origin, mode, got)
                for body in (None, "{}"):
                    begin = {"method": "POST", "mode": mode, "body": body}
                    got = await page.evaluate(FETCH, [f"{bound.url}/api/v1/export", begin])
                    assert kept_out(got), (origin, mode, body, got)
    assert bound.requests, "some do arrive, and are refused there"
    assert not [seen for seen in bound.requests if seen.rpartition(" ")[2].startswith("2")]
    assert await bound.tasks() == [bound.task]


@pytest.mark.parametrize("kind", ["multipart/form-data", "text/plain", "application/x-www-form-urlencoded"])
async def test_a_form_begins_nothing(kind: str, page: Page, bound: Open) -> None:
    html = f"<form method=post enctype={kind} action='{bound.url}/api/v1/export'><input name=x value=y></form>"
    async with site(html) as foreign:
        await page.goto(foreign)
        async with page.expect_navigation():
            await page.evaluate("document.forms[0].submit()")
    assert [seen.split()[0] for seen in bound.requests] == ["POST"]
    assert await bound.tasks() == [bound.task]
