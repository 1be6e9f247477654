import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import anyio.from_thread
import httpx2
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from milepost import Context, Milepost, times
from milepost.access.principal import LOCAL, Principal
from milepost.errors import Invalid, NotOpen, Unavailable
from milepost.http.dialect import Operation
from milepost.service import MANY, Service
from milepost.store.refusals import StoreBusy
from milepost.task import JsonResult, State, Task
from milepost.times import SECOND

from .http.conftest import in_memory, served

PATIENCE = 60 * SECOND


class Make(Protocol):
    """Puts an application beneath a path of somebody else's."""

    def __call__(self, app: Milepost, lifespan: Any = None) -> Any: ...


def application(folder: Path, store: str = "shop.db") -> Milepost:
    app = Milepost(folder / store)

    @app.task
    async def greet(ctx: Context, *, name: str) -> str:
        return f"Hello, {name}!"

    @app.task
    async def spin(ctx: Context) -> None:
        n = ctx.saved or 0
        while True:
            n += 1
            ctx.progress(message="spinning")
            await ctx.checkpoint(n)
            await asyncio.sleep(0.005)

    return app


@pytest.fixture
def app(tmp_path: Path) -> Milepost:
    return application(tmp_path)


def fastapi(app: Milepost, lifespan: Any = None, **options: Any) -> FastAPI:
    web = FastAPI(lifespan=lifespan or app.lifespan, **options)

    @web.post("/before")
    async def before(name: str) -> str:
        return (await app.start("greet", {"name": name})).id

    web.mount("/operations", app.asgi())

    @web.get("/after")
    async def after() -> str:
        return "theirs"

    return web


def starlette(app: Milepost, lifespan: Any = None) -> Starlette:
    async def before(request: Request) -> Response:
        return JSONResponse((await app.start("greet", {"name": request.query_params["name"]})).id)

    async def after(request: Request) -> Response:
        return JSONResponse("theirs")

    routes = [Route("/before", before, methods=["POST"]), Mount("/operations", app.asgi()), Route("/after", after)]
    return Starlette(routes=routes, lifespan=lifespan or app.lifespan)


@contextlib.asynccontextmanager
async def running(web: Any, **config: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a real server in this process, with a lifespan."""
    async with served(web, lifespan="on", **config) as url, httpx2.AsyncClient(base_url=url, timeout=30) as client:
        yield client


async def until_said(service: Service, task: Task, message: str) -> None:
    while task.message != message:
        later = await service.wait(LOCAL, task.id, timeout=PATIENCE, version=task.version)
        assert later.version > task.version
        task = later


# The store.


@pytest.mark.parametrize(
    ("store", "path"),
    [("x.db", "x.db"), (Path("a/x.db"), "a/x.db"), ("sqlite:///x.db", "x.db"), ("sqlite:////srv/x.db", "/srv/x.db")],
)
def test_a_store_is_named_by_path_or_url(store: str | Path, path: str) -> None:
    assert Milepost(store).path == Path(path)


@pytest.mark.parametrize(
    "store",
    [
        *("", "sqlite://", "sqlite:///", "sqlite://x.db", "sqlite:x.db", "sqlite:///x.db?mode=ro", "sqlite:///x.db#a"),
        *("mysql://x", "postgres:x", "file:x.db", ":memory:", "x\0.db"),
    ],
)
def test_what_names_no_store_is_refused(store: str) -> None:
    with pytest.raises(ValueError, match="names no store: write a path, or sqlite:///path"):
        Milepost(store)


def test_what_is_no_path_at_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match=r"store must be a path, .* not int"):
        Milepost(5)  # type: ignore[arg-type]
    monkeypatch.setenv("MILEPOST_STORE", "")
    with pytest.raises(ValueError, match="MILEPOST_STORE is empty"):
        Milepost()
    assert Milepost("x.db").path == Path("x.db")


# Beneath somebody's paths.


async def test_an_application_says_that_it_is_open_until_its_store_has_a_key(
    app: Milepost, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(fastapi(app)) as client:
        assert [record.message for record in caplog.records if record.name == "milepost.http.app"] == [
            "No key is asked for: everybody on this machine may do everything"
        ]
        assert (await client.get("/operations/v1/tasks")).status_code == 200
        _, secret = await app.service.keys.add("ada", ["default:member"])
        assert (await client.get("/operations/v1/tasks")).status_code == 401
        shown = {"authorization": f"Bearer {secret}"}
        assert (await client.get("/operations/v1/tasks", headers=shown)).json()["tasks"] == []
        await app.start("greet", {"name": "Ada"})  # whoever writes Python needs no key
        assert len((await client.get("/operations/v1/tasks", headers=shown)).json()["tasks"]) == 1
    caplog.clear()
    async with running(fastapi(app)) as client:
        assert not [record for record in caplog.records if record.name == "milepost.http.app"]
        assert (await client.get("/operations/readyz")).json()["open_mode"] is False


@pytest.mark.parametrize("make", [fastapi, starlette])
async def test_it_lives_beside_the_routes_of_others(make: Make, app: Milepost) -> None:
    async with running(make(app, app.lifespan_with_worker)) as client:
        task_id = (await client.post("/before?name=Ada")).json()
        record = await client.get(f"/operations/v1/tasks/{task_id}?wait=30&version=1")
        while record.json()["state"] != "succeeded":
            record = await client.get(f"/operations/v1/tasks/{task_id}?wait=30&version={record.json()['version']}")
        assert record.json()["result"] == "Hello, Ada!"
        assert (await client.get("/after")).json() == "theirs"
        assert (await client.get("/v1/tasks")).status_code == 404


@pytest.mark.parametrize("make", [fastapi, starlette])
async def test_what_it_links_to_is_beneath_its_prefix(make: Make, app: Milepost) -> None:
    async with running(make(app)) as client:
        started = await client.post("/operations/v1/tasks", json={"type": "greet", "input": {"name": "Ada"}})
        assert started.status_code == 202
        location = started.headers["location"]
        assert location == f"/operations/v1/tasks/{started.json()['id']}"
        assert (await client.get(location)).json()["id"] == started.json()["id"]
        home = await client.get("/operations", follow_redirects=True)
        assert (home.status_code, home.url.path) == (200, "/operations/docs")
        assert "href='/operations/openapi/native.json'" in home.text
        assert (await client.get("/operations/openapi.json")).json()["servers"] == [{"url": "/operations"}]


@pytest.mark.parametrize("seen", ["/operations", "/api/operations"])
async def test_behind_a_proxy_too_whether_it_takes_its_prefix_off_or_not(seen: str, app: Milepost) -> None:
    web = fastapi(app)
    async with app.lifespan(web), in_memory(web, root_path="/api") as client:
        started = await client.post(f"{seen}/v1/tasks", json={"type": "greet", "input": {"name": "Ada"}})
        assert started.headers["location"] == f"/api/operations/v1/tasks/{started.json()['id']}"
        assert "href='/api/operations/openapi/native.json'" in (await client.get(f"{seen}/docs")).text


async def test_behind_a_server_with_a_root_path(app: Milepost) -> None:
    async with running(fastapi(app), root_path="/api") as client:
        started = await client.post("/operations/v1/tasks", json={"type": "greet", "input": {"name": "Ada"}})
        assert started.headers["location"] == f"/api/operations/v1/tasks/{started.json()['id']}"


async def test_where_clients_find_it_is_said_once(tmp_path: Path) -> None:
    app = Milepost(tmp_path / "milepost.db", public_url="https://example.com/ops")

    @app.task
    async def export(ctx: Context) -> None: ...

    async with app.lifespan(), in_memory(app.asgi()) as client:
        response = await client.post("/v1/tasks", json={"type": "export"})
    assert response.headers["location"] == f"/ops/v1/tasks/{response.json()['id']}"


async def test_middleware_of_theirs_is_no_hindrance(app: Milepost) -> None:
    web = fastapi(app, app.lifespan_with_worker)
    web.add_middleware(GZipMiddleware)

    @web.middleware("http")
    async def sign(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers["x-shop"] = "theirs"
        return response

    async with running(web) as client:
        task = await app.start("spin")
        path = f"/operations/v1/tasks/{task.id}"
        later = await client.get(f"{path}?wait=30&version={task.version}")
        assert (later.json()["version"] > task.version, later.headers["x-shop"]) == (True, "theirs")
        states = []
        async with client.stream("GET", f"{path}/events") as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data:") and "state" in (said := json.loads(line.removeprefix("data:"))):
                    states.append(said["state"])
                    if len(states) == 1:
                        assert (await client.post(f"{path}/cancel")).status_code == 202
        assert states[-1] == "cancelled"


async def test_it_can_be_all_that_is_served(app: Milepost) -> None:
    async with running(app.asgi()) as client:
        assert (await client.get("/readyz")).json()["types"] == ["greet", "spin"]
    with pytest.raises(NotOpen):
        _ = app.service


async def test_a_lifespan_that_is_passed_on_to_what_is_mounted_opens_nothing_twice(app: Milepost) -> None:
    web = app.asgi()
    async with app.lifespan():
        async with running(web) as client:
            assert (await client.get("/readyz")).status_code == 200
        await app.start("greet", {"name": "Ada"})


async def test_others_can_say_who_calls(app: Milepost) -> None:
    class Sessions:
        async def __call__(self, request: Request, operation: Operation, credentials: str | None) -> Principal:
            return Principal(request.cookies["who"], "", LOCAL.grants)

    web = Starlette(routes=[Mount("/operations", app.asgi(authenticator=Sessions()))], lifespan=app.lifespan)
    async with app.lifespan(web), in_memory(web, host="shop.example.com") as client:
        started = await client.post(
            "/operations/v1/tasks", json={"type": "greet", "input": {"name": "Ada"}}, headers={"cookie": "who=ada"}
        )
        assert started.json()["owner"] == "ada"


# The lifespan.


@pytest.mark.parametrize("make", [fastapi, starlette])
async def test_without_it_the_first_request_says_which_line_is_missing(
    make: Make, app: Milepost, caplog: pytest.LogCaptureFixture
) -> None:
    web = make(app, lambda _: contextlib.nullcontext())
    async with running(web) as client:
        for path in ("/operations/v1/tasks", "/operations/docs"):
            response = await client.get(path)
            assert (response.status_code, response.headers["content-type"]) == (503, "application/problem+json")
            assert response.json()["type"] == "/problems/not-open"
            assert "FastAPI(lifespan=app.lifespan)" in response.json()["detail"]
            assert "retry-after" not in response.headers
    told = [record for record in caplog.records if record.name == "milepost.http.app"]
    assert [(record.levelno, record.exc_info) for record in told] == [(logging.ERROR, None)] * 2
    assert "FastAPI(lifespan=app.lifespan)" in told[0].getMessage()


async def test_without_it_starting_a_task_says_so_too(app: Milepost) -> None:
    with pytest.raises(RuntimeError, match=r"FastAPI\(lifespan=app\.lifespan\)"):
        await app.start("greet", {"name": "Ada"})


async def test_it_goes_into_a_lifespan_of_one_s_own(app: Milepost) -> None:
    steps = []

    @contextlib.asynccontextmanager
    async def lifespan(web: FastAPI) -> AsyncIterator[None]:
        async with app.lifespan(web):
            steps.append(len(await app.service.types()))
            yield
            steps.append(len(await app.service.types()))

    async with running(fastapi(app, lifespan)) as client:
        assert (await client.post("/before?name=Ada")).status_code == 200
        steps.append(0)
    assert steps == [2, 0, 2]


async def test_two_of_them_in_a_process_keep_apart(tmp_path: Path) -> None:
    one, two = application(tmp_path, "one.db"), application(tmp_path, "two.db")

    @contextlib.asynccontextmanager
    async def lifespan(web: FastAPI) -> AsyncIterator[None]:
        async with one.lifespan_with_worker(web), two.lifespan_with_worker(web):
            yield

    web = FastAPI(lifespan=lifespan)
    web.mount("/one", one.asgi())
    web.mount("/two", two.asgi())
    async with running(web) as client:
        tasks = [await app.start("greet", {"name": name}) for app, name in ((one, "Ada"), (two, "Bob"))]
        for app, task, result in zip((one, two), tasks, (b'"Hello, Ada!"', b'"Hello, Bob!"'), strict=True):
            ended = await app.service.wait(LOCAL, task.id, timeout=PATIENCE, until_end=True)
            assert ended.state is State.SUCCEEDED
            assert isinstance(ended.result, JsonResult)
            assert ended.result.value is not None
            assert bytes(ended.result.value) == result
        assert (await client.get(f"/one/v1/tasks/{tasks[0].id}")).status_code == 200
        assert (await client.get(f"/two/v1/tasks/{tasks[0].id}")).status_code == 404


async def test_who_only_serves_looks_after_the_store_all_the_same(app: Milepost) -> None:
    async with app.lifespan():
        task = await app.start("greet", {"name": "Ada"}, run_at=times.now() + SECOND)
        assert task.state is State.SCHEDULED
        later = await app.service.wait(LOCAL, task.id, timeout=PATIENCE, version=task.version)
        assert later.state is State.QUEUED


def test_it_can_run_again_in_another_event_loop(app: Milepost) -> None:
    web = fastapi(app)
    for _ in range(2):
        with TestClient(web, base_url="http://localhost") as client:
            soon = times.to_rfc3339(times.now() + SECOND // 2)
            task = {"type": "greet", "input": {"name": "Ada"}, "run_at": soon}
            started = client.post("/operations/v1/tasks", json=task)
            assert client.get(f"{started.headers['location']}?wait=30&version=1").json()["state"] == "queued"


# From plain functions.


async def test_a_plain_route_starts_tasks_through_the_event_loop(app: Milepost) -> None:
    web = fastapi(app)

    @web.post("/plain")
    def plain(name: str) -> str:
        return anyio.from_thread.run(app.start, "greet", {"name": name}).id

    @web.post("/titled")
    def titled(name: str) -> str | None:
        return anyio.from_thread.run(partial(app.start, "greet", {"name": name}, title="For Ada")).title

    async with running(web) as client:
        task_id = (await client.post("/plain?name=Ada")).json()
        assert (await client.get(f"/operations/v1/tasks/{task_id}")).json()["state"] == "queued"
        assert (await client.post("/titled?name=Ada")).json() == "For Ada"


async def test_another_event_loop_is_told_how(app: Milepost) -> None:
    def run() -> None:
        asyncio.run(app.start("greet", {"name": "Ada"}))

    async with app.lifespan():
        with pytest.raises(RuntimeError, match=r"anyio\.from_thread\.run\(app\.start, TYPE, INPUT\)"):
            await asyncio.to_thread(run)


# With a worker.


async def test_at_the_end_tasks_reach_their_next_checkpoint(app: Milepost) -> None:
    async with app.lifespan_with_worker():
        task = await app.start("spin")
        await until_said(app.service, task, "spinning")
    async with app.opened() as service:
        after = await service.get(LOCAL, task.id)
        assert (after.state, after.losses, after.attempt) == (State.QUEUED, 0, 1)
        assert await service.workers() == []


async def test_one_that_is_cancelled_has_no_time_for_that(app: Milepost) -> None:
    started: asyncio.Future[Task] = asyncio.get_running_loop().create_future()

    async def run() -> None:
        async with app.lifespan_with_worker(grace=3600):
            task = await app.start("wait")
            await until_said(app.service, task, "waiting")
            started.set_result(task)
            await asyncio.Event().wait()

    @app.task
    async def wait(ctx: Context) -> None:
        ctx.progress(message="waiting")
        await asyncio.Event().wait()

    async with asyncio.timeout(60):
        serving = asyncio.create_task(run())
        task = await started
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
    async with app.opened() as service:
        assert (await service.get(LOCAL, task.id)).state is State.RUNNING


async def test_one_works_and_another_takes_over(tmp_path: Path) -> None:
    one, two = application(tmp_path), application(tmp_path)
    async with two.lifespan_with_worker():
        async with one.lifespan_with_worker():
            task = await two.start("spin")
            await until_said(two.service, task, "spinning")
            assert len(await one.service.workers()) == 1
        again = await two.service.get(LOCAL, task.id)
        while again.state is not State.RUNNING:
            again = await two.service.wait(LOCAL, task.id, timeout=PATIENCE, version=again.version)
        assert len(await two.service.workers()) == 1


async def test_who_has_other_types_works_beside_it(tmp_path: Path) -> None:
    one, two = application(tmp_path), Milepost(tmp_path / "shop.db")

    @two.task
    async def pack(ctx: Context) -> str:
        return "packed"

    async with one.lifespan_with_worker(), two.lifespan_with_worker():
        for app, name, given in ((one, "greet", {"name": "Ada"}), (two, "pack", {})):
            task = await app.start(name, given)
            ended = await app.service.wait(LOCAL, task.id, timeout=PATIENCE, until_end=True)
            assert ended.state is State.SUCCEEDED
        assert len(await one.service.workers()) == 2


# Many at once.


async def test_p1_many_are_started_at_once_with_an_outcome_each(app: Milepost) -> None:
    async with app.opened() as service:
        outcomes = await app.start_many(
            [
                {"type": "greet", "input": {"name": "Ada"}, "title": "One", "timeout": "1m", "tenant": "acme"},
                {"type": "greet", "input": {"nam": "Ada"}},
                {"type": "spin", "idempotency_key": "k"},
                {"type": "spin", "idempotency_key": "k"},
            ]
        )
        first, refused, second, again = outcomes
        assert isinstance(first, Task)
        assert (first.title, first.timeout, first.tenant, first.origin) == ("One", 60 * SECOND, "acme", "python")
        assert isinstance(refused, Invalid)
        assert isinstance(second, Task)
        assert second == again
        assert await service.get(LOCAL, first.id) == first
        assert await app.start_many([]) == []


async def test_very_many_are_started_in_several_batches_and_a_busy_store_refuses_only_its_own(
    app: Milepost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with app.opened() as service:
        create = service.store.create
        sizes: list[int] = []

        async def second_is_busy(items: Any, **now: int) -> Any:
            sizes.append(len(items))
            if len(sizes) == 2:
                raise StoreBusy
            return await create(items, **now)

        monkeypatch.setattr(service.store, "create", second_is_busy)
        outcomes = await app.start_many({"type": "spin"} for _ in range(2 * MANY + 1))
        assert sizes == [MANY, MANY, 1]
        assert [type(outcome) for outcome in outcomes] == [*[Task] * MANY, *[Unavailable] * MANY, Task]


@pytest.mark.parametrize(
    ("wrong", "error", "why"),
    [
        ({"type": "spin", "timeout": "soon"}, ValueError, "timeout: not a duration"),
        ({"type": "spin", "timeout": []}, ValueError, "timeout: a duration is text such as 90s, .* not list"),
        ({"type": "spin", "colour": "red"}, TypeError, "'colour'"),
        ({"title": "Spin"}, TypeError, "'type'"),
        ("spin", TypeError, "A start is a mapping .* not str"),
    ],
)
async def test_what_is_no_start_at_all_starts_nothing(app: Milepost, wrong: Any, error: type, why: str) -> None:
    async with app.opened() as service:
        with pytest.raises(error, match=rf"starts\[1\]: .*{why}"):
            await app.start_many([{"type": "spin"}, wrong])
        assert await service.tally(LOCAL) == []


def test_options_of_a_type_that_there_are_not_are_named() -> None:
    app = Milepost("x.db")
    with pytest.raises(TypeError, match="There is no option 'retry'; there are name, retries, timeout, "):
        app.task(retry=3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"Write @app\.task\(name='export'\)"):
        app.task("export")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="another Milepost, not module"):
        app.include(json)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["files", "files_root"])
def test_folders_that_are_none(name: str) -> None:
    for folder, error in (("", ValueError), ("a\0", ValueError), (5, TypeError)):
        with pytest.raises(error, match=f"^{name}"):
            Milepost("x.db", **{name: folder})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("numbers", "name"),
    [({"concurrency": 0}, "concurrency"), ({"concurrency": "2"}, "concurrency"), ({"grace": -1}, "grace")],
)
async def test_numbers_of_a_worker_that_are_none(app: Milepost, numbers: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be"):
        async with app.lifespan_with_worker(**numbers):
            pass
    async with app.opened():
        with pytest.raises(ValueError, match=f"^{name} must be"):
            app.worker(**numbers)


async def test_many_need_an_open_application_on_its_own_event_loop(app: Milepost) -> None:
    with pytest.raises(NotOpen):
        await app.start_many([{"type": "spin"}])
    async with app.opened():
        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(lambda: asyncio.run(app.start_many([{"type": "spin"}])))


async def test_opening_once_more_does_not_resume_a_paused_type(app: Milepost) -> None:
    async with app.opened() as service:
        await service.pause_type(LOCAL, "greet")
    async with app.opened() as service:
        assert [(info.name, info.paused) for info in await service.types()] == [("greet", True), ("spin", False)]


async def test_what_was_not_to_outlive_the_application_is_cancelled_when_it_is_left(tmp_path: Path) -> None:
    app = application(tmp_path)
    async with app.opened():
        kept = await app.start("greet", {"name": "Ada"})
        fleeting = await app.start("greet", {"name": "Bob"}, durable=False)
        with pytest.raises(Invalid, match="/durable"):
            await app.start("greet", {"name": "Cy"}, durable="no")
    async with app.opened() as service:
        assert (await service.get(LOCAL, kept.id)).state is State.QUEUED
        assert (await service.get(LOCAL, fleeting.id)).state is State.CANCELLED


async def test_an_application_that_an_error_ends_cancels_nothing(tmp_path: Path) -> None:
    app = application(tmp_path)
    with contextlib.suppress(KeyError):
        async with app.opened():
            task = await app.start("greet", {"name": "Ada"}, durable=False)
            raise KeyError
    async with app.opened() as service:
        assert (await service.get(LOCAL, task.id)).state is State.QUEUED
