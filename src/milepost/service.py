"""What may a caller do with tasks?

Every operation takes the principal who asks, checks what it may do, and acts through the store. Dialects know nothing
else of Milepost than this class and the record; the permission check is made here, once.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import uuid_utils
from msgspec import Raw

from milepost import lifecycle, times
from milepost.access.keyring import Keyring
from milepost.access.limits import DEFAULT_LIMITS, Limits
from milepost.access.links import Linked, Links
from milepost.access.principal import Principal, Role
from milepost.access.tokens import Tokens
from milepost.callbacks import Callbacks
from milepost.errors import (
    Fault,
    Forbidden,
    Invalid,
    NotFound,
    ServiceError,
)
from milepost.files.protocol import FileStore
from milepost.key_management import KeyManagement
from milepost.lifecycle import Step
from milepost.reopening import changed
from milepost.results import ResultBody, result_body
from milepost.sealing import Sealing
from milepost.start import DEFAULT_RETENTION, Retention, Start
from milepost.starts import DEFAULT_TENANT as DEFAULT_TENANT
from milepost.starts import MANY as MANY
from milepost.starts import Starts
from milepost.starts import Wish as Wish
from milepost.store.api_keys import ApiKey as ApiKey
from milepost.store.protocol import (
    EVERYTHING,
    Cold,
    Deleted,
    Deletion,
    Edit,
    Page,
    StartKey,
    Tally,
    TaskStore,
)
from milepost.store.protocol import Created as Created
from milepost.store.protocol import Filter as Filter
from milepost.store.protocol import LogPage as LogPage
from milepost.store.protocol import TypeInfo as TypeInfo
from milepost.store.refusals import BadCursor, Refusal
from milepost.store.workers import WorkerInfo
from milepost.task import JsonResult, Task, parse_id
from milepost.tenants import Tenants
from milepost.times import SECOND, Clock, elapsed, never_back
from milepost.told import done
from milepost.update import Update, checked, updated
from milepost.webhook_management import WebhookManagement

LOG_PAGE = 1000
"""Log entries that a stream reads at once, where they are small."""

T = TypeVar("T")


class News(NamedTuple):
    """What a stream tells: new log entries, and the record once they are complete up to its version."""

    entries: Sequence[Any]
    task: Task | None


class Service:
    """The operations that callers have.

    `clock` gives µs since the epoch, `timer` µs since some moment, `new_id` a fresh task id.
    """

    def __init__(
        self,
        store: TaskStore,
        files: FileStore,
        *,
        clock: Clock = times.now,
        timer: Clock = elapsed,
        new_id: Callable[[], str] = lambda: str(uuid_utils.uuid7()),
        retention: Retention = DEFAULT_RETENTION,
        limits: Limits = DEFAULT_LIMITS,
        sealing: Sealing = Sealing(),  # noqa: B008 - it has no keys, and never changes
    ) -> None:
        self.store = store
        self.files = files
        # Nobody is to see what had expired come back because a clock was set.
        self.clock = never_back(clock)
        self.retention = retention
        self.limits = limits
        self.starts = Starts(
            store,
            clock=self.clock,
            timer=timer,
            new_id=new_id,
            retention=retention,
            limits=limits,
            sealing=sealing,
        )
        self.keys = Keyring(store, self.clock, timer)
        self.key_management = KeyManagement(self.keys, limits.keys)
        self.callbacks = Callbacks(store, self.clock, sealing)
        self.webhook_management = WebhookManagement(self.callbacks.signing)
        self._known_links: Links | None = None
        self._known_tokens: Tokens | None = None
        self.tenants = Tenants(store)

    async def close(self) -> None:
        """Cancel the tasks that were not to outlive this service, and have not begun; write which keys were used.

        For who has made it, at its end.

        The store is open until then, and workers of this process have ended.
        """
        await self.starts.close()
        await self.keys.close()

    # Starting.

    async def start(
        self,
        principal: Principal,
        start: Start,
        *,
        origin: str,
        idempotency_key: str | None = None,
        parent: Task | None = None,
        known_by: StartKey | None = None,
    ) -> Created:
        """Make a task; it is durable when this returns. With a key that was used before: the task of then.

        `parent` and `known_by` are as in `Wish`. Raises Invalid, Forbidden, TooMany, UniqueKeyConflict, KeyConflict,
        Gone; of children also ParentLost, ParentStopping.
        """
        (outcome,) = await self.start_many(principal, [Wish(start, idempotency_key, parent, known_by)], origin=origin)
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome

    async def start_many(
        self, principal: Principal, wishes: Sequence[Wish], *, origin: str
    ) -> list[Created | ServiceError]:
        """Make tasks, in one batch of the store's; one outcome a wish, in their order. A refused one fails alone.

        All are durable when this returns. Others' writes wait for it, so give some hundreds at a time (`MANY`).
        """
        return await self.starts.many(principal, wishes, origin=origin)

    async def check(self, principal: Principal, start: Start, *, origin: str) -> None:
        """What a start would be refused for before the store is asked, without starting anything. Raises as `start`."""
        await self.starts.check(principal, start, origin=origin)

    async def type_info(self, name: str) -> TypeInfo | None:
        """What is known of a task type, as of the last second; None where nobody has made it known."""
        return await self.starts.type_info(name)

    # Reading.

    async def get(self, principal: Principal, task_id: str) -> Task:
        """Read a record. Raises NotFound."""
        found = await self.store.get([_id(task_id)], principal.scope(), now=self.clock())
        return _found(found[0])

    async def cold(self, principal: Principal, task_id: str) -> Cold:
        """Read input, checkpoint and, for admins, the traceback. Raises NotFound."""
        task = await self.get(principal, task_id)
        cold = _found((await self.store.cold([task.id], principal.scope(), now=self.clock()))[0])
        traceback = cold.traceback if principal.holds(task.tenant, Role.ADMIN) else None
        return msgspec.structs.replace(cold, traceback=traceback, sealed=None)

    async def wait(
        self,
        principal: Principal,
        task_id: str,
        *,
        timeout: int,
        version: int | None = None,
        until_end: bool = False,
    ) -> Task:
        """Read a record once it is past `version` (by default the present one) or at its end, within `timeout` µs.

        `until_end`: only its end counts. Raises NotFound, also when it disappears.
        """
        deadline = elapsed() + timeout  # no clock that somebody sets
        task = await self.get(principal, task_id)
        seen = task.version if version is None else version
        while not (task.state.terminal or (task.version > seen and not until_end)):
            left = deadline - elapsed()
            if left <= 0:
                break
            past = task.version if until_end else seen
            del task  # thousands wait here, and nobody needs it
            await self.store.wait(_id(task_id), version=past, timeout=left)
            task = await self.get(principal, task_id)
        return task

    async def find(self, principal: Principal, filter: Filter, *, after: str | None = None, limit: int = 50) -> Page:
        """List the records that the caller may see, newest first. Raises Invalid for a cursor that is none."""
        limit = min(limit, self.limits.page)
        try:
            return await self.store.find(filter, principal.scope(), after=after, limit=limit, now=self.clock())
        except BadCursor as error:
            raise Invalid(Fault("This cursor is not one that a list gave.", parameter="after")) from error

    async def log(self, principal: Principal, task_id: str, *, after: int = 0, limit: int = 100) -> LogPage:
        """Read log entries with a sequence number above `after`. Raises NotFound."""
        scope = principal.scope()
        return _found(await self.store.log(_id(task_id), scope, after=after, limit=limit, now=self.clock()))

    async def history(
        self, principal: Principal, task_ids: Sequence[str], *, before: int | None = None, limit: int = 100
    ) -> list[LogPage | None]:
        """Read the newest states and outcomes of tasks, of each up to `limit` with a sequence number below `before`.

        They come newest first, with the record of the same moment. None for a task that is not there for this caller.
        """
        ids = [_id(task_id) for task_id in task_ids]
        return await self.store.history(ids, principal.scope(), before=before, limit=limit, now=self.clock())

    async def follow(
        self, principal: Principal, task_id: str, *, since_version: int = 0, pause: int = 15 * SECOND
    ) -> AsyncGenerator[News, None]:
        """Tell of a task as it changes, until its end; whatever `since_version` has not seen comes first.

        When nothing happens for `pause` µs, empty news say that the stream lives. Raises NotFound, also when it
        disappears.
        """
        seen, after = since_version, 0
        while True:
            page = _found(
                await self.store.log(
                    _id(task_id),
                    principal.scope(),
                    after=after,
                    since_version=since_version,
                    limit=LOG_PAGE,
                    now=self.clock(),
                )
            )
            after = page.entries[-1].seq if page.entries else after
            task = page.task
            if page.entries and after < task.log_seq:
                yield News(page.entries, None)
                continue
            yield News(page.entries, task if task.version > seen else None)
            seen = max(seen, task.version)
            if task.state.terminal and task.next_run_at is None:
                return
            del page, task  # thousands wait here, and nobody needs them
            await self.store.wait(_id(task_id), version=seen, timeout=pause)

    async def result(self, principal: Principal, task_id: str) -> ResultBody:
        """The result as bytes. Raises NotFound, NotReady, Conflict (ended without one), Gone (past its retention)."""
        task = await self.get(principal, task_id)
        return await result_body(task, self.store, self.files, principal.scope(), clock=self.clock)

    async def value(self, principal: Principal, task: Task) -> Raw | None:
        """The JSON value that is a task's result, however large; None where it has none, none any more, or a file."""
        match task.result:
            case JsonResult(value=None):
                stored = await self.store.result(task.id, principal.scope(), run=task.run, now=self.clock())
                return None if stored is None else Raw(stored)
            case JsonResult(value=value):
                return value
        return None

    async def link(self, principal: Principal, task_id: str) -> str:
        """What leads whoever has it to the task's result for an hour, and never longer than that is kept.

        Raises as `result` does.
        """
        await self.result(principal, task_id)
        task = await self.get(principal, task_id)
        return (await self._links()).make(Linked(task.id, task.run), now=self.clock() // SECOND)

    async def linked_result(self, link: str) -> ResultBody:
        """The result that a link leads to. Raises NotFound for what is none, or none any more."""
        linked = (await self._links()).read(link, now=self.clock() // SECOND)
        found = None if linked is None else (await self.store.get([linked.task_id], EVERYTHING, now=self.clock()))[0]
        if linked is None or found is None or found.run != linked.run or found.result is None:
            raise NotFound("This link leads nowhere, or its time is over.")
        return await result_body(found, self.store, self.files, EVERYTHING, clock=self.clock)

    async def _links(self) -> Links:
        if self._known_links is None:
            self._known_links = Links(await self.store.secret())
        return self._known_links

    async def token_of(self, task: Task) -> str:
        """A second name for a task, which can't be worked out from the first. It gives no rights."""
        return (await self._tokens()).make(task.id)

    async def id_of_token(self, token: str) -> str:
        """The id that a token stands for, whether there is such a task or not. Raises NotFound for what is none."""
        return _found((await self._tokens()).read(token))

    async def _tokens(self) -> Tokens:
        if self._known_tokens is None:
            self._known_tokens = Tokens(await self.store.secret())
        return self._known_tokens

    # Acting.

    async def cancel(self, principal: Principal, task_id: str) -> Task:
        """Ask a running task to stop, end any other. Raises NotFound, Conflict."""
        return await self._change(principal, task_id, lambda task, _: lifecycle.cancel(task, now=self.clock()))

    async def pause(self, principal: Principal, task_id: str) -> Task:
        """Ask a running task to stop at its next checkpoint, keep others from starting. Raises NotFound, Conflict."""
        return await self._change(principal, task_id, lambda task, _: lifecycle.pause(task, now=self.clock()))

    async def resume(self, principal: Principal, task_id: str) -> Task:
        """Let a paused task go on. Raises NotFound, Conflict."""
        return await self._change(principal, task_id, lambda task, _: lifecycle.resume(task, now=self.clock()))

    async def retry(self, principal: Principal, task_id: str, *, revive: bool = True) -> Task:
        """Let a failed or cancelled task begin again; with it, if `revive`, those that failed because of it.

        Raises NotFound, Conflict, UniqueKeyConflict, TooMany.
        """
        return await self._change(
            principal,
            task_id,
            lambda task, unmet: lifecycle.retry(task, now=self.clock(), unmet=unmet),
            revives=revive,
        )

    async def run_now(self, principal: Principal, task_id: str) -> Task:
        """Let a task run now: a scheduled one whatever its time, a failed or cancelled one anew, any other once more.

        Nothing changes for one that is queued or runs. Raises NotFound, Conflict, UniqueKeyConflict, TooMany.
        """
        return await self._change(
            principal, task_id, lambda task, unmet: lifecycle.run_now(task, now=self.clock(), unmet=unmet)
        )

    async def update(
        self, principal: Principal, task_id: str, update: Update, *, if_version: int | None = None
    ) -> Task:
        """Change labels, and drive an external task.

        Raises NotFound, Invalid, Conflict, PreconditionFailed; where it begins again by that, as `retry` does.
        """
        depends_on = checked(update)
        now = self.clock()
        return await self._change(
            principal,
            task_id,
            lambda task, unmet: updated(task, update, unmet, now),
            if_version=if_version,
            depends_on=depends_on,
        )

    async def delete(
        self, principal: Principal, task_id: str, *, cascade: bool = False, unfinished: bool = False
    ) -> Deleted:
        """Delete a finished task; with `unfinished` also one that no worker is at, which is cancelled by that.

        Raises NotFound, Forbidden, Conflict, DependentsConflict.
        """
        task = await self.get(principal, task_id)
        if not principal.holds(task.tenant, Role.ADMIN):
            raise Forbidden("Only an admin of the tenant may delete tasks.")
        deletion = Deletion(task.id, principal.scope(), cascade, unfinished)
        deleted = done(await self.store.delete([deletion], now=self.clock()))
        await self.files.delete(deleted.file_keys)
        return deleted

    async def _change(
        self,
        principal: Principal,
        task_id: str,
        apply: Callable[[Task, tuple[str, ...]], Step],
        *,
        if_version: int | None = None,
        depends_on: tuple[str, ...] | None = None,
        revives: bool = True,
    ) -> Task:
        edit = Edit(_id(task_id), principal.scope(), apply, if_version, depends_on, revives)
        return done([await changed(self.store, edit, self.starts.admit, now=self.clock())])

    # What there is.

    async def types(self) -> list[TypeInfo]:
        """The task types that can be started."""
        return await self.store.types()

    async def pause_type(self, principal: Principal, name: str) -> TypeInfo:
        """Keep all tasks of a type from starting, in every tenant; running ones go on. Raises Forbidden, NotFound."""
        return await self._pause_type(principal, name, paused=True)

    async def resume_type(self, principal: Principal, name: str) -> TypeInfo:
        """Let the tasks of a type start again. Raises Forbidden, NotFound."""
        return await self._pause_type(principal, name, paused=False)

    async def _pause_type(self, principal: Principal, name: str, *, paused: bool) -> TypeInfo:
        if not principal.is_service:
            raise Forbidden("Only a service may pause and resume task types: every tenant shares them.")
        (outcome,) = await self.store.pause_types([name], paused=paused)
        if isinstance(outcome, Refusal):
            raise NotFound(f"There is no task type {name!r} here.") from outcome
        return outcome

    async def workers(self) -> list[WorkerInfo]:
        """The workers that are alive."""
        return await self.store.workers()

    async def tally(self, principal: Principal) -> list[Tally]:
        """How many tasks there are that the caller may see, by type and state."""
        return await self.store.tally(principal.scope(), now=self.clock())


def _id(text: str) -> str:
    parsed = parse_id(text)
    if parsed is None:
        raise NotFound("There is no such task.")
    return parsed


def _found(value: T | None) -> T:
    if value is None:
        raise NotFound("There is no such task.")
    return value
