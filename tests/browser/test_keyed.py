"""A web page of somebody else's, in a real browser, does nothing and reads nothing where keys are asked for.

There is nothing that a browser sends by itself and that is a right here: no cookie, no password of HTTP's own. So a
page gets what anybody gets who has no key, whatever it sends; and what everybody may read it does not get either.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from milepost import Milepost
from milepost.access.principal import LOCAL
from milepost.http.app import HttpApp
from milepost.http.dialects.cloudcoin import OTHER_NAMES
from milepost.http.dialects.known import dialects
from tests.browser.conftest import EVIL, Open, Recorded, site
from tests.browser.test_open_mode import BEACON, FETCH, FORMS, FRAME, LOADS, SOCKET, STREAM, kept_out, origins
from tests.http.conftest import EXPORT, served
from tests.http.dialects.addresses import TENANT
from tests.http.dialects.asking import ASKED, About, Place, Starting

pytestmark = pytest.mark.asyncio(loop_scope="module")

PUBLIC: Final = ("/docs", "/openapi.json", "/openapi/quant.json", "/healthz", "/readyz", "/problems/gone", "/")
KINDS: Final = ("application/json", "text/plain", "multipart/form-data; boundary=x", "application/octet-stream")


class Keyed(Open):
    """A server that asks for keys, and a key that the page does not have."""

    key: str
    place: Place
    link: str
    web: HttpApp


@pytest_asyncio.fixture(loop_scope="module")
async def keyed(tmp_path: Path) -> AsyncIterator[Keyed]:
    """A server in all dialects with a task that has ended; its result is a secret."""
    app = Milepost(tmp_path / "milepost.db", files=tmp_path / "files", files_root=tmp_path)

    @app.task
    async def export() -> str:
        return "secret"

    async with app.opened() as service:
        commands = [msgspec.structs.replace(EXPORT, name=name) for name in OTHER_NAMES.values()]
        await service.store.publish_types(commands)
        task = await app.start("export", tenant=TENANT)
        worker = app.worker(grace=1)
        working = asyncio.create_task(worker.run())
        task = await service.wait(LOCAL, task.id, timeout=10_000_000, until_end=True)
        worker.stop()
        await working
        _, key = await service.keys.add("ops", ["*:service"])
        web = app.asgi(dialects=list(dialects()))
        recorded = Recorded(web)
        async with served(recorded, web.stop, http="httptools") as url:
            found = Keyed(service, url, task)
            found.key = key
            found.link = await service.link(LOCAL, task.id)
            found.place = Place(TENANT, task.id, task.number, await service.token_of(task))
            found.requests = recorded.seen
            yield found


async def unharmed(keyed: Keyed) -> None:
    """Nothing was started or changed, and nobody got a private answer."""
    assert await keyed.tasks() == [keyed.task]
    good = [seen for seen in keyed.requests if seen.rpartition(" ")[2][0] == "2"]
    assert not [seen for seen in good if seen.split()[1] not in (*PUBLIC, "/api", "/metavault/api")], good


def calls(keyed: Keyed) -> list[tuple[str, str]]:
    """One request for each operation of each dialect."""
    found = []
    for operations in ASKED.values():
        for operation, (asked, *_) in operations.items():
            path = asked.path
            path = keyed.place.within(path) if isinstance(asked, About | Starting) else path.format(tenant=TENANT)
            found.append((operation.split()[0], path))
    return found


FETCH_ALL: Final = f"""async ([origin, calls, modes, kinds]) => {{
    const fetched = {FETCH};
    const all = [];
    for (const [method, path] of calls)
        for (const mode of modes)
            for (const kind of method === 'GET' ? [null] : kinds)
                all.push([method, path, mode, kind]);
    return await Promise.all(all.map(async ([method, path, mode, kind]) => {{
        const options = {{method, mode, credentials: 'include'}};
        if (kind !== null)
            Object.assign(options, {{body: '{{"type": "export"}}', headers: {{'content-type': kind}}}});
        return [method, path, mode, kind, await fetched([origin + path, options])];
    }}));
}}"""


async def test_a_foreign_page_gets_nothing_by_any_operation_of_any_dialect(page: Page, keyed: Keyed) -> None:
    async with site("") as foreign:
        for origin in origins(foreign)[::2]:
            await page.goto(origin)
            asked = [keyed.url, calls(keyed), ["cors", "no-cors"], KINDS]
            for *call, got in await page.evaluate(FETCH_ALL, asked):
                assert kept_out(got), (origin, call, got)
            read = [keyed.url, [("GET", path) for path in (*PUBLIC, f"/results/{keyed.link}")], ["cors"], [None]]
            for *call, got in await page.evaluate(FETCH_ALL, read):
                assert kept_out(got), (origin, call, got)
    assert any(seen.startswith("POST ") for seen in keyed.requests), "some do arrive, and are refused there"
    keyed.requests[:] = [seen for seen in keyed.requests if "/results/" not in seen]  # it knows the link
    await unharmed(keyed)


async def test_who_knows_a_key_still_can_not_show_it_from_a_foreign_page(page: Page, keyed: Keyed) -> None:
    """A browser asks before it sends such a header elsewhere, and nobody says yes: no CORS header is ever sent."""
    shown = {"authorization": f"Bearer {keyed.key}"}
    async with site("") as foreign:
        await page.goto(foreign)
        for options in ({"headers": shown}, {"method": "POST", "body": "{}", "headers": shown}):
            assert "refused" in await page.evaluate(FETCH, [f"{keyed.url}/v1/tasks", options])
            silent = await page.evaluate(FETCH, [f"{keyed.url}/v1/tasks", {**options, "mode": "no-cors"}])
            assert kept_out(silent)
    assert all(seen.endswith(("401", "405", "415")) for seen in keyed.requests), keyed.requests
    await unharmed(keyed)


async def test_what_the_browser_knows_of_a_site_is_no_right(browser: Browser, keyed: Keyed) -> None:
    """A cookie and a password that it has for this server go with every request of any page; they count for nothing."""
    context = await browser.new_context(http_credentials={"username": "ops", "password": keyed.key, "send": "always"})
    try:
        await context.add_cookies(
            [{"name": name, "value": keyed.key, "url": keyed.url} for name in ("key", "token", "session")]
        )
        page = await context.new_page()
        async with site("") as foreign:
            await page.goto(foreign)
            asked: Any = [keyed.url, calls(keyed), ["no-cors"], ["text/plain"]]
            for *call, got in await page.evaluate(FETCH_ALL, asked):
                assert kept_out(got), call
        await page.goto(f"{keyed.url}/healthz")
        for *call, got in await page.evaluate(FETCH_ALL, [keyed.url, calls(keyed), ["same-origin"], KINDS]):
            if call[1] not in ("/api", "/metavault/api"):
                assert got["status"] in (401, 405), (call, got)
    finally:
        await context.close()
    await unharmed(keyed)


SUBMIT: Final = """async (forms) => {
    await Promise.all(forms.map((html, index) => {
        const frame = Object.assign(document.createElement('iframe'), {name: 'frame' + index});
        const place = Object.assign(document.createElement('div'), {innerHTML: html});
        document.body.append(frame, place);
        place.firstElementChild.target = frame.name;
        return new Promise(resolve => {
            frame.onload = resolve;
            place.firstElementChild.submit();
        });
    }));
}"""


async def test_no_form_changes_anything(page: Page, keyed: Keyed) -> None:
    paths = [path for method, path in calls(keyed) if method == "POST"]
    assert len(paths) > 10
    forms = [form.replace("ACTION", keyed.url + path) for form in FORMS.values() for path in paths]
    async with site("<body></body>") as foreign:
        await page.goto(foreign)
        await page.evaluate(SUBMIT, forms)
    assert len(keyed.requests) == len(forms)
    assert all(seen.endswith(("401", "404", "405")) for seen in keyed.requests), keyed.requests
    await unharmed(keyed)


@pytest.mark.parametrize("kind", ["script", "module", "image", "style", "video", "object"])
async def test_no_element_of_a_foreign_page_loads_anything(kind: str, page: Page, keyed: Keyed) -> None:
    """JSON is no script to a browser either: what everybody may read is said to be nothing else."""
    paths = [path for method, path in calls(keyed) if method == "GET" and "events" not in path][::3]
    async with site("<body></body>") as foreign:
        await page.goto(foreign)
        links = () if kind == "object" else (f"/results/{keyed.link}",)
        for path in (*paths, "/openapi.json", "/readyz", *links):
            event = await page.evaluate(LOADS, [keyed.url + path, kind])
            if kind != "object":
                assert event.startswith("error"), (path, event)


async def test_no_frame_of_a_foreign_page_shows_anything(page: Page, keyed: Keyed) -> None:
    async with site("<body></body>") as foreign:
        await page.goto(foreign)
        for path in ("/docs", "/docs/quant", "/", "/v1/tasks"):
            assert await page.evaluate(FRAME, keyed.url + path) in (None, ""), path
        for frame in page.frames[1:]:
            text = await frame.content()
            assert "secret" not in text
            assert "Start a task" not in text


BEGIN: Final = """([tag, url]) => {
    const made = document.createElement(tag);
    made[tag === 'object' ? 'data' : 'src'] = url;
    document.body.append(made);
}"""


@pytest.mark.parametrize("tag", ["iframe", "object", "embed"])
async def test_what_a_link_leads_to_is_a_download_and_shown_nowhere(tag: str, page: Page, keyed: Keyed) -> None:
    async with site("<body></body>") as foreign:
        await page.goto(foreign)
        async with page.expect_download() as downloading:
            await page.evaluate(BEGIN, [tag, f"{keyed.url}/results/{keyed.link}"])
        download = await downloading.value
        assert download.suggested_filename
        assert all(["secret" not in await frame.content() for frame in page.frames])


async def test_no_stream_and_no_beacon_of_a_foreign_page_gets_in(page: Page, keyed: Keyed) -> None:
    events = f"/v1/tasks/{keyed.task.id}/events"
    async with site("") as foreign:
        for origin in origins(foreign):
            await page.goto(origin)
            assert await page.evaluate(STREAM, keyed.url + events) == "error"
            assert await page.evaluate(SOCKET, f"ws://127.0.0.1:{keyed.port}{events}") == "error"
            assert await page.evaluate(BEACON, [f"{keyed.url}/v1/tasks", "{}"]) == [True, True, True]
        await page.goto(f"{keyed.url}/healthz")
    await unharmed(keyed)


async def test_a_name_that_was_rebound_has_no_key(page: Page, keyed: Keyed) -> None:
    """The page may read then what everybody may, and asks for the rest as anybody without a key does."""
    own = f"http://{EVIL}:{keyed.port}"
    await page.goto(f"{own}/healthz")
    for *call, got in await page.evaluate(FETCH_ALL, [own, calls(keyed), ["cors"], KINDS]):
        if call[1] not in ("/api", "/metavault/api"):
            assert got["status"] == 401, (call, got)
            assert keyed.task.id not in got["body"] or keyed.task.id in call[1]
    assert await page.evaluate(STREAM, f"{own}/v1/tasks/{keyed.task.id}/events") == "error"
    await unharmed(keyed)


async def test_our_own_page_with_a_key_does_all_that_programs_can(page: Page, keyed: Keyed) -> None:
    """What is kept out is kept out by where it comes from, and not by being a browser."""
    await page.goto(f"{keyed.url}/healthz")
    shown = {"authorization": f"Bearer {keyed.key}", "content-type": "application/json"}
    body = f'{{"type": "export", "tenant": "{TENANT}"}}'
    started = await page.evaluate(FETCH, ["/v1/tasks", {"method": "POST", "body": body, "headers": shown}])
    assert started["status"] == 202
    read = await page.evaluate(FETCH, [f"/v1/tasks/{keyed.task.id}/result", {"headers": shown}])
    assert "secret" in read["body"]
