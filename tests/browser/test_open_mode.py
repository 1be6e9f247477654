"""A web page of somebody else's, in a real browser, starts nothing, changes nothing and reads nothing in open mode.

Each attack is a page that tries one way out. What counts is what the store holds afterwards, and what the page got.
"""

from typing import Any

import pytest
from playwright.async_api import Browser, Page

from milepost.access.principal import LOCAL
from milepost.times import SECOND
from tests.browser.conftest import EVIL, Open, site

pytestmark = pytest.mark.asyncio(loop_scope="module")

START = '{"type": "export", "title": "from elsewhere"}'

FETCH = """async ([url, options]) => {
    try {
        const response = await fetch(url, options);
        return {type: response.type, status: response.status, body: await response.text()};
    } catch (error) {
        return {refused: String(error)};
    }
}"""


def kept_out(got: Any) -> bool:
    """Whether a page got nothing: an error, or an opaque answer without a status and a body."""
    return "refused" in got or (got["type"] in ("opaque", "opaqueredirect") and got["status"] == 0 and not got["body"])


async def unharmed(milepost: Open) -> None:
    """Nothing has been started or changed."""
    assert await milepost.tasks() == [milepost.task]


def origins(own: str) -> list[str]:
    """Where a page of somebody else's may come from: another port of this machine, under each of its names."""
    port = own.rpartition(":")[2]
    return [f"http://{host}:{port}" for host in ("127.0.0.1", "localhost", EVIL)]


READS = ("/v1/tasks", "/v1/tasks/{id}", "/v1/tasks/{id}/events", "/v1/tasks/{id}/logs", "/v1/tasks/{id}/result")
PAGES = ("/v1/types", "/docs", "/openapi.json", "/metrics", "/healthz", "/readyz")


@pytest.mark.parametrize("mode", ["cors", "no-cors", "same-origin"])
async def test_a_foreign_page_reads_nothing(mode: str, page: Page, milepost: Open) -> None:
    async with site("") as foreign:
        for origin in origins(foreign):
            await page.goto(origin)
            for path in (*READS, *PAGES):
                for host in ("127.0.0.1", "localhost"):
                    url = f"http://{host}:{milepost.port}{path.format(id=milepost.task.id)}"
                    got = await page.evaluate(FETCH, [url, {"mode": mode, "credentials": "include"}])
                    assert kept_out(got), (origin, url, got)
    answered = [seen for seen in milepost.requests if seen.endswith(("200", "204"))]
    assert answered == []


SENT: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v1/tasks", {"body": START, "headers": {"content-type": "application/json"}}),
    ("POST", "/v1/tasks", {"body": START, "headers": {"content-type": "text/plain"}}),
    ("POST", "/v1/tasks", {"body": START}),
    ("POST", "/v1/tasks", {"body": START, "headers": {"content-type": "text/plain; application/json"}}),
    ("POST", "/v1/tasks/{id}/retry", {}),
    ("POST", "/v1/tasks/{id}/cancel", {"body": "", "headers": {"content-type": "text/plain"}}),
    ("POST", "/v1/tasks/{id}/pause", {"headers": {"x-own": "1"}}),
    ("POST", "/v1/tasks/{id}/deliveries", {"body": "x", "headers": {"content-type": "text/plain"}}),
    (
        "POST",
        "/v1/tasks/{id}/deliveries",
        {"body": "x", "headers": {"content-type": "text/plain", "content-disposition": "attachment; filename=a"}},
    ),
    ("POST", "/v1/tasks/{id}/deliveries", {"body": "x", "headers": {"content-type": "application/octet-stream"}}),
    ("POST", "/v1/tasks/{id}/deliveries", {"body": "{}", "headers": {"content-type": "application/json"}}),
    ("PATCH", "/v1/tasks/{id}", {"body": '{"title": "x"}', "headers": {"content-type": "application/json"}}),
    ("PATCH", "/v1/tasks/{id}", {"body": '{"title": "x"}', "headers": {"content-type": "text/plain"}}),
    ("DELETE", "/v1/tasks/{id}", {}),
    ("PUT", "/v1/tasks/{id}", {"body": "{}"}),
]


@pytest.mark.parametrize("mode", ["cors", "no-cors"])
async def test_a_foreign_page_changes_nothing(mode: str, page: Page, milepost: Open) -> None:
    async with site("") as foreign:
        for origin in origins(foreign):
            await page.goto(origin)
            for method, path, more in SENT:
                url = milepost.url + path.format(id=milepost.task.id)
                got = await page.evaluate(FETCH, [url, {"method": method, "mode": mode, **more}])
                assert kept_out(got), (origin, method, path, got)
    assert any(seen.startswith("POST ") for seen in milepost.requests), "some do arrive, and are refused there"
    assert not [seen for seen in milepost.requests if seen.rpartition(" ")[2].startswith("2")]
    assert not [seen for seen in milepost.requests if seen.startswith("OPTIONS") and not seen.endswith("405")]
    await unharmed(milepost)


FORMS = {
    "text/plain": f"""<form method=post enctype=text/plain action=ACTION>
        <input name='{START[:-1]}, "a": "' value='"}}'></form>""",
    "urlencoded": "<form method=post action=ACTION><input name=type value=export></form>",
    "multipart": "<form method=post enctype=multipart/form-data action=ACTION><input name=type value=export></form>",
    "empty": "<form method=post action=ACTION></form>",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", [f"/v1/tasks{end}" for end in ("", "/{id}/retry", "/{id}/cancel", "/{id}/deliveries")])
async def test_a_form_changes_nothing(form: str, path: str, page: Page, milepost: Open) -> None:
    action = milepost.url + path.format(id=milepost.task.id)
    async with site(FORMS[form].replace("ACTION", action)) as foreign:
        await page.goto(foreign)
        async with page.expect_navigation():
            await page.evaluate("document.forms[0].submit()")
        assert page.url == action, "the form was sent"
    assert milepost.requests == [f"POST {action.removeprefix(milepost.url)} 403"]
    await unharmed(milepost)


LOADS = """async ([url, kind]) => {
    const made = {
        script: () => Object.assign(document.createElement('script'), {src: url}),
        module: () => Object.assign(document.createElement('script'), {src: url, type: 'module'}),
        image: () => Object.assign(new Image(), {src: url}),
        style: () => Object.assign(document.createElement('link'), {rel: 'stylesheet', href: url}),
        video: () => Object.assign(document.createElement('video'), {src: url, preload: 'auto'}),
        object: () => Object.assign(document.createElement('object'), {data: url}),
        embed: () => Object.assign(document.createElement('embed'), {src: url, type: 'text/html'}),
    }[kind]();
    const event = await new Promise(resolve => {
        made.onload = () => resolve('load');
        made.onerror = () => resolve('error');
        window.onerror = (message) => resolve('error: ' + message);
        document.body.append(made);
    });
    return event;
}"""


@pytest.mark.parametrize("kind", ["script", "module", "image", "style", "video", "object"])
async def test_no_element_of_a_foreign_page_loads_anything(kind: str, page: Page, milepost: Open) -> None:
    async with site("<body></body>") as foreign:
        for origin in origins(foreign):
            await page.goto(origin)
            for path in ("/v1/tasks", "/docs", f"/v1/tasks/{milepost.task.id}/result"):
                event = await page.evaluate(LOADS, [milepost.url + path, kind])
                assert event.startswith("error"), (origin, path, event)
    assert milepost.requests
    assert all(seen.endswith("403") for seen in milepost.requests)


FRAME = """async (url) => {
    const frame = document.createElement('iframe');
    await new Promise(resolve => {
        frame.onload = resolve;
        frame.src = url;
        document.body.append(frame);
    });
    try {
        return frame.contentDocument === null ? null : frame.contentDocument.body.innerText;
    } catch (error) {
        return null;
    }
}"""


async def test_no_frame_of_a_foreign_page_shows_anything(page: Page, milepost: Open) -> None:
    async with site("<body></body>") as foreign:
        for origin in origins(foreign):
            await page.goto(origin)
            for path in (*READS, "/docs", "/"):
                url = milepost.url + path.format(id=milepost.task.id)
                assert await page.evaluate(FRAME, url) in (None, ""), (origin, path)
                for frame in page.frames[1:]:
                    assert "secret" not in await frame.content(), (origin, path)
    assert milepost.requests
    assert all(seen.endswith("403") for seen in milepost.requests)


STREAM = """async (url) => {
    const source = new EventSource(url);
    const event = await new Promise(resolve => {
        source.onopen = () => resolve('open');
        source.onmessage = () => resolve('message');
        source.addEventListener('task', () => resolve('message'));
        source.onerror = () => resolve('error');
    });
    source.close();
    return event;
}"""

SOCKET = """async (url) => {
    const socket = new WebSocket(url);
    return await new Promise(resolve => {
        socket.onopen = () => resolve('open');
        socket.onerror = () => resolve('error');
    });
}"""


async def test_no_stream_of_a_foreign_page_opens(page: Page, milepost: Open) -> None:
    async with site("") as foreign:
        for origin in origins(foreign):
            await page.goto(origin)
            assert await page.evaluate(STREAM, f"{milepost.url}/v1/tasks/{milepost.task.id}/events") == "error"
            for path in ("/v1/tasks", f"/v1/tasks/{milepost.task.id}/events"):
                assert await page.evaluate(SOCKET, f"ws://127.0.0.1:{milepost.port}{path}") == "error"


BEACON = """async ([url, body]) => {
    const sent = [
        navigator.sendBeacon(url, body),
        navigator.sendBeacon(url, new Blob([body], {type: 'text/plain'})),
        navigator.sendBeacon(url, new URLSearchParams({type: 'export'})),
    ];
    try {
        navigator.sendBeacon(url, new Blob([body], {type: 'application/json'}));
    } catch {}
    return sent;
}"""


async def test_a_beacon_changes_nothing(page: Page, milepost: Open) -> None:
    async with site("") as foreign:
        await page.goto(foreign)
        for path in ("/v1/tasks", f"/v1/tasks/{milepost.task.id}/retry"):
            assert await page.evaluate(BEACON, [milepost.url + path, START]) == [True, True, True]
        # What was sent before this has arrived, or has been given up, when the server answers the last of it.
        await page.goto(milepost.url + "/healthz")
    posted = [seen for seen in milepost.requests if seen.startswith("POST ")]
    assert all(seen.endswith("403") for seen in posted)
    await unharmed(milepost)


async def test_a_name_that_was_rebound_reads_and_changes_nothing(page: Page, milepost: Open) -> None:
    # The page's own origin is the attacker's name, which by now leads to this server: nothing is foreign to it.
    own = f"http://{EVIL}:{milepost.port}"
    response = await page.goto(f"{own}/docs")
    assert response is not None
    assert response.status == 421
    for path in (*READS, *PAGES):
        got = await page.evaluate(FETCH, [own + path.format(id=milepost.task.id), {}])
        assert got["status"] == 421, path
        assert "secret" not in got["body"]
        assert milepost.task.id not in got["body"]
    for method, path, more in SENT:
        got = await page.evaluate(FETCH, [own + path.format(id=milepost.task.id), {"method": method, **more}])
        assert got["status"] in (405, 421), (method, path)
    assert await page.evaluate(STREAM, f"{own}/v1/tasks/{milepost.task.id}/events") == "error"
    await unharmed(milepost)


async def test_a_window_that_a_foreign_page_opened_can_not_be_read(browser: Browser, milepost: Open) -> None:
    async with site("<body></body>") as foreign:
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(foreign)
        async with context.expect_page() as opened:
            await page.evaluate("url => { window.other = window.open(url) }", f"{milepost.url}/v1/tasks")
        await (await opened.value).wait_for_load_state()
        read = "() => { try { return window.other.document.body.innerText } catch (error) { return error.name } }"
        assert await page.evaluate(read) == "SecurityError"
    await unharmed(milepost)


async def test_our_own_page_does_all_that_programs_can(page: Page, milepost: Open) -> None:
    shown: list[str] = []
    page.on("console", lambda message: shown.append(message.text))
    response = await page.goto(f"{milepost.url}/")
    assert response is not None
    assert response.status == 200
    assert page.url.endswith("/docs")
    assert "Start a task" in await page.content()
    assert shown == [], "nothing was kept from the page that it needs"
    # The page has no script of its own, and lets nothing run; so a record's, where JSON is shown, does the asking.
    await page.goto(f"{milepost.url}/healthz")
    options = {"method": "POST", "body": START, "headers": {"content-type": "application/json"}}
    started = await page.evaluate(FETCH, ["/v1/tasks", options])
    assert started["status"] == 202
    assert len(await milepost.tasks()) == 2
    assert "secret" in (await page.evaluate(FETCH, [f"/v1/tasks/{milepost.task.id}/result", {}]))["body"]
    assert await page.evaluate(STREAM, f"/v1/tasks/{milepost.task.id}/events") in ("open", "message")
    newest = (await milepost.tasks())[0]
    cancelled = await page.evaluate(FETCH, [f"/v1/tasks/{newest.id}/cancel", {"method": "POST"}])
    assert cancelled["status"] == 200
    after = await milepost.service.wait(LOCAL, newest.id, timeout=SECOND, until_end=True)
    assert after.state.terminal
