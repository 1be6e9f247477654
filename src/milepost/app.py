"""How do the parts make one application? `Milepost` is a registry of task types, wired to store, files and service."""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from milepost import calling, times
from milepost.access.limits import DEFAULT_LIMITS, Limits
from milepost.access.principal import LOCAL
from milepost.children import scope_of, start_child
from milepost.engine.background import BackgroundLoop, run_together
from milepost.engine.context import Place
from milepost.engine.deliver import Deliver
from milepost.engine.due import Due
from milepost.engine.expire import Expire, Forget, Sweep
from milepost.engine.host_worker import HostWorker
from milepost.engine.relatives import ChildStart
from milepost.engine.rescue import Rescue
from milepost.engine.slots import Slots
from milepost.engine.task_type import Duration, EngineRunner, TaskType
from milepost.engine.worker import DEFAULT_CONCURRENCY, DEFAULT_GRACE, Worker
from milepost.errors import Fault, Invalid, NotOpen, ServiceError
from milepost.files.folder import FolderFiles
from milepost.intake import Upload, deliver
from milepost.sealing import configured
from milepost.service import MANY, Created, Service, Wish
from milepost.start import Start
from milepost.store.refusals import StoreBusy, StoreFull
from milepost.task import Task
from milepost.times import Clock
from milepost.told import unavailable
from milepost.url import told
from milepost.wish import checked, wish

if TYPE_CHECKING:
    from milepost.http.app import HttpApp
    from milepost.http.dialect import Authenticator, Dialect
    from milepost.http.forwarded import Forwarding

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_STORE = "milepost.db"

OPTIONS: Final = tuple(signature(TaskType).parameters)[1:]
"""What `task` takes beside the function."""

NOT_OPEN = (
    "Milepost is not open, because its lifespan does not run. Give it to the application that is served: "
    "FastAPI(lifespan=app.lifespan), or Starlette(lifespan=app.lifespan). Elsewhere, work inside "
    "`async with app.opened():`."
)


class Milepost:
    """An application: task types, and where their records and files live.

    `store` is a path or `sqlite:///path`; by default `$MILEPOST_STORE`, else `milepost.db` in the current folder.
    `files` is the folder of result files, by default beside the store. `files_root` is the folder beneath which
    callers may name paths, by default the current one. `callback_allow` are networks, as `10.1.0.0/16`, whose addresses
    callbacks may call although they are local, by default those of `$MILEPOST_CALLBACK_ALLOW`, parted by commas.
    `public_url` is where clients find it, by default `$MILEPOST_PUBLIC_URL`.
    `secret_key` is what `Secret` arguments are sealed with, by default `$MILEPOST_SECRET_KEY`; see docs/secrets.md.
    `dialects` are those that it is served in. `limits` say how much callers may take and tasks may say. Raises
    ValueError for what is no path, store, network, URL or key.
    """

    def __init__(
        self,
        store: str | Path | None = None,
        *,
        files: Path | str | None = None,
        files_root: Path | str | None = None,
        callback_allow: str | Iterable[str] | None = None,
        public_url: str | None = None,
        secret_key: str | None = None,
        dialects: "Sequence[Dialect] | None" = None,
        limits: Limits = DEFAULT_LIMITS,
        clock: Clock = times.now,
    ) -> None:
        self.path = _default_path() if store is None else _path(store)
        self.types: dict[str, TaskType] = {}
        self.dialects = dialects
        self.limits = limits
        beside = self.path.with_name(f"{self.path.name}.files")
        self._files_folder = beside if files is None else _folder("files", files)
        root = os.environ.get("MILEPOST_FILES_ROOT") or "." if files_root is None else files_root
        self._files_root = _folder("files_root", root)
        self.callback_allow = calling.said(callback_allow)
        self._outbound = calling.outbound(self.callback_allow)
        self.public_url = calling.public_url(public_url)
        self.sealing = configured(secret_key)
        self._clock = clock
        self._service: Service | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._webs: list[HttpApp] = []
        self._host_worker: HostWorker | None = None

    # Registering.

    @overload
    def task(self, function: F, /) -> F: ...

    @overload
    def task(
        self,
        *,
        name: str | None = None,
        retries: int = 0,
        timeout: Duration | None = None,
        runner: EngineRunner | None = None,
        backoff: Duration = "1s",
        backoff_max: Duration = "10m",
        concurrency: int | None = None,
        priority: int = 0,
        keep_result: Duration | None = None,
        keep_record: Duration | None = None,
    ) -> Callable[[F], F]: ...

    def task(self, function: Any = None, **options: Any) -> Any:
        """Make a function a task type, named after itself unless `name` says otherwise; used as a decorator.

        `retries`: tries after the first that failed, `backoff` to `backoff_max` apart. `timeout`: of one try.
        `runner`: `loop` (default for async functions), `thread` (for plain ones) or `process`. `concurrency`: how many
        of its tasks run at once, over all workers. `priority`: higher first. `keep_result`, `keep_record`: retention.
        Raises ValueError for an option, name or signature that does not work, TypeError for an option that is none.
        """
        if unknown := options.keys() - OPTIONS:
            raise TypeError(f"There is no option {min(unknown)!r}; there are {', '.join(OPTIONS)}.")
        if isinstance(function, str):
            raise TypeError(f"Write @app.task(name={function!r}): what is given without a name is the function.")

        def register(function: F) -> F:
            self._add(TaskType(function, **options))
            return function

        return register if function is None else register(function)

    def include(self, other: "Milepost") -> None:
        """Take over the task types of another instance. ValueError where a name is taken."""
        if not isinstance(other, Milepost):
            raise TypeError(f"What is included is another Milepost, not {type(other).__name__}.")
        for task_type in other.types.values():
            self._add(task_type)

    def _add(self, task_type: TaskType) -> None:
        taken = self.types.get(task_type.name)
        if taken is not None and taken.function is not task_type.function:
            places = " and ".join(f"{t.function.__module__}.{t.function.__qualname__}" for t in (taken, task_type))
            raise ValueError(f"Two functions want to be the task type {task_type.name!r}: {places}.")
        self.types[task_type.name] = task_type
        task_type.function.__milepost__ = task_type  # type: ignore[attr-defined]  # how a process of its own finds it

    # Running.

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Service]:
        """Open the store and make the types known; inside, `service` is there. May not be entered twice at once.

        Left without an error, it cancels the tasks started inside with `durable=False` that have not begun.
        """
        if self._service is not None:
            raise RuntimeError("This Milepost is open already.")
        from milepost.store.sqlite.store import SqliteStore  # a process that runs one task opens no store

        store = SqliteStore(self.path, max_log_bytes=self.limits.log, max_log_lines=self.limits.log_lines)
        await store.open()
        files = FolderFiles(self._files_folder)
        try:
            await store.publish_types([task_type.info for task_type in self.types.values()])
            for web in self._webs:
                web.begin()
            self._loop = asyncio.get_running_loop()
            self._service = service = Service(store, files, clock=self._clock, limits=self.limits, sealing=self.sealing)
            await service.callbacks.signing.seal_all()
            yield service
            await service.close()
        finally:
            self._service = self._loop = None
            await files.close()
            await store.close()

    @contextlib.asynccontextmanager
    async def lifespan(self, web: object = None) -> AsyncIterator[None]:  # noqa: ARG002 - what frameworks call it with
        """For `FastAPI(lifespan=app.lifespan)` and Starlette alike: open while the application runs.

        Looks after the store meanwhile, and lets event streams end when the server is told to stop. Runs no tasks:
        `milepost worker` does, or `lifespan_with_worker`.
        """
        from milepost.http.signals import heeded

        async with self.opened(), self.maintenance():
            for served in self._webs:
                await served.log_access()
            with heeded(self._stop_webs, self._end_worker):
                yield

    @contextlib.asynccontextmanager
    async def lifespan_with_worker(
        self, web: object = None, *, concurrency: int = DEFAULT_CONCURRENCY, grace: float = DEFAULT_GRACE
    ) -> AsyncIterator[None]:
        """As `lifespan`, with a worker on the application's event loop.

        Of all processes of a host that serve these types from this store one runs it, and another takes over when that
        one ends. `concurrency`: how many tasks it runs at once. `grace`: seconds that they have, at the end, to end
        themselves or reach a checkpoint. Raises ValueError for numbers that are none.
        """
        _check_numbers(concurrency, grace)
        async with self.lifespan(web):
            self._host_worker = HostWorker(
                self._worker_lock(),
                lambda slots: self._make_worker(slots, grace=grace, loops=()),
                concurrency=concurrency,
            )
            async with self._host_worker.running():
                yield

    @property
    def service(self) -> Service:
        """What callers may do. NotOpen, a RuntimeError, outside `opened()` or the lifespan."""
        if self._service is None:
            raise NotOpen(NOT_OPEN)
        return self._service

    def asgi(
        self,
        dialects: "Sequence[Dialect] | None" = None,
        *,
        authenticator: "Authenticator | None" = None,
        forwarding: "Forwarding | None" = None,
    ) -> "HttpApp":
        """The HTTP API as an ASGI application, to serve or to mount.

        In these dialects, else in those that this instance was made with, else in the native one. `authenticator` says
        who calls; without one the keys of the store do, and until the first of them is made everybody on this machine
        may do everything, and nobody else may. `forwarding` says which proxies to believe, and the public URL: by
        default none, and this instance's.
        """
        from milepost.http.app import HttpApp  # a worker, and a process that runs one task, need no HTTP
        from milepost.http.dialects.native import Native
        from milepost.http.forwarded import Forwarding

        web = HttpApp(
            lambda: self.service,
            dialects or self.dialects or [Native()],
            authenticator=authenticator,
            forwarding=forwarding or Forwarding(public_url=self.public_url),
            limits=self.limits,
            lifespan=self._lifespan_of_web,
        )
        self._webs.append(web)
        return web

    def worker(self, *, concurrency: int = DEFAULT_CONCURRENCY, grace: float = DEFAULT_GRACE) -> Worker:
        """A worker for these types; `grace` in seconds. Only while open. Raises ValueError for what is no number."""
        _check_numbers(concurrency, grace)
        return self._make_worker(Slots(concurrency), grace=grace, loops=self._loops())

    @contextlib.asynccontextmanager
    async def maintenance(self) -> AsyncIterator[None]:
        """Run the background loops in this process; a worker does so anyhow. Only while open."""
        async with run_together(self._loops()):
            yield

    @contextlib.asynccontextmanager
    async def _lifespan_of_web(self, web: object) -> AsyncIterator[None]:
        """Where a server serves just the API, or passes the lifespan on to what is mounted as well."""
        async with contextlib.AsyncExitStack() as stack:
            if self._service is None:
                await stack.enter_async_context(self.lifespan(web))
            yield

    def _stop_webs(self) -> None:
        for web in self._webs:
            web.stop()

    def _end_worker(self) -> None:
        if self._host_worker is not None:
            self._host_worker.end()

    def _make_worker(self, slots: Slots, *, grace: float, loops: Iterable[BackgroundLoop]) -> Worker:
        return Worker(
            self.types,
            self.service.store,
            self.service.files,
            self._place(),
            start_child=self._start_child,
            scope_of=scope_of,
            slots=slots,
            grace=grace,
            loops=loops,
            largest_value=self.limits.result,
            largest_file=self.limits.result_file,
            sealing=self.sealing,
            clock=self._clock,
        )

    async def _start_child(self, parent: Task, asked: ChildStart) -> Task:
        """See `milepost.engine.relatives.StartChild`."""
        try:
            start = checked(Start(type=asked.type, input=asked.input, **asked.options))
        except TypeError as error:  # an option that there is not
            raise Invalid(Fault(f"{error}.")) from None
        return await start_child(self.service, parent, start, asked.key)

    def _worker_lock(self) -> Path:
        """A file beside the store, for these types: another application on the same store may bring others."""
        names = blake2b("\n".join(sorted(self.types)).encode(), digest_size=4).hexdigest()
        store = self.path.resolve()
        return store.with_name(f"{store.name}-worker-{names}")

    def _loops(self) -> list[BackgroundLoop]:
        store, files = self.service.store, self.service.files
        loops: list[type[BackgroundLoop]] = [Rescue, Due, Expire, Sweep, Forget]
        body = partial(calling.callback_body, public_url=self.public_url)
        telling = Deliver(store, files, self._clock, outbound=self._outbound, body=body, sealing=self.sealing)
        return [*(loop(store, files, self._clock) for loop in loops), telling]

    def _place(self) -> Place:
        return Place(str(self._files_folder.resolve() / "tasks"), str(self._files_root.absolute()))

    # Starting from Python.

    async def start(
        self,
        type: str,
        input: Mapping[str, Any] | None = None,
        *,
        owner: str | None = None,
        tenant: str | None = None,
        timeout: Duration | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Task:
        """Start a task; it is durable when this returns. Only while open, and on the event loop that it was opened on.

        `timeout` is of each try. `options` are the other fields of `milepost.start.Start`: title, run_at (µs),
        priority, depends_on, durable … Raises TypeError for one that there is not, ValueError for a timeout that is
        none, milepost.errors.Invalid, naming the argument, and its kin, NotOpen, and RuntimeError on another event
        loop.
        """
        service = self._service_here()
        options |= {"owner": owner, "tenant": tenant, "timeout": timeout, "idempotency_key": idempotency_key}
        asked = wish({"type": type, "input": {} if input is None else input, **options})
        created = await service.start(LOCAL, asked.start, origin="python", idempotency_key=asked.idempotency_key)
        return created.task

    async def start_many(self, starts: Iterable[Mapping[str, Any]]) -> list[Task | ServiceError]:
        """Start tasks, each by a mapping of what `start` takes: type, input, title, idempotency_key …

        Each has its outcome, in their order: the task, or the error why it is refused, which keeps no other from being
        started. All are durable when this returns. Raises as `start` does for what no start could be, before any is
        made: ValueError for a timeout that is none, TypeError for a name that there is not; they say which one it is.
        """
        service = self._service_here()
        wishes = [_wish_of_many(number, start) for number, start in enumerate(starts)]
        outcomes: list[Task | ServiceError] = []
        for first in range(0, len(wishes), MANY):
            some = wishes[first : first + MANY]
            made = iter(await self._start_some(service, [one for one in some if isinstance(one, Wish)]))
            outcomes += [next(made) if isinstance(one, Wish) else one for one in some]
        return outcomes

    async def _start_some(self, service: Service, wishes: Sequence[Wish]) -> list[Task | ServiceError]:
        try:
            made = await service.start_many(LOCAL, wishes, origin="python")
        except (StoreBusy, StoreFull) as error:
            return [unavailable(error)] * len(wishes)
        return [outcome.task if isinstance(outcome, Created) else outcome for outcome in made]

    async def deliver(
        self,
        standing: Task | str,
        input: Mapping[str, Any] | None = None,
        *,
        files: Iterable[Path | str] = (),
        idempotency_key: str | None = None,
    ) -> Task:
        """Deliver to a standing task, given or named by its id: the task that this starts, of the same type.

        Its input is the standing task's own with `input` over it; it finds copies of the `files` in `ctx.files`. Raises
        milepost.errors.NotFound, Conflict (it takes none, or none now), Invalid, TooLarge, and OSError for a file that
        can't be read; else as `start`.
        """
        service = self._service_here()
        paths = [Path(file) for file in files]
        created = await deliver(
            service,
            LOCAL,
            standing.id if isinstance(standing, Task) else standing,
            input=input or {},
            files=[Upload(path, path.name) for path in paths],
            idempotency_key=idempotency_key,
        )
        return created.task

    def _service_here(self) -> Service:
        """The service, for a caller on its event loop."""
        service = self.service
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                "This Milepost is open on another event loop. From a plain function that Starlette or FastAPI runs in "
                "a thread, call anyio.from_thread.run(app.start, TYPE, INPUT)."
            )
        return service


def _wish_of_many(number: int, start: Mapping[str, Any]) -> Wish | Invalid:
    """One start of many. What no start could be is raised, saying which it is."""
    try:
        return wish(start)
    except Invalid as error:
        return error
    except (TypeError, ValueError) as error:
        raise type(error)(f"starts[{number}]: {error}") from None


def _check_numbers(concurrency: object, grace: object) -> None:
    if not isinstance(concurrency, int) or concurrency < 1:
        raise ValueError(f"concurrency must be a whole number from 1, not {concurrency!r:.60}.")
    if not isinstance(grace, int | float) or not grace >= 0:
        raise ValueError(f"grace must be a number of seconds, not {grace!r:.60}.")


def _default_path() -> Path:
    store = os.environ.get("MILEPOST_STORE", DEFAULT_STORE)
    if not store:
        raise ValueError("MILEPOST_STORE is empty: let it have the path of a store, or unset it.")
    return _path(store)


def _folder(name: str, folder: str | Path) -> Path:
    if not isinstance(folder, str | Path):
        raise TypeError(f"{name} must be the path of a folder, not {type(folder).__name__}.")
    if not str(folder) or "\0" in str(folder):
        raise ValueError(f"{name}: {folder!r:.80} is no path; the current folder is '.'.")
    return Path(folder)


def _path(store: str | Path) -> Path:
    """Where a store is. Raises ValueError for what is no path, and TypeError for what is no text either."""
    if not isinstance(store, str | Path):
        raise TypeError(f"store must be a path, or text such as sqlite:///path, not {type(store).__name__}.")
    text = str(store)
    is_url = isinstance(store, str) and _NO_PATH.match(store) is not None
    path = text.removeprefix("sqlite:///") if is_url else text
    # What a URL may end with, other programs would heed: it is not to become a part of the name.
    if not path or "\0" in path or (is_url and (path == text or set(path) & set("?#"))):
        raise ValueError(f"{told(text)!r:.80} names no store: write a path, or sqlite:///path.")
    return Path(path)


_NO_PATH: Final = re.compile(r"\w+://|(sqlite|file|postgres|postgresql):|:memory:$")
"""What is meant to be something else than a path, and would be a file of an odd name."""
