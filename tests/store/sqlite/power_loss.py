"""What has to be true of a store after a loss of power?

`Answering` notes among the events of a disk when each call of a store returned. Wherever the power fails, what is left
has to be a *moment*: all that the store contained when some call returned, no call half done; and none before the last
call that had returned by then. `Proof` replays the events and says so.
"""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import apsw

from milepost.store.protocol import Created, TaskStore
from milepost.store.sqlite import SqliteStore
from milepost.store.workers import Claimed
from milepost.task import Task
from tests.store.scene import Scene, whole

from .lossy_disk import Answer, Choose, Event, Image, LossyDisk, Sync, everything, nothing, some, write_out

Content: TypeAlias = dict[str, Any]
"""The rows of every table, the schema, and the version of it."""

EMPTY: Final[Content] = {}
"""Of a store that is not there."""


class Lost(AssertionError):
    """What had been acknowledged is gone."""


class HalfDone(Lost):
    """What is left is no moment of the store."""


class Damaged(Lost):
    """What is left is no sound database."""


class Answering:
    """A store that notes in `events` when its calls return, with the records that they answered with."""

    def __init__(self, store: TaskStore, events: list[Event]) -> None:
        self._store = store
        self._events = events

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if not asyncio.iscoroutinefunction(method):
            return method

        async def call(*arguments: Any, **named: Any) -> Any:
            outcome = await method(*arguments, **named)
            self._events.append(Answer(name, tuple(_records(outcome))))
            return outcome

        return call


def _records(outcome: Any) -> Iterator[Task]:
    for one in outcome if isinstance(outcome, list) else [outcome]:
        match one:
            case Task():
                yield one
            case Created(task=task) | Claimed(task=task):
                yield task


class Cut(NamedTuple):
    """A loss of power: after how many events, what was left, and how that came about."""

    at: int
    image: Image
    how: str


def cuts(
    events: Sequence[Event], *, start: int = 0, seeds: Sequence[int] = (), kept: Sequence[float] = ()
) -> Iterator[Cut]:
    """Losses after every event from `start` on, of all that was not synced and of nothing; before a sync, of some.

    Images that are the same, with the same calls answered, come once.
    """
    disk, seen, answers = LossyDisk(events[:start]), set[bytes](), 0
    for at in range(start, len(events) + 1):
        choices: list[tuple[str, Choose]] = [("nothing", nothing), ("everything", everything)]
        if at < len(events) and isinstance(events[at], Sync):
            choices += [(f"some({seed}, {share})", some(seed, share)) for seed in seeds for share in kept]
        for how, choose in choices:
            image = disk.after_loss(choose)
            if (digest := _digest(image, answers)) not in seen:
                seen.add(digest)
                yield Cut(at, image, how)
        if at < len(events):
            disk.take(events[at])
            answers += isinstance(events[at], Answer)


def lost(events: Sequence[Event], at: int, choose: Choose, how: str) -> Cut:
    """One loss, after so many events."""
    return Cut(at, LossyDisk(events[:at]).after_loss(choose), how)


def _digest(image: Image, answers: int) -> bytes:
    digest = hashlib.blake2b(str(answers).encode())
    for path, data in sorted(image.items()):
        digest.update(f"{path} {len(data)} ".encode())
        digest.update(data)
    return digest.digest()


class Proof:
    """Knows the moments of the store at `path` whose disk saw these events, and compares what a loss leaves with them.

    `gone` are ids of tasks that were deleted at some time.
    """

    def __init__(self, events: Sequence[Event], path: Path, *, gone: Sequence[str] = ()) -> None:
        self.events = events
        self._path = path
        self._gone = gone
        self._answers: list[Answer] = []
        # How many calls had returned after so many events.
        self._answered = [0]
        self.moments = [EMPTY]
        disk = LossyDisk()
        for event in events:
            disk.take(event)
            if isinstance(event, Answer):
                self._answers.append(event)
                with self.put(disk.after_loss(everything)) as place:
                    self.moments.append(content(place))
            self._answered.append(len(self._answers))

    @contextmanager
    def put(self, image: Image) -> Iterator[Path]:
        """Put an image into a folder of its own; gives where the store is there, or would be."""
        with tempfile.TemporaryDirectory() as folder:
            write_out(image, Path(folder), instead_of=self._path.parent)
            yield Path(folder) / self._path.name

    def but(self, events: Sequence[Event]) -> "Proof":
        """The same about other events."""
        return Proof(events, self._path, gone=self._gone)

    def check_moment(self, cut: Cut) -> None:
        """What is left must be the last moment that was answered, or the next. Raises Lost."""
        with self.put(cut.image) as path:
            left = content(path)
        last = self._answered[cut.at]
        # A call that was under way may have been carried out.
        if left not in self.moments[last : last + 2]:
            kind = Lost if left in self.moments[:last] else HalfDone
            raise kind(f"After {cut.at} events, of which {cut.how} survived since the last sync.")

    def beside_sync(self, cut: Cut) -> bool:
        """Whether the power failed right before or after a sync, or a call's return."""
        return any(isinstance(event, Sync | Answer) for event in self.events[max(0, cut.at - 1) : cut.at + 1])

    def acknowledged(self, cut: Cut) -> dict[str, Task]:
        """The newest record that a call had answered with, of each task."""
        return {task.id: task for answer in self._answers[: self._answered[cut.at]] for task in answer.tasks}

    async def check(self, cut: Cut) -> None:
        """What is left must be a moment, and a store that shows all that was acknowledged and goes on. Raises Lost."""
        self.check_moment(cut)
        await self.check_store(cut)

    async def check_store(self, cut: Cut) -> None:
        """What is left must be a store that shows all that was acknowledged, and goes on. Raises Lost."""
        with self.put(cut.image) as path:
            async with reopened(path) as scene:
                for task in self.acknowledged(cut).values():
                    await self._check_task(scene, task)
                fresh = await scene.start()
                assert await scene.get(fresh) == fresh
                assert content(path)

    async def _check_task(self, scene: Scene, told: Task) -> None:
        found = await scene.get(told)
        if found is None:
            if told.id not in self._gone:
                raise Lost(f"{told} is gone.")
            return
        if found.version < told.version or (found.version == told.version and found != told):
            raise Lost(f"{told} has become {found}.")
        entries = await scene.log(found)
        if not whole(entries) or len(entries) != found.log_seq:
            raise Lost(f"The log of {found} is {entries}.")


@asynccontextmanager
async def reopened(path: Path) -> AsyncIterator[Scene]:
    """A store as it is opened after a loss of power, by what knows nothing of the loss."""
    store = SqliteStore(path)
    await store.open()
    try:
        yield Scene(store)
    finally:
        await store.close()


def content(path: Path) -> Content:
    """All that is in a store; EMPTY where nothing is. Raises Damaged."""
    if not path.exists():
        return EMPTY
    try:
        with closing(apsw.Connection(str(path))) as connection:
            if (found := connection.pragma("integrity_check")) != "ok":
                raise Damaged(found)
            schema = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()
            names = [str(name) for kind, name, _ in schema if kind == "table"]
            tables = [name for name in names if not name.startswith("sqlite_")]
            rows = {name: sorted(connection.execute(f'SELECT * FROM "{name}"'), key=repr) for name in tables}
            versions = {name: connection.pragma(name) for name in ("user_version", "application_id")}
    except apsw.Error as error:
        raise Damaged(path) from error
    return {"": schema, **rows, **versions} if schema else EMPTY
