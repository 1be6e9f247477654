"""What must a store be able to do?

`TaskStore` is an interface of domain operations; how a store keeps its records is its own affair. What every store
promises, and the suite in `tests/store/conformance.py` checks:

- A write that returned is durable: it survives `kill -9` and power loss, and every later read sees it.
- Each operation takes a batch and answers in the same order, one outcome an item. An item that is refused is answered
  with a `Refusal` and changes nothing; its neighbours are not touched by that. Different callers' batches may share a
  transaction.
- Records change only by applying a `Step` of `milepost.lifecycle` to the record as it stands, under the store's lock.
- Every `Step` that leads into another state also settles what hangs on it, in the same transaction: dependents are
  freed, failed or revived.
- Log entries get their sequence numbers at commit, from 1 and without holes, and the version of the step.
- Who may not see a task is answered exactly as if it did not exist, by the same statements.
- A record past its retention is unknown, a result past its own is gone, whether or not `expire` has run.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Protocol

import msgspec

from milepost.lifecycle import IllegalChange, Step
from milepost.task import Entry, Runner, State, Task
from milepost.times import SECOND


class Scope(msgspec.Struct, frozen=True):
    """What a caller may see: all of some tenants' tasks, and in others those that it owns or is assigned to.

    `whole=None` means every tenant.
    """

    name: str
    whole: tuple[str, ...] | None = ()
    own: tuple[str, ...] = ()


EVERYTHING = Scope("", whole=None)
"""What the engine itself sees."""


class Refusal(Exception):
    """Why a store did not do what an item of a batch asked. Returned in the item's place, not raised."""


class Missing(Refusal):
    """No such task, or none that the caller may see."""


class UniqueKeyTaken(Refusal):
    """An unfinished task of the same owner, tenant and type has the same unique key."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        super().__init__(f"Task {task_id} has this unique key and is not finished.")


class DependencyMissing(Refusal):
    """A task named in `depends_on` does not exist in the tenant, or not for the caller."""

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__("No such task.")


class BadCursor(ValueError):
    """A list is to go on from a place that no list gave. Raised."""


class DependencyCycle(Refusal):
    """An edge would make a task wait for itself."""

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__("The task would wait for itself.")


class ParentStops(Refusal):
    """A task is to be cancelled, and so starts no further ones."""


class KeyReused(Refusal):
    """The Idempotency-Key stands for a start with another body."""


class KeyOutlived(Refusal):
    """The Idempotency-Key stands for a task that has been deleted since."""


class VersionMismatch(Refusal):
    """The record is not at the version that the caller expects any more."""


class LeaseLost(Refusal):
    """The worker's epoch of the task is over: what it sends changes nothing."""


class NotFinished(Refusal):
    """A task that is not finished can't be deleted."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        super().__init__(f"Task {task_id} is not finished.")


class HasDependents(Refusal):
    """Tasks that the caller can see depend on this one."""

    def __init__(self, dependents: tuple[str, ...]) -> None:
        self.dependents = dependents
        count = "Another task depends" if len(dependents) == 1 else f"{len(dependents)} other tasks depend"
        super().__init__(f"{count} on this one.")


class IdempotencyKey(msgspec.Struct, frozen=True):
    """A caller's key for one start. `fingerprint` is a hash of the request, `expires_at` when the key is forgotten."""

    key: str
    fingerprint: bytes
    expires_at: int


class Creation(msgspec.Struct, frozen=True):
    """A task to be made. `begin` turns the drafted record, with number and unmet dependencies filled in, into a step.

    `scope` decides which dependencies the caller may name; `input` is JSON. `parent_epoch`: it is made by its parent as
    that runs in this epoch, and not if it does no more.
    """

    draft: Task
    input: bytes
    begin: Callable[[Task], Step]
    scope: Scope
    idempotency: IdempotencyKey | None = None
    parent_epoch: int | None = None


class Created(msgspec.Struct, frozen=True):
    """The task, and whether it was there before (same Idempotency-Key)."""

    task: Task
    replayed: bool = False


class Edit(msgspec.Struct, frozen=True):
    """A caller's change of a task that it can see.

    `apply` is called with the record as it stands and with the ids of its unmet dependencies. `depends_on`, where it is
    not None, replaces the edges first. `if_version`: refuse when the record has another version. `revives`: should the
    task begin again by this, so do those that failed because of it.
    """

    id: str
    scope: Scope
    apply: Callable[[Task, tuple[str, ...]], Step]
    if_version: int | None = None
    depends_on: tuple[str, ...] | None = None
    revives: bool = True


class LeasedEdit(msgspec.Struct, frozen=True):
    """A worker's change of a task whose lease it holds; refused with `LeaseLost` at any other epoch or state."""

    id: str
    epoch: int
    apply: Callable[[Task], Step]


class Deletion(msgspec.Struct, frozen=True):
    """A finished task to delete; with `cascade` whatever depends on it goes too."""

    id: str
    scope: Scope
    cascade: bool = False


class Deleted(msgspec.Struct, frozen=True):
    """What was deleted, and the keys of files that nobody knows any more.

    `more`: `expire` came to its limit, so that there may be more to do.
    """

    ids: tuple[str, ...]
    file_keys: tuple[str, ...] = ()
    more: bool = False


class Claimed(msgspec.Struct, frozen=True):
    """A task under a fresh lease (see its `epoch`), with the cold parts that running it needs."""

    task: Task
    input: bytes
    checkpoint: bytes | None


class Wanted(msgspec.Struct, frozen=True):
    """A type that a worker takes tasks of; `concurrency` limits how many run at once in the whole store."""

    type: str
    concurrency: int | None = None


class Request(msgspec.Struct, frozen=True):
    """A cancel or pause that waits for a running task's worker."""

    id: str
    epoch: int
    cancel: bool
    pause: bool


class Cold(msgspec.Struct, frozen=True):
    """The parts of a record that are read only when asked for."""

    input: bytes
    checkpoint: bytes | None
    traceback: str | None


class Filter(msgspec.Struct, frozen=True):
    """Which tasks to list; None asks for any."""

    tenant: str | None = None
    states: tuple[State, ...] = ()
    type: str | None = None
    owner: str | None = None
    list_id: str | None = None
    parent: str | None = None
    assignee: str | None = None
    depends_on: str | None = None
    number: int | None = None


class Page(msgspec.Struct, frozen=True):
    """Tasks, newest first, and where the next page begins (None: there is none)."""

    tasks: list[Task]
    next: str | None


class LogPage(msgspec.Struct, frozen=True):
    """Log entries in order; `task` is the record at the same moment."""

    task: Task
    entries: list[Entry]


class TypeInfo(msgspec.Struct, frozen=True):
    """What is known of a task type wherever it can be started. `schema` is the JSON Schema of its input.

    `paused`: none of its tasks is claimed; only `TaskStore.pause_types` changes that.
    """

    name: str
    runner: Runner
    schema: dict[str, Any]
    description: str = ""
    max_attempts: int = 1
    timeout: int | None = None
    priority: int = 0
    concurrency: int | None = None
    keep_result: int | None = None
    keep_record: int | None = None
    paused: bool = False


class WorkerInfo(msgspec.Struct, frozen=True):
    """A worker that asks for a lease. `pid` and `host` are for operators."""

    id: str
    host: str
    pid: int
    concurrency: int
    types: tuple[str, ...]
    lease: int = 6 * SECOND
    """How long it may be silent before its tasks are taken from it, in µs."""


class Pulse(msgspec.Struct, frozen=True):
    """A worker whose lease nobody has ended, and how often its heart has beaten.

    Whether it still does, whoever watches sees for itself: no two clocks have to agree on that.
    """

    worker: WorkerInfo
    beats: int


class Tally(msgspec.Struct, frozen=True):
    """How many tasks of a type stand in a state."""

    type: str
    state: State
    tasks: int


class Heart(Protocol):
    """Keeps one worker's lease alive. Used from a thread of its own, with a connection of its own."""

    def beat(self, worker: str) -> bool:
        """Count one more beat; False when the lease is over already, and nothing can bring it back."""
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...


class TaskStore(Protocol):
    """Where records live. Methods without a note behave alike in every store."""

    async def open(self) -> None:
        """Connect, bringing the schema up to date. `SchemaTooNew` where a newer Milepost wrote it."""
        ...

    async def close(self) -> None:
        """Finish what was acknowledged and let go of everything."""
        ...

    # Callers.

    async def create(self, items: Sequence[Creation], *, now: int) -> list[Created | Refusal]:
        """Make tasks.

        Refusals: UniqueKeyTaken, DependencyMissing, KeyReused, KeyOutlived; of children also LeaseLost, ParentStops.
        """
        ...

    async def recall(
        self, tenant: str, owner: str, type: str, key: IdempotencyKey, *, now: int
    ) -> Created | Refusal | None:
        """The task that a key stands for, or why it is refused (KeyReused, KeyOutlived); None: for none.

        For a request that was right when it was made first and would be refused by now.
        """
        ...

    async def get(self, ids: Sequence[str], scope: Scope, *, now: int) -> list[Task | None]:
        """Read records as they stand at `now`; None for those that are not there for this caller."""
        ...

    async def cold(self, ids: Sequence[str], scope: Scope, *, now: int) -> list[Cold | None]:
        """Read the cold parts of records."""
        ...

    async def result(self, id: str, scope: Scope, *, now: int) -> bytes | None:
        """Read a JSON result, however large; None when there is none, or none for this caller."""
        ...

    async def find(self, filter: Filter, scope: Scope, *, after: str | None, limit: int, now: int) -> Page:
        """List records, newest first. `after` is a `Page.next`; BadCursor where it is not."""
        ...

    async def log(
        self,
        id: str,
        scope: Scope,
        *,
        after: int = 0,
        since_version: int = 0,
        limit: int,
        now: int,
    ) -> LogPage | None:
        """Read entries with seq > `after` and version > `since_version`, and the record, from one snapshot."""
        ...

    async def change(self, items: Sequence[Edit], *, now: int) -> list[Task | Refusal | IllegalChange]:
        """Apply callers' changes.

        Refusals: Missing, VersionMismatch, DependencyMissing, DependencyCycle, UniqueKeyTaken.
        `IllegalChange` from `apply` is returned in the item's place too.
        """
        ...

    async def delete(self, items: Sequence[Deletion], *, now: int) -> list[Deleted | Refusal]:
        """Delete finished tasks. Refusals: Missing, NotFinished, HasDependents.

        Dependents that the caller can't see neither stop a deletion nor show in it; those still waiting are failed.
        """
        ...

    # Workers.

    async def enlist(self, worker: WorkerInfo) -> None:
        """Give a worker its lease; its `Heart` keeps it."""
        ...

    async def dismiss(self, worker: str, *, now: int) -> list[str]:
        """End a worker's lease at once; the tasks it still held are lost (their ids are returned)."""
        ...

    def heart(self) -> Heart:
        """A connection for heartbeats, for a thread of its own."""
        ...

    async def claim(self, worker: str, wanted: Sequence[Wanted], *, limit: int, now: int) -> list[Claimed] | LeaseLost:
        """Take up to `limit` queued tasks, higher priority first, and in turn where that is equal.

        Types take turns, and within a type its tenants; of one tenant the older goes first (see `milepost.turns`).
        Paused types are left alone. LeaseLost: the worker's lease is over.
        """
        ...

    async def change_leased(self, items: Sequence[LeasedEdit], *, now: int) -> list[Task | LeaseLost]:
        """Apply workers' changes: reports, checkpoints, outcomes.

        Raises NotStorable where one of them can't be written, which changes nothing of the others either.
        """
        ...

    async def requests(self, worker: str) -> list[Request]:
        """The cancels and pauses that wait for this worker's running tasks."""
        ...

    # Loops.

    async def pulses(self) -> list[Pulse]:
        """The workers whose lease nobody has ended, with their heartbeats."""
        ...

    async def rescue(self, silent: Sequence[Pulse], *, now: int) -> list[str]:
        """End the leases of workers that have not beaten since, and those of external tasks' clients that ran out.

        Returns the tasks that were lost, those of workers that are not known any more among them.
        """
        ...

    async def enqueue_due(self, *, now: int, limit: int) -> list[str]:
        """Queue the scheduled tasks and next runs whose time has come; fail those that missed their `start_by`."""
        ...

    async def next_due(self, *, now: int) -> int | None:
        """The earliest time at which `enqueue_due` will have something to do."""
        ...

    async def expire(self, *, now: int, limit: int) -> Deleted:
        """Drop up to `limit` results and records past their retention, old Idempotency-Keys and long-gone workers."""
        ...

    async def note_obstacles(self, *, now: int) -> list[str]:
        """Let the message of queued tasks say what keeps them: their type is paused, or no live worker offers it.

        Returns those that say so anew. Where nothing keeps them any more, the message goes.
        """
        ...

    # Whoever is interested.

    async def publish_types(self, types: Sequence[TypeInfo]) -> None:
        """Make types known, replacing what was known of those names, but not whether they are paused."""
        ...

    async def pause_types(self, names: Sequence[str], *, paused: bool) -> list[TypeInfo | Missing]:
        """Keep the tasks of types from starting, whoever would run them, or let them again. Running ones go on."""
        ...

    async def types(self) -> list[TypeInfo]:
        """Every type that was made known, by name."""
        ...

    async def workers(self) -> list[WorkerInfo]:
        """The workers whose lease nobody has ended."""
        ...

    async def tally(self, scope: Scope, *, now: int) -> list[Tally]:
        """Count tasks by type and state."""
        ...

    async def known_files(self, keys: Sequence[str]) -> set[str]:
        """Which of these file keys some record points to."""
        ...

    async def wait(self, id: str, *, version: int, timeout: int) -> None:
        """Return once the record's version is above `version`, it is gone, or `timeout` microseconds have passed.

        Whichever process makes the change. May also return early for no reason.
        """
        ...

    def changes(self) -> AsyncGenerator[None, None]:
        """Yields soon after every commit of any process; several commits may yield once. Closing it ends it."""
        ...


class SchemaTooNew(Exception):
    """The store was written by a newer Milepost than this one."""


class NotStorable(Exception):
    """What was to be written can't be, however often it is tried; nothing was changed."""


class StoreBusy(Exception):
    """A write could not get its turn in reasonable time; nothing was changed."""


class StoreFull(Exception):
    """There is no room for what was to be written; nothing was changed."""
