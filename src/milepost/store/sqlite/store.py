"""Where do records live when nothing was said: in one SQLite file, which several processes can share."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar

from milepost.lifecycle import IllegalChange
from milepost.store.api_keys import ApiKey, KeyPage, Replacement
from milepost.store.protocol import (
    Cold,
    Created,
    Creation,
    Deleted,
    Deletion,
    Edit,
    Filter,
    LeasedEdit,
    LogPage,
    Page,
    Scope,
    StartKey,
    Tally,
    TypeInfo,
)
from milepost.store.refusals import LeaseLost, Missing, Refusal, TenantFull
from milepost.store.sqlite import api_keys, changes, leases, retention, schedule, task_types
from milepost.store.sqlite.callback_store import SqliteCallbacks
from milepost.store.sqlite.connection import READING_CACHE, check_library, connect
from milepost.store.sqlite.doorbell import Doorbell
from milepost.store.sqlite.heart import SqliteHeart
from milepost.store.sqlite.log import MAX_LOG_BYTES, MAX_LOG_LINES, LogCap
from milepost.store.sqlite.migrate import migrate, migrations
from milepost.store.sqlite.reads import Reads
from milepost.store.sqlite.skipped import Skipped
from milepost.store.sqlite.transaction import Transaction
from milepost.store.sqlite.watch import Watch
from milepost.store.sqlite.writer import Writer
from milepost.store.workers import Claimed, Heart, Pulse, Request, Unopened, Wanted, WorkerInfo
from milepost.task import Task
from milepost.times import SECOND, Clock, elapsed
from milepost.turns import Turns

_log = logging.getLogger(__name__)

FEW: Final = 32
"""So many records are read in the event loop; more are left to the reader thread."""
POLL: Final = 1.0
"""Seconds between two looks at whether somebody else has committed, in case a ring was lost."""

BUSY_TIMEOUT: Final = 30_000
"""Milliseconds that a write waits for its turn."""

P = ParamSpec("P")
T = TypeVar("T")


class _Parts(NamedTuple):
    """What an open store works with."""

    reads: Reads
    thread: ThreadPoolExecutor
    slow_reads: Reads
    watch: Watch
    writer: Writer


class SqliteStore:
    """A TaskStore in one SQLite file. It belongs to the event loop that it is opened in.

    `max_log_bytes` and `max_log_lines` are the cap of a task's log; `busy_timeout` (milliseconds) how long a write
    waits for its turn before it is answered with StoreBusy; `timer` a clock for durations, in µs.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_log_bytes: int = MAX_LOG_BYTES,
        max_log_lines: int = MAX_LOG_LINES,
        busy_timeout: int = BUSY_TIMEOUT,
        timer: Clock = elapsed,
    ) -> None:
        # By whatever links it was named: locks and bells have to be the same for all.
        self._path = path.resolve()
        self._log_cap = LogCap(max_log_bytes, max_log_lines)
        self._busy_timeout = busy_timeout
        self._turns = Turns()
        self._skipped = Skipped(timer)
        self._open_parts: _Parts | None = None
        self._resources = AsyncExitStack()
        self.callbacks = SqliteCallbacks(lambda: self._parts.reads, self._write)

    async def open(self) -> None:
        """See TaskStore. Also raises ForeignDatabase, and RuntimeError where SQLite is too old."""
        if self._open_parts is not None:
            raise RuntimeError("The store is open already.")
        check_library()
        await asyncio.to_thread(migrate, self._path, busy_timeout=self._busy_timeout, scripts=migrations())
        loop = asyncio.get_running_loop()
        # What is made last is closed first: the writer, while everything that it tells of commits still stands.
        async with AsyncExitStack() as resources:
            reads = self._reads()
            resources.callback(reads.close)
            thread = ThreadPoolExecutor(1, "milepost-reader")
            resources.callback(thread.shutdown)
            slow_reads = await loop.run_in_executor(thread, self._reads)
            resources.callback(thread.submit, slow_reads.close)
            watch = Watch(reads.versions)
            resources.callback(watch.close)
            bell = Doorbell(self._path)
            resources.callback(bell.close)
            loop.add_reader(bell.fileno(), self._rung, bell, watch)
            resources.callback(loop.remove_reader, bell.fileno())
            writer = Writer(
                self._path,
                busy_timeout=self._busy_timeout,
                log_cap=self._log_cap,
                skipped=self._skipped,
                on_commit=watch.committed,
                ring=bell.ring,
            )
            resources.push_async_callback(writer.close)
            poll = asyncio.create_task(self._poll(reads, watch, writer), name="milepost-poll")
            resources.callback(poll.cancel)
            self._open_parts = _Parts(reads, thread, slow_reads, watch, writer)
            self._resources = resources.pop_all()

    async def close(self) -> None:
        """See TaskStore. Closing once more does nothing."""
        self._open_parts = None
        await self._resources.aclose()

    def _reads(self) -> Reads:
        return Reads(connect(self._path, busy_timeout=self._busy_timeout, cache=READING_CACHE))

    @staticmethod
    def _rung(bell: Doorbell, watch: Watch) -> None:
        for changed in bell.heard():
            if changed is None:
                watch.rung()
            else:
                watch.heard(changed)

    @staticmethod
    async def _poll(reads: Reads, watch: Watch, writer: Writer) -> None:
        seen = None
        is_blind = False
        while True:
            await asyncio.sleep(POLL)
            writer.give_up()
            try:
                version = reads.data_version()
            except Exception:
                if not is_blind:  # once, and not every second
                    _log.exception("The store can't be read, so that rings may be missed; it is tried again and again")
                is_blind, seen = True, None
                continue
            is_blind = False
            if version != seen:  # which it is after an error: what was missed meanwhile is looked for
                seen = version
                watch.rung()

    # Callers.

    async def create(self, items: Sequence[Creation], *, now: int) -> list[Created | Refusal]:
        """See TaskStore."""
        if all(map(changes.stands_alone, items)):
            return await self._parts.writer.submit_items(changes.create_alone, items)
        return await self._write(partial(changes.create, items=items, now=now))

    async def recall(self, tenant: str, owner: str, type: str, key: StartKey, *, now: int) -> Created | Refusal | None:
        """See TaskStore."""
        return await self._write(partial(changes.recall, whose=(tenant, owner, type), key=key, now=now))

    async def get(self, ids: Sequence[str], scope: Scope, *, now: int) -> list[Task | None]:
        """See TaskStore."""
        if len(ids) <= FEW:
            return self._parts.reads.get(ids, scope, now)
        return await self._read(Reads.get, ids, scope, now)

    async def cold(self, ids: Sequence[str], scope: Scope, *, now: int) -> list[Cold | None]:
        """See TaskStore."""
        return await self._read(Reads.cold, ids, scope, now)

    async def result(
        self, id: str, scope: Scope, *, run: int | None = None, start: int = 0, stop: int | None = None, now: int
    ) -> bytes | None:
        """See TaskStore."""
        return await self._read(Reads.result, id, scope, run, start, stop, now)

    async def find(self, filter: Filter, scope: Scope, *, after: str | None, limit: int, now: int) -> Page:
        """See TaskStore."""
        return await self._read(Reads.find, filter, scope, after, limit, now)

    async def log(
        self, id: str, scope: Scope, *, after: int = 0, since_version: int = 0, limit: int, now: int
    ) -> LogPage | None:
        """See TaskStore."""
        return await self._read(Reads.log, id, scope, after, since_version, limit, now)

    async def history(
        self, ids: Sequence[str], scope: Scope, *, before: int | None = None, limit: int, now: int
    ) -> list[LogPage | None]:
        """See TaskStore."""
        return await self._read(Reads.history, ids, scope, before, limit, now)

    async def change(self, items: Sequence[Edit], *, now: int) -> list[Task | Refusal | IllegalChange]:
        """See TaskStore."""
        return await self._write(partial(changes.change, items=items, now=now))

    async def delete(self, items: Sequence[Deletion], *, now: int) -> list[Deleted | Refusal]:
        """See TaskStore."""
        return await self._write(partial(retention.delete, items=items, now=now))

    # Workers.

    async def enlist(self, worker: WorkerInfo) -> None:
        """See TaskStore."""
        await self._write(partial(leases.enlist, worker=worker))

    async def dismiss(self, worker: str, *, now: int) -> list[str]:
        """See TaskStore."""
        return await self._write(partial(leases.dismiss, worker=worker, now=now))

    def heart(self) -> Heart:
        """See TaskStore."""
        return SqliteHeart(self._path, busy_timeout=self._busy_timeout)

    async def claim(
        self, worker: str, wanted: Sequence[Wanted], *, limit: int, now: int, unopened: Unopened | None = None
    ) -> list[Claimed] | LeaseLost:
        """See TaskStore."""
        claimer = leases.Claimer(worker, now, unopened)
        return await self._write(partial(leases.claim, claimer=claimer, wanted=wanted, turns=self._turns, limit=limit))

    async def change_leased(self, items: Sequence[LeasedEdit], *, now: int) -> list[Task | LeaseLost]:
        """See TaskStore."""
        return await self._write(partial(changes.change_leased, items=items, now=now))

    async def requests(self, worker: str) -> list[Request]:
        """See TaskStore."""
        return self._parts.reads.requests(worker)

    # Loops.

    async def pulses(self) -> list[Pulse]:
        """See TaskStore."""
        return self._parts.reads.pulses()

    async def rescue(self, silent: Sequence[Pulse], *, now: int) -> list[str]:
        """See TaskStore."""
        # Most rounds find nothing: that costs a look, and no turn at writing.
        if not silent and not self._parts.reads.has_unleased(now, self._skipped.known):
            return []
        return await self._write(partial(leases.rescue, silent=silent, now=now))

    async def enqueue_due(self, *, now: int, limit: int) -> list[str]:
        """See TaskStore."""
        return await self._write(partial(schedule.enqueue_due, now=now, limit=limit))

    async def next_due(self, *, now: int) -> int | None:  # noqa: ARG002 - what is due does not depend on it
        """See TaskStore."""
        return self._parts.reads.next_due(self._skipped.known)

    async def expire(self, *, now: int, limit: int) -> Deleted:
        """See TaskStore."""
        return await self._write(partial(retention.expire, now=now, limit=limit))

    async def note_obstacles(self, *, now: int) -> list[str]:
        """See TaskStore."""
        # Most rounds find nothing: that costs a look, and no turn at writing.
        found = await self._read(Reads.obstacles, self._skipped.known)
        return await self._write(partial(schedule.note_obstacles, found=found, now=now)) if found else []

    # Keys.

    async def add_keys(self, keys: Sequence[ApiKey], *, most: int | None = None) -> list[ApiKey | TenantFull]:
        """See KeyStore."""
        return await self._write(partial(api_keys.add, keys=keys, most=most))

    async def find_keys(self, ids: Sequence[str]) -> list[ApiKey | None]:
        """See KeyStore."""
        return self._parts.reads.find_keys(ids)

    async def keys(self, tenants: Sequence[str] | None = None, *, after: str | None = None, limit: int) -> KeyPage:
        """See KeyStore."""
        return await self._read(Reads.keys, tenants, after, limit)

    async def called(self, owners: Sequence[tuple[str, str]], *, now: int) -> list[str | None]:
        """See KeyStore."""
        return self._parts.reads.called(owners, now)

    async def revoke_keys(
        self, ids: Sequence[str], *, now: int, tenants: Sequence[str] | None = None
    ) -> list[ApiKey | Missing]:
        """See KeyStore."""
        return await self._write(partial(api_keys.revoke, ids=ids, now=now, tenants=tenants))

    async def replace_keys(
        self,
        items: Sequence[Replacement],
        *,
        now: int,
        tenants: Sequence[str] | None = None,
        most: int | None = None,
    ) -> list[ApiKey | Refusal]:
        """See KeyStore."""
        return await self._write(partial(api_keys.replace, items=items, now=now, tenants=tenants, most=most))

    async def forget_keys(self, *, until: int, limit: int) -> int:
        """See KeyStore."""
        return await self._write(partial(api_keys.forget, until=until, limit=limit))

    async def note_key_uses(self, uses: Mapping[str, int]) -> None:
        """See KeyStore."""
        await self._write(partial(api_keys.note_uses, uses=uses))

    async def put_display_names(self, names: Mapping[str, str]) -> None:
        """See KeyStore."""
        await self._write(partial(api_keys.put_display_names, names=names))

    async def display_names(self, names: Sequence[str]) -> list[str | None]:
        """See KeyStore."""
        return self._parts.reads.display_names(names)

    async def has_keys(self) -> bool:
        """See KeyStore."""
        return self._parts.reads.has_keys()

    # Whoever is interested.

    async def publish_types(self, types: Sequence[TypeInfo]) -> None:
        """See TaskStore."""
        await self._write(partial(task_types.publish, types=types))

    async def pause_types(self, names: Sequence[str], *, paused: bool) -> list[TypeInfo | Missing]:
        """See TaskStore."""
        return await self._write(partial(task_types.pause, names=names, paused=paused))

    async def types(self) -> list[TypeInfo]:
        """See TaskStore."""
        return await self._read(Reads.types)

    async def workers(self) -> list[WorkerInfo]:
        """See TaskStore."""
        return [pulse.worker for pulse in await self.pulses()]

    async def tenant_numbers(self, names: Sequence[str]) -> list[int | None]:
        """See TaskStore."""
        return await self._read(Reads.tenant_numbers, names)

    async def tenants_numbered(self, numbers: Sequence[int]) -> list[str | None]:
        """See TaskStore."""
        return await self._read(Reads.tenants_numbered, numbers)

    async def secret(self) -> bytes:
        """See TaskStore."""
        return self._parts.reads.secret

    async def tally(self, scope: Scope, *, now: int) -> list[Tally]:
        """See TaskStore."""
        return await self._read(Reads.tally, scope, now)

    async def unfinished(self, tenants: Sequence[str], *, most: int) -> list[int]:
        """See TaskStore."""
        return await self._read(Reads.unfinished, tenants, most)

    async def known_files(self, keys: Sequence[str]) -> set[str]:
        """See TaskStore."""
        return await self._read(Reads.known_files, keys)

    def wait(self, id: str, *, version: int, timeout: int) -> Coroutine[Any, Any, None]:
        """See TaskStore."""
        return self._parts.watch.wait(id, version, timeout / SECOND)

    def changes(self) -> AsyncGenerator[None, None]:
        """See TaskStore."""
        return self._parts.watch.changes()

    @property
    def _parts(self) -> _Parts:
        if self._open_parts is None:
            raise RuntimeError("The store is not open.")
        return self._open_parts

    async def _write(self, run: Callable[[Transaction], T]) -> T:
        return await self._parts.writer.submit(run)

    async def _read(self, read: Callable[Concatenate[Reads, P], T], *values: P.args, **named: P.kwargs) -> T:
        parts = self._parts
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(parts.thread, partial(read, parts.slow_reads, *values, **named))
