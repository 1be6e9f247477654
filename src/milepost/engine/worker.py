"""How does a worker take tasks, run them, and tell how they ended?"""

import asyncio
import contextlib
import logging
import os
import random
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import uuid_utils

from milepost import lifecycle, times
from milepost.engine import folders
from milepost.engine.background import BackgroundLoop, run_together
from milepost.engine.capture import capture_logging
from milepost.engine.channel import Lease
from milepost.engine.context import Place
from milepost.engine.edits import Edits
from milepost.engine.fetch import fetch
from milepost.engine.flush import Flusher
from milepost.engine.heartbeat import LEASE, Heartbeat
from milepost.engine.outcome import LARGEST_VALUE, Died, Outcome, Parked, Raised, Stopped, StopReason
from milepost.engine.relatives import ScopeOf, StartChild, StoredRelatives
from milepost.engine.runners.loop import LoopRunner
from milepost.engine.runners.process import ProcessRunner
from milepost.engine.runners.protocol import Ended, Runner
from milepost.engine.runners.thread import ThreadRunner
from milepost.engine.settle import LARGEST_FILE, Settlement
from milepost.engine.shortage import is_shortage
from milepost.engine.slots import Slots
from milepost.engine.task_type import TaskType
from milepost.engine.text import keepable
from milepost.files.protocol import FileStore
from milepost.lifecycle import NOTHING, Report, Step
from milepost.sealing import Sealing, needs_key, whole
from milepost.store.protocol import LeasedEdit, TaskStore
from milepost.store.refusals import LeaseLost, NotStorable
from milepost.store.workers import Claimed, Unopened, Wanted, WorkerInfo
from milepost.task import Failure, Task
from milepost.times import SECOND, Clock

_log = logging.getLogger(__name__)

FORCE_AFTER: Final = 5.0
"""Seconds that a task has, after a cancel or its timeout, to come to a checkpoint before force is used."""
DEFAULT_CONCURRENCY: Final = 10
DEFAULT_GRACE: Final = 25.0
"""Seconds that running tasks have to end or reach a checkpoint when their worker is told to stop."""
POLL: Final = 1.0
"""Seconds after which a worker looks for tasks even if nothing rang."""


class Worker:
    """Claims tasks of its types and runs as many of them at once as it has slots.

    `start_child` starts what running tasks start, `scope_of` says what they see of others. `grace` and `force_after`
    are in seconds, `lease` (how long its lease outlives its last heartbeat) in µs. `loops` are the background loops
    that this process contributes.
    """

    def __init__(
        self,
        types: Mapping[str, TaskType],
        store: TaskStore,
        files: FileStore,
        place: Place,
        *,
        start_child: StartChild,
        scope_of: ScopeOf,
        slots: Slots,
        grace: float = DEFAULT_GRACE,
        force_after: float = FORCE_AFTER,
        lease: int = LEASE,
        loops: Iterable[BackgroundLoop] = (),
        largest_value: int = LARGEST_VALUE,
        largest_file: int = LARGEST_FILE,
        sealing: Sealing = Sealing(),  # noqa: B008 - it has no keys, and never changes
        clock: Clock = times.now,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._types = types
        self._store = store
        self._files = files
        self._place = place
        self._slots = slots
        self._grace = grace
        self._force_after = force_after
        self._lease = lease
        self._loops = (*loops, folders.SweepFolders(store, files, clock, place))
        self._sealing = sealing
        self._clock = clock
        self._settlement = Settlement(
            files, clock=clock, jitter=jitter, largest_value=largest_value, largest_file=largest_file
        )
        self._runners: dict[str, Runner] = {
            "loop": LoopRunner(leave_after=force_after),
            "thread": ThreadRunner(),
            "process": ProcessRunner(),
        }
        self._offered = [t for t in types.values() if sealing or not needs_key(t.info.schema)]
        self._wanted = [Wanted(t.name, t.info.concurrency, t.source is not None) for t in self._offered]
        self._unopened = Unopened(sealing.opens)
        self._edits = Edits(store, clock)
        self._relatives = StoredRelatives(store, clock, start_child, scope_of)
        self._leases: dict[str, Lease] = {}
        self._tries: set[asyncio.Task[None]] = set()
        self._is_worn = False
        self._stopping = asyncio.Event()
        self._may_claim = asyncio.Event()
        self._may_be_asked = asyncio.Event()
        self.id = ""

    def stop(self) -> None:
        """Claim nothing more; running tasks stop at their next checkpoint, or have the grace time to end."""
        self._stopping.set()
        self._may_claim.set()
        for lease in self._leases.values():
            lease.stop(StopReason.SHUTDOWN)

    async def run(self) -> bool:
        """Work until stopped. False when it ended because its slots are worn: start a fresh process then.

        Every lease that runs out although the worker lives (it was suspended for a while) is followed by a new one.
        """
        capture_logging()
        if left := sorted(self._types.keys() - {t.name for t in self._offered}):
            _log.warning("There is no key for secrets here: %s are left to workers that have it", ", ".join(left))
        self._flusher = Flusher()
        flushing = asyncio.create_task(self._flusher.run())
        try:
            async with run_together(self._loops):
                while not self._stopping.is_set():
                    await (self._work_under_lease() if await self._enlist() else _wait(self._stopping))
        finally:
            for work in (flushing, *self._tries):
                work.cancel()
        return not self._is_worn

    async def _enlist(self) -> bool:
        """Ask for a lease; False if there is none to be had now."""
        self.id = str(uuid_utils.uuid7())
        info = WorkerInfo(
            self.id,
            socket.gethostname(),
            os.getpid(),
            self._slots.number,
            tuple(t.name for t in self._offered),
            self._lease,
        )
        try:
            await self._store.enlist(info)
        except Exception as error:
            _log.error("This worker could not enlist; trying again: %r", error)
            return False
        return True

    async def _work_under_lease(self) -> None:
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        heartbeat = Heartbeat(
            self._store.heart,
            self.id,
            on_over=lambda: loop.call_soon_threadsafe(over.set),
            lease=self._lease,
        )
        heartbeat.start()
        ended = asyncio.create_task(over.wait())
        claiming = asyncio.create_task(self._claim_until_stopped())
        helping = [asyncio.create_task(work) for work in (self._listen(), self._pass_on_requests())]
        try:
            await asyncio.wait([ended, claiming], return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                await self._finish()
            else:
                self._lose_lease()
        finally:
            for task in (ended, claiming, *helping):
                task.cancel()
            await asyncio.to_thread(heartbeat.stop)
        await self._dismiss()

    async def _dismiss(self) -> None:
        try:
            await self._store.dismiss(self.id, now=self._clock())
        except Exception as error:
            _log.error("The lease of this worker could not be ended, it runs out by itself: %r", error)

    async def _listen(self) -> None:
        """Wake whoever waits for something to be committed, by any process."""
        while True:
            try:
                async for _ in self._store.changes():
                    self._may_claim.set()
                    self._may_be_asked.set()
            except Exception as error:
                _log.error("Changes of the store can't be followed; trying again: %r", error)
            await asyncio.sleep(POLL)

    async def _pass_on_requests(self) -> None:
        """Hand requests to cancel or pause on to the tasks they mean."""
        while True:
            await _wait(self._may_be_asked)
            self._may_be_asked.clear()
            try:
                requests = {request.id: request for request in await self._store.requests(self.id)}
                for lease in tuple(self._leases.values()):
                    request = requests.get(lease.task.id)
                    if request is None:
                        lease.carry_on()
                    elif request.epoch == lease.task.epoch:
                        self._ask_to_stop(lease, StopReason.CANCEL if request.cancel else StopReason.PAUSE)
            except Exception as error:
                _log.error("Requests to cancel or pause could not be passed on; trying again: %r", error)

    async def _claim_until_stopped(self) -> None:
        """Fill free slots whenever something is committed, a slot is freed, or some time has passed.

        Ends with the lease.
        """
        while not self._stopping.is_set():
            self._may_claim.clear()
            free = self._slots.number - self._slots.kept - len(self._tries)
            if free > 0 and not await self._claim(free):
                return
            await _wait(self._may_claim)

    async def _claim(self, free: int) -> bool:
        """Take tasks and begin with them; False when the lease is over."""
        try:
            claimed = await self._store.claim(
                self.id, self._wanted, limit=free, now=self._clock(), unopened=self._unopened
            )
        except Exception as error:
            _log.error("Tasks could not be claimed; trying again: %r", error)
            return True
        if isinstance(claimed, LeaseLost):
            return False
        for one in claimed:
            self._begin(one)
        if claimed:
            self._may_be_asked.set()  # they may have been since they were claimed
        return True

    def _begin(self, claimed: Claimed) -> None:
        lease = Lease(
            claimed,
            on_told=self._flusher.note,
            write=self._write,
            relatives=self._relatives,
            fetch=partial(fetch, self._files, self._place),
            clock=self._clock,
        )
        if self._stopping.is_set():
            lease.stop(StopReason.SHUTDOWN)
        self._leases[claimed.task.id] = lease
        work = asyncio.create_task(self._try(lease))
        self._tries.add(work)
        work.add_done_callback(self._tries.discard)
        work.add_done_callback(self._free_slot)

    def _free_slot(self, _: object) -> None:
        self._may_claim.set()

    async def _try(self, lease: Lease) -> None:
        """One try of one task, from the claim to its outcome. Whatever happens, its slot is free after that."""
        try:
            after = await self._run_and_settle(lease, self._types[lease.task.type])
        finally:
            if self._leases.get(lease.task.id) is lease:
                del self._leases[lease.task.id]
        if after is not None and after.state.terminal:
            await folders.remove(self._place, after)

    async def _run_and_settle(self, lease: Lease, task_type: TaskType) -> Task | None:
        """The record after the try; None when the lease is lost, or nothing can be written of it."""
        try:
            ended = await self._run(lease, task_type)
            if ended.lingering is not None:
                self._leave(lease, ended.lingering)
            elif isinstance(ended.outcome, Raised | Stopped) and lease.stopping is not StopReason.LEASE_LOST:
                folders.release(self._place, lease.task)
            return await self._settle(lease, task_type, lease.judge(ended.outcome))
        except Exception as error:  # what no store takes, or a defect: a task must not be left running that does not
            _log.exception("The outcome of task %s can't be stored", lease.task.id)
            return await self._fail(lease, error)

    async def _run(self, lease: Lease, task_type: TaskType) -> Ended:
        if lease.stopping is not None:
            return Ended(Stopped(lease.stopping))
        timer = None
        if lease.task.timeout is not None:
            delay = lease.task.timeout / SECOND
            timer = asyncio.get_running_loop().call_later(delay, self._ask_to_stop, lease, StopReason.TIMEOUT)
        try:
            lease.reveal(*whole(lease.input, lease.sealed, self._sealing, lease.task.id))
            await folders.take_over(self._place, lease.task, may_wait=lambda: lease.stopping is None)
            runner = self._runners["process" if lease.task.apart else lease.task.runner]
            while lease.stopping is None:
                try:
                    return await runner.run(task_type, lease, self._place)
                except OSError as error:
                    if not is_shortage(error):
                        raise  # else the task can't help it, and is not lost because of it
                    _log.error("Task %s can't begin; trying again: %s", lease.task.id, error)
                    await asyncio.sleep(POLL)
            return Ended(Stopped(lease.stopping))
        except Exception as error:
            _log.exception("Task %s could not be run", lease.task.id)
            return Ended(Died(f"it could not be run: {error}"))
        finally:
            lease.unhook()
            if timer is not None:
                timer.cancel()

    async def _settle(self, lease: Lease, task_type: TaskType, outcome: Outcome) -> Task | None:
        """Write how a try ended; the record after it, None when the lease is lost. Raises as `_change` does."""
        stored = await self._settlement.stored(outcome)
        async with lease.writing:
            report = lease.take() or NOTHING
            return await self._change(lease, self._settlement.ending(task_type, stored, report))

    async def _fail(self, lease: Lease, error: Exception) -> Task | None:
        """Let a task end whose outcome could not be written, because of this error; gives as `_settle` does."""
        why = str(error) if isinstance(error, NotStorable) else f"{type(error).__name__}: {keepable(error)}"
        failure = Failure("outcome_not_storable", lease.veil.text(keepable(f"The outcome can't be stored: {why}")))
        try:
            async with lease.writing:
                return await self._change(lease, lambda task: lifecycle.fail(task, now=self._clock(), failure=failure))
        except NotStorable:
            _log.exception("The record of task %s can't be changed, it is left as it is", lease.task.id)
            return None

    def _leave(self, lease: Lease, left: "asyncio.Future[Outcome]") -> None:
        """A function that could not be stopped keeps its slot until it ends."""
        self._slots.keep(left)
        left.add_done_callback(self._free_slot)
        _log.warning("Task %s does not stop and keeps its slot; %s are taken so", lease.task.id, self._slots)
        asyncio.get_running_loop().call_later(self._force_after, self._make_way_if_worn)

    def _make_way_if_worn(self) -> None:
        if self._stopping.is_set() or not self._slots.are_worn:
            return
        _log.error("%s are taken by tasks that do not stop; this worker makes way for a fresh one", self._slots)
        self._is_worn = True
        self.stop()

    def _ask_to_stop(self, lease: Lease, reason: StopReason) -> None:
        if lease.stop(reason) and reason in (StopReason.CANCEL, StopReason.TIMEOUT):
            asyncio.get_running_loop().call_later(self._force_after, lease.force, reason)

    def _lose_lease(self) -> None:
        """Other workers may have these tasks by now: whatever still runs here counts no more."""
        _log.error("The lease of this worker is over; its tasks are given up")
        for lease in tuple(self._leases.values()):
            self._give_up(lease)
        self._leases.clear()

    def _give_up(self, lease: Lease) -> None:
        lease.stop(StopReason.LEASE_LOST)
        lease.force(StopReason.LEASE_LOST)

    async def _finish(self) -> None:
        """After `stop`: let running tasks come to an end or a checkpoint, then end them by force, then release them."""
        await self._wait_for_tries(self._grace)
        for lease in tuple(self._leases.values()):
            lease.force(StopReason.SHUTDOWN)
        await self._wait_for_tries(self._force_after)
        if left := tuple(self._leases.values()):
            await self._release(left)

    async def _wait_for_tries(self, timeout: float) -> None:
        if self._tries:
            await asyncio.wait(self._tries, timeout=timeout)

    async def _release(self, leases: Sequence[Lease]) -> None:
        """Queue tasks again that could not be stopped: they end with this process."""
        for lease in leases:
            self._give_up(lease)
        edits = [LeasedEdit(lease.task.id, lease.task.epoch, self._parked) for lease in leases]
        released = await asyncio.gather(*map(self._edits.change, edits), return_exceptions=True)
        for edit, outcome in zip(edits, released, strict=True):
            if isinstance(outcome, Exception):
                _log.error("Task %s could not be released, it counts as lost: %r", edit.id, outcome)

    def _parked(self, task: Task) -> Step:
        return lifecycle.park(task, now=self._clock())

    async def _write(self, lease: Lease, report: Report) -> None:
        """Make a report of a running task durable. Raises Parked when its lease is lost."""
        after = await self._change(lease, lambda task: lifecycle.report(task, now=self._clock(), report=report))
        if after is None:
            self._give_up(lease)
            raise Parked(StopReason.LEASE_LOST)

    async def _change(self, lease: Lease, apply: Callable[[Task], Step]) -> Task | None:
        """Change a leased task, however often that takes: it must not be left running under a worker that lives.

        None when the lease is lost. Raises NotStorable for what no store can take.
        """
        edit = LeasedEdit(lease.task.id, lease.task.epoch, apply)
        while lease.stopping is not StopReason.LEASE_LOST:
            try:
                after = await self._edits.change(edit)
            except NotStorable:
                raise  # trying again would meet the same
            except Exception as error:
                _log.error("Task %s could not be written; trying again: %r", lease.task.id, error)
                await asyncio.sleep(POLL)
            else:
                return None if isinstance(after, LeaseLost) else after
        return None


async def _wait(event: asyncio.Event) -> None:
    """Wait for an event, at most `POLL` seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(POLL):
            await event.wait()
