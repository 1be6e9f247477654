"""What can a task's function say and ask while it runs?"""

import asyncio
import contextvars
from collections.abc import Coroutine, Iterable, Mapping
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, Final, NoReturn, SupportsInt, TypeVar, get_args

import msgspec
from msgspec import UNSET

from milepost.dependency import Fate, fate
from milepost.engine.channel import Channel
from milepost.engine.fields import kept
from milepost.engine.named_paths import NamedPaths
from milepost.engine.outcome import Parked, StopReason, TaskError
from milepost.engine.relatives import ChildStart
from milepost.engine.text import keepable
from milepost.engine.veil import Veil
from milepost.task import Counts, DeliveredFile, Entry, Level, Task, parse_id
from milepost.times import parse_duration

T = TypeVar("T")

LARGEST_CHECKPOINT: Final = 64 * 1024 * 1024
"""Bytes of JSON that a checkpoint may have; what is larger belongs into a file in the task's folder."""
LARGEST: Final = 2**63 - 1
"""What a store can count to."""

INHERITED: Final = frozenset({"owner", "tenant", "parent"})
"""What a child has of the task that starts it."""

LEVELS: Final = get_args(Level)


class Place(msgspec.Struct, frozen=True):
    """Where a worker keeps its tasks' private folders, and beneath what callers may name paths."""

    folders: str
    files_root: str


def folder_of(place: Place, task: Task) -> Path:
    """The private folder of a task in its present epoch, whether it is there or not."""
    return Path(place.folders, task.id, str(task.epoch))


def make_private(folder: Path) -> None:
    """Make a folder that nobody else may enter, if it is not there, and so those above it that are missing."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


class _Face(NamedPaths):
    """What both kinds of context have: all that needs no waiting."""

    def __init__(self, channel: Channel, place: Place) -> None:
        super().__init__(place.files_root, lambda: channel.input)
        self._channel = channel
        self._place = place
        self.saved: Any = None if channel.saved is None else msgspec.json.decode(channel.saved)
        """What the last checkpoint saved; None at first."""
        self._counts = channel.task.counts

    @property
    def task(self) -> Task:
        """The record as it was when this try began."""
        return self._channel.task

    @property
    def veil(self) -> Veil:
        """What hides the secrets of the input."""
        return self._channel.veil

    @property
    def id(self) -> str:
        """The task's id."""
        return self.task.id

    @property
    def owner(self) -> str:
        """Whose task it is: who started it, or for whom."""
        return self.task.owner

    @property
    def tenant(self) -> str:
        """The project, chain or organisation that it belongs to."""
        return self.task.tenant

    @property
    def roles(self) -> tuple[str, ...]:
        """Which roles its starter held in the tenant at the start: `user`, `member`, `admin`, `service`.

        Of one that was started in another's name, `user`. What the task starts has the same.
        """
        return self.task.roles

    @property
    def files(self) -> tuple[DeliveredFile, ...]:
        """What was delivered with the input: `name`, `media_type`, `size` in bytes, `sha256`; for `fetch`."""
        return self._channel.files

    def _number_of(self, file: DeliveredFile) -> int:
        if file not in self.files:
            raise TaskError(f"The file {file.name} was not delivered with this task.", code="no_file", retry=False)
        return self.files.index(file)

    @property
    def stopping(self) -> bool:
        """Whether the next checkpoint will stop the task: a pause, a cancel or a shutdown is due."""
        return self._channel.stopping is not None

    @property
    def folder(self) -> Path:
        """A private folder for this task, made on first use.

        What is in it when a try ends, the next one on the same machine finds; it is removed at the end of the task.
        """
        folder = folder_of(self._place, self.task)
        make_private(folder)
        return folder

    def progress(
        self,
        done: int | float | None = None,
        total: int | None = None,
        *,
        message: str | None = None,
        failed: int | None = None,
        skipped: int | None = None,
    ) -> None:
        """Say how far the task is: a fraction (`0.25`), or items done, of a total where it is known; or just a message.

        `failed` and `skipped` say how many of the done items did not go well. Cheap: it is written at most ten times
        a second. Raises TypeError for what is no number.
        """
        message = None if message is None else keepable(message)
        if total is None and failed is None and skipped is None and (done is None or isinstance(done, float)):
            self._channel.tell(progress=None if done is None else float(done), message=message)
            return
        before = self._counts
        self._counts = counts = Counts(
            before.done if done is None else _whole(done, "done"),
            before.total if total is None else _whole(total, "total"),
            before.failed if failed is None else _whole(failed, "failed"),
            before.skipped if skipped is None else _whole(skipped, "skipped"),
        )
        fraction = counts.done / counts.total if counts.total else None
        self._channel.tell(progress=fraction, message=message, counts=counts)

    def log(self, message: str, level: Level = "info", **fields: Any) -> None:
        """Write a line to the task's log, with any fields; what JSON does not know is written as text.

        Raises ValueError for a level that there is not.
        """
        if level not in LEVELS:
            raise ValueError(f"{level!r} is no level; take {', '.join(LEVELS)}.")
        known = kept(fields) if fields else None
        self._channel.tell(
            entry=Entry(self._channel.clock(), "log", self.task.attempt, level, keepable(message), known)
        )

    def _park_if_due(self) -> None:
        reason = self._channel.stopping
        if reason is not None:
            raise _parked(reason)

    def _park_for(self, children: tuple[str, ...]) -> NoReturn:
        self._park_if_due()
        raise _parked(StopReason.CHILDREN, children)


def _parked(reason: StopReason, waits_for: tuple[str, ...] = ()) -> Parked:
    parked = Parked(reason, waits_for)
    parked.is_due = True
    return parked


def _whole(number: object, name: str) -> int:
    """A count as the record keeps it; databases and libraries have numbers of their own. Raises TypeError."""
    if isinstance(number, str | bytes) or not isinstance(number, SupportsInt):
        raise TypeError(f"{name} has to be a number, not {type(number).__name__}.")
    return min(LARGEST, max(0, int(number)))


def _id_of(task: Task | str) -> str:
    """The id of a task that a function names. Raises TypeError."""
    if isinstance(task, Task):
        return task.id
    if not isinstance(task, str):
        raise TypeError(f"A task is named by its record or its id, not by {_name(task)}; of several write *tasks.")
    return parse_id(task) or task


def _name(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def _no_result(error: LookupError) -> TaskError:
    return TaskError(str(error.args[0]), code="no_result", retry=False)


def _child(
    type: str,
    input: Mapping[str, Any] | None,
    key: str | None,
    timeout: str | float | None,
    options: dict[str, Any],
) -> ChildStart:
    """What a function asks for. Raises TypeError and ValueError, naming the argument, for what no child can have."""
    if inherited := options.keys() & INHERITED:
        told = "the parent of a child is the task that starts it, and its owner and tenant are the parent's"
        raise TypeError(f"{min(inherited)} can't be given: {told}.")
    if input is not None and not isinstance(input, Mapping):
        raise TypeError(f"input must be a mapping of the child's arguments, not {_name(input)}.")
    if key is not None and not isinstance(key, str):
        raise TypeError(f"key must be text, not {_name(key)}.")
    if timeout is not None:
        try:
            options["timeout"] = parse_duration(timeout)
        except ValueError as error:
            raise ValueError(f"timeout: {error}") from None
    return ChildStart(type, dict(input or {}), key, options)


def _no_child(error: LookupError) -> TaskError:
    return TaskError(str(error.args[0]), code="no_child", retry=False)


def _are_open(children: Iterable[Task]) -> bool:
    """Whether one of them has not ended so far."""
    return any(fate(child) is Fate.OPEN for child in children)


def _checked(children: list[Task]) -> list[Task]:
    """Children that have ended. Raises TaskError where one did so without success."""
    for child in children:
        if fate(child) is Fate.FAILED:
            why = "was cancelled" if child.failure is None else f"failed: {child.failure.message}"
            raise TaskError(f"Task {child.id}, which this one started, {why}", code="child_failed", retry=False)
    return children


def _state(state: Any) -> bytes:
    """A checkpoint as JSON. Raises TypeError and the like for what JSON can't say, TaskError for too much of it."""
    body = msgspec.json.encode(state)
    if len(body) > LARGEST_CHECKPOINT:
        message = f"A checkpoint of {len(body)} bytes was to be saved, of more than {LARGEST_CHECKPOINT}."
        raise TaskError(message, code="checkpoint_too_large", retry=False)
    return body


class Context(_Face):
    """The context of an `async def` task."""

    async def checkpoint(self, state: Any = None) -> None:
        """Save `state` (any JSON value, up to 64 MiB) durably; the next try finds it in `saved`.

        Raises Parked when a pause, a cancel or a shutdown is due: let it pass. TaskError (code `checkpoint_too_large`,
        no retry) when it is too large.
        """
        await self._channel.save(_state(state))
        self.saved = state
        self._park_if_due()

    async def flush(self) -> None:
        """Make durable what was told so far."""
        await self._channel.save()

    async def result_of(self, id: Task | str) -> Any:
        """The JSON result of a task that this one depends on, or has started, given or named by id.

        Raises TaskError (code `no_result`, no retry).
        """
        try:
            return msgspec.json.decode(await self._channel.result_of(_id_of(id)))
        except LookupError as error:
            raise _no_result(error) from error

    async def fetch(self, file: DeliveredFile) -> Path:
        """One of `files` as a file in the private folder, to be read: copied there at the first call.

        Raises TaskError: code `no_file` for any other (no retry), `file_missing` where the file store has it no more
        (no retry), `not_fetched` where it could not be copied.
        """
        return await self._channel.fetch(self._number_of(file))

    async def start(
        self,
        type: str,
        input: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        timeout: str | float | None = None,
        **options: Any,
    ) -> Task:
        """Start a child: a task with this one as `parent`, of the same owner, in the same tenant. It is durable then.

        A later try that starts the same type with the same input gets the same child, and one that failed or was
        cancelled begins again if this task was retried since. `key` tells children apart that are the same otherwise.
        `timeout` (of each try) and `options` are as for `Milepost.start`, but for owner, tenant and parent. Raises
        TaskError (code `child_refused`, no retry), Parked when this task is to be cancelled, and TypeError or
        ValueError for an argument that is none.
        """
        return await self._channel.start(_child(type, input, key, timeout, options))

    async def wait(self, *children: Task | str, state: Any = UNSET, check: bool = True) -> list[Task]:
        """The records of children, given or named by id, once all have ended.

        Until then this task waits without a slot: Parked is raised, and when they have ended, its next try comes here
        again. `state` is saved before, and is in `saved` then, as by `checkpoint`. With `check`, a child that did not
        succeed fails this task (TaskError, code `child_failed`, no retry).
        """
        ids = tuple(map(_id_of, children))
        try:
            found = await self._channel.children(ids)
        except LookupError as error:
            raise _no_child(error) from error
        if state is not UNSET:
            await self._channel.save(_state(state))
            self.saved = state
        if _are_open(found):
            await self._channel.save()
            self._park_for(ids)
        return _checked(found) if check else found


class BlockingContext(_Face):
    """The context of a plain task: the same names, blocking. `loop` is where its channel lives, in another thread.

    Only what the channel does happens there; what takes long by itself, JSON above all, is done in the task's thread.
    """

    def __init__(self, channel: Channel, place: Place, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(channel, place)
        self._loop = loop

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # the loop is closed: the worker went without this thread
            work.close()
            raise Parked(StopReason.LEASE_LOST) from None
        try:
            return waiting.result()
        except CancelledError:  # the loop is about to be closed
            raise Parked(StopReason.LEASE_LOST) from None

    def checkpoint(self, state: Any = None) -> None:
        """See Context.checkpoint."""
        self._wait(self._channel.save(_state(state)))
        self.saved = state
        self._park_if_due()

    def flush(self) -> None:
        """See Context.flush."""
        self._wait(self._channel.save())

    def result_of(self, id: Task | str) -> Any:
        """See Context.result_of."""
        try:
            return msgspec.json.decode(self._wait(self._channel.result_of(_id_of(id))))
        except LookupError as error:
            raise _no_result(error) from error

    def fetch(self, file: DeliveredFile) -> Path:
        """See Context.fetch."""
        return self._wait(self._channel.fetch(self._number_of(file)))

    def start(
        self,
        type: str,
        input: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        timeout: str | float | None = None,
        **options: Any,
    ) -> Task:
        """See Context.start."""
        return self._wait(self._channel.start(_child(type, input, key, timeout, options)))

    def wait(self, *children: Task | str, state: Any = UNSET, check: bool = True) -> list[Task]:
        """See Context.wait."""
        ids = tuple(map(_id_of, children))
        try:
            found = self._wait(self._channel.children(ids))
        except LookupError as error:
            raise _no_child(error) from error
        if state is not UNSET:
            self._wait(self._channel.save(_state(state)))
            self.saved = state
        if _are_open(found):
            self._wait(self._channel.save())
            self._park_for(ids)
        return _checked(found) if check else found


current: contextvars.ContextVar[Context | BlockingContext | None] = contextvars.ContextVar(
    "milepost_context", default=None
)
"""The context of the task that runs here, for what is logged without naming it."""
