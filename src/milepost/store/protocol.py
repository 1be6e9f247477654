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
- Who may not see a task is answered exactly as if it did not exist, by the same statements. Nor is it named to who sees
  one that hangs on it: records, log entries and refusals tell a caller of no other task than those that it sees.
- A record past its retention is unknown, a result past its own is gone, whether or not `expire` has run.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from milepost.lifecycle import IllegalChange, Step
from milepost.store.api_keys import KeyStore
from milepost.store.callbacks import CallbackStore
from milepost.store.refusals import LeaseLost, Missing, Refusal
from milepost.store.workers import Claimed, Heart, Pulse, Request, Unopened, Wanted, WorkerInfo
from milepost.task import DeliveredFile, Entry, Runner, State, Task


class Scope(msgspec.Struct, frozen=True):
    """What a caller may see: all of some tenants' tasks, and in others those that it owns or is assigned to.

    `whole=None` means every tenant. Without `assigned`, those that it owns alone.
    """

    name: str
    whole: tuple[str, ...] | None = ()
    own: tuple[str, ...] = ()
    assigned: bool = True


EVERYTHING = Scope("", whole=None)
"""What the engine itself sees."""


class IdempotencyKey(msgspec.Struct, frozen=True):
    """A caller's key for one start. `fingerprint` is a hash of the request, `expires_at` when the key is forgotten.

    Its owner's, for each type; what is delivered to standing tasks has keys of its own with each of them (`parent`).
    """

    key: str
    fingerprint: bytes
    expires_at: int
    parent: str | None = None


class ChildKey(msgspec.Struct, frozen=True):
    """By what a task finds a child of its type again in all tries of one `run`, for as long as both are there.

    `fingerprint` is a hash of the child's start. When the child is gone, the key stands for nothing, and it is started
    again.
    """

    parent: str
    run: int
    key: str
    fingerprint: bytes


StartKey: TypeAlias = IdempotencyKey | ChildKey
"""What makes a start known again."""


class Creation(msgspec.Struct, frozen=True):
    """A task to be made. `begin` turns the drafted record, with number and unmet dependencies filled in, into a step.

    `scope` decides which dependencies the caller may name; `input` is JSON. `parent_epoch`: it is made by its parent as
    that runs in this epoch, and not if it does no more. `files` are the task's from then on, and go with its record.
    `sealed` are the secrets of its input.
    """

    draft: Task
    input: bytes
    begin: Callable[[Task], Step]
    scope: Scope
    key: StartKey | None = None
    parent_epoch: int | None = None
    files: tuple[DeliveredFile, ...] = ()
    sealed: bytes | None = None


class Created(msgspec.Struct, frozen=True):
    """The task, and whether it was there before (same key)."""

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
    """A finished task to delete; with `cascade` whatever depends on it goes too.

    `unfinished`: so may what no worker is at; it is cancelled first, with all that this brings to others.
    """

    id: str
    scope: Scope
    cascade: bool = False
    unfinished: bool = False


class Deleted(msgspec.Struct, frozen=True):
    """What was deleted, and the keys of files that nobody knows any more.

    `more`: `expire` came to its limit, so that there may be more to do.
    """

    ids: tuple[str, ...]
    file_keys: tuple[str, ...] = ()
    more: bool = False


class Cold(msgspec.Struct, frozen=True):
    """The parts of a record that are read only when asked for."""

    input: bytes
    checkpoint: bytes | None
    traceback: str | None
    files: tuple[DeliveredFile, ...] = ()
    sealed: bytes | None = None
    """The secrets of the input, for who has the key; never shown."""


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
    origin: str | None = None


PAGE_BYTES: Final = 1 << 20
"""Bytes of what its records say (labels, metadata, messages, failures, results that they carry) that end a page."""

LOG_PAGE_BYTES: Final = 256 << 10
"""Bytes of entries, as they are stored, that end a page of a log."""


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


class Tally(msgspec.Struct, frozen=True):
    """How many tasks of a type stand in a state."""

    type: str
    state: State
    tasks: int


class TaskStore(KeyStore, Protocol):
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

        Refusals: UniqueKeyTaken, DependencyMissing, KeyReused, KeyOutlived; of children also LeaseLost, ParentStops and
        ChildDiffers. A caller's key is looked up first: it stands for its task, whatever has become of the parent.
        """
        ...

    async def recall(self, tenant: str, owner: str, type: str, key: StartKey, *, now: int) -> Created | Refusal | None:
        """The task that a key stands for, or why it is refused (KeyReused, KeyOutlived, ChildDiffers); None: for none.

        For a request that was right when it was made first and would be refused by now.
        """
        ...

    async def get(self, ids: Sequence[str], scope: Scope, *, now: int) -> list[Task | None]:
        """Read records as they stand at `now`; None for those that are not there for this caller."""
        ...

    async def cold(self, ids: Sequence[str], scope: Scope, *, now: int) -> list[Cold | None]:
        """Read the cold parts of records."""
        ...

    async def result(
        self, id: str, scope: Scope, *, run: int | None = None, start: int = 0, stop: int | None = None, now: int
    ) -> bytes | None:
        """Read a JSON result, however large; None when there is none, or none for this caller.

        Or the bytes of it from `start` to before `stop`, with no more than these in memory. `run`: only the result of
        this run, so that who reads one in parts gets no part of another.
        """
        ...

    async def find(self, filter: Filter, scope: Scope, *, after: str | None, limit: int, now: int) -> Page:
        """List up to `limit` records, newest first. `after` is a `Page.next`; BadCursor where it is not.

        A page ends before that once its records have more than `PAGE_BYTES` together.
        """
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
        """Read entries with seq > `after` and version > `since_version`, and the record, from one snapshot.

        A page ends before `limit` once its entries have `LOG_PAGE_BYTES`: it was the last where its last entry has the
        record's `log_seq`.
        """
        ...

    async def history(
        self, ids: Sequence[str], scope: Scope, *, before: int | None = None, limit: int, now: int
    ) -> list[LogPage | None]:
        """Read the newest states and outcomes in tasks' logs, up to `limit` of each, newest first, and the records.

        `before`: only those with a lower seq. What a task has logged itself is passed over at no cost, however much.
        """
        ...

    async def change(self, items: Sequence[Edit], *, now: int) -> list[Task | Refusal | IllegalChange]:
        """Apply callers' changes.

        Refusals: Missing, VersionMismatch, DependencyMissing, DependencyCycle, UniqueKeyTaken.
        `IllegalChange` from `apply` is returned in the item's place too.
        """
        ...

    async def delete(self, items: Sequence[Deletion], *, now: int) -> list[Deleted | Refusal]:
        """Delete tasks. Refusals: Missing, NotFinished, HasDependents.

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

    async def claim(
        self, worker: str, wanted: Sequence[Wanted], *, limit: int, now: int, unopened: Unopened | None = None
    ) -> list[Claimed] | LeaseLost:
        """Take up to `limit` queued tasks, higher priority first, and in turn where that is equal.

        Types take turns, and within a type its tenants; of one tenant the one that was due first (`milepost.turns`).
        Paused types are left alone, and so is what the worker can't open: `milepost.notice.UNOPENED` is said of that
        once it has waited for a while. LeaseLost: the worker's lease is over.
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

    @property
    def callbacks(self) -> CallbackStore:
        """What is told of ends of tasks."""
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

    async def tenant_numbers(self, names: Sequence[str]) -> list[int | None]:
        """The numbers that tenants were given with their first task, from `milepost.tenant.FIRST_GIVEN` on, ascending.

        None for a tenant that has had no task, and for one whose name is its number. The number of a tenant never
        changes, and is never another's.
        """
        ...

    async def tenants_numbered(self, numbers: Sequence[int]) -> list[str | None]:
        """The names of the tenants that these numbers were given to; None where a number was given to none."""
        ...

    async def secret(self) -> bytes:
        """32 random bytes of the store's own, the same for ever and for all who share it. They never leave Milepost."""
        ...

    async def tally(self, scope: Scope, *, now: int) -> list[Tally]:
        """Count tasks by type and state."""
        ...

    async def unfinished(self, tenants: Sequence[str], *, most: int) -> list[int]:
        """How many tasks of each tenant have not ended; `most` where there are more."""
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
