"""How does a worker take tasks, run them, and tell how they ended?"""

import asyncio
import contextlib
import logging
import os
import random
import shutil
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import uuid_utils

from milepost import lifecycle, times
from milepost.engine.background import BackgroundLoop
from milepost.engine.capture import capture_logging
from milepost.engine.channel import Lease
from milepost.engine.context import Place
from milepost.engine.flush import Flusher
from milepost.engine.heartbeat import LEASE, Heartbeat
from milepost.engine.outcome import Outcome, Parked, StopReason
from milepost.engine.runners.loop import LoopRunner
from milepost.engine.runners.process import ProcessRunner
from milepost.engine.runners.protocol import Ended, Runner
from milepost.engine.runners.thread import ThreadRunner
from milepost.engine.settle import Settlement
from milepost.engine.task_type import TaskType
from milepost.files.protocol import FileStore
from milepost.lifecycle import Report
from milepost.store.protocol import EVERYTHING, Claimed, LeasedEdit, LeaseLost, TaskStore, Wanted, WorkerInfo
from milepost.task import Task
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
    """Claims tasks of its types and runs up to `concurrency` of them at once.

    `grace` and `force_after` are in seconds. `loops` are the background loops that this process contributes.
    """

    def __init__(
        self,
        types: Mapping[str, TaskType],
        store: TaskStore,
        files: FileStore,
        place: Place,
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        grace: float = DEFAULT_GRACE,
        force_after: float = FORCE_AFTER,
        loops: Iterable[BackgroundLoop] = (),
        clock: Clock = times.now,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._types = types
        self._store = store
        self._place = place
        self._concurrency = concurrency
        self._grace = grace
        self._force_after = force_after
        self._loops = tuple(loops)
        self._clock = clock
        self._settlement = Settlement(store, files, clock=clock, jitter=jitter)
        self._runners: dict[str, Runner] = {"loop": LoopRunner(), "thread": ThreadRunner(), "process": ProcessRunner()}
        self._wanted = [Wanted(t.name, t.info.concurrency) for t in types.values()]
        self._leases: dict[str, Lease] = {}
        self._tries: set[asyncio.Task[None]] = set()
        self._stuck = 0
        self._stopping = asyncio.Event()
        self._woken = asyncio.Event()
        self.id = ""

    def stop(self) -> None:
        """Claim nothing more; running tasks stop at their next checkpoint, or have the grace time to end."""
        self._stopping.set()
        self._woken.set()
        for lease in self._leases.values():
            lease.stop(StopReason.SHUTDOWN)

    async def run(self) -> bool:
        """Work until stopped. False when it ended because half of its slots are stuck: start a fresh process then.

        Every lease that runs out although the worker lives (it was stopped for a while) is followed by a new one.
        """
        capture_logging()
        self._flusher = Flusher()
        background = [
            asyncio.create_task(work) for work in (self._flusher.run(), *(loop.run() for loop in self._loops))
        ]
        try:
            while not self._stopping.is_set():
                await self._work_under_lease()
        finally:
            for task in background:
                task.cancel()
        return not self._is_stuck

    @property
    def _is_stuck(self) -> bool:
        return self._stuck * 2 >= self._concurrency

    async def _work_under_lease(self) -> None:
        self.id = str(uuid_utils.uuid7())
        info = WorkerInfo(self.id, socket.gethostname(), os.getpid(), self._concurrency, tuple(self._types))
        await self._store.enlist(info, until=self._clock() + LEASE)
        loop = asyncio.get_running_loop()
        over = asyncio.Event()

        def lease_over() -> None:
            loop.call_soon_threadsafe(over.set)

        heartbeat = Heartbeat(self._store.heart, self.id, clock=self._clock, on_over=lease_over)
        heartbeat.start()
        listener = asyncio.create_task(self._listen())
        ended = asyncio.create_task(over.wait())
        claiming = asyncio.create_task(self._claim_until_stopped())
        try:
            await asyncio.wait([ended, claiming], return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                await self._finish()
            else:
                self._lose_lease()
        finally:
            for task in (listener, ended, claiming):
                task.cancel()
            await asyncio.to_thread(heartbeat.stop)
        await self._store.dismiss(self.id, now=self._clock())

    async def _listen(self) -> None:
        """Wake for whatever was committed, and hand requests to stop on to the tasks they mean."""
        async for _ in self._store.changes():
            self._woken.set()
            if not self._leases:
                continue
            try:
                requests = {request.id: request for request in await self._store.requests(self.id)}
            except Exception:
                _log.exception("Requests to cancel or pause could not be read; the next change tries again")
                continue
            for lease in tuple(self._leases.values()):
                request = requests.get(lease.task.id)
                if request is None:
                    lease.carry_on()
                elif request.epoch == lease.task.epoch:
                    self._ask_to_stop(lease, StopReason.CANCEL if request.cancel else StopReason.PAUSE)

    async def _claim_until_stopped(self) -> None:
        """Fill free slots whenever something rings, a slot is freed, or some time has passed; ends with the lease."""
        while not self._stopping.is_set():
            self._woken.clear()
            if len(self._tries) < self._concurrency and not await self._claim():
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL):
                    await self._woken.wait()

    async def _claim(self) -> bool:
        """Fill the free slots; False when the lease is over."""
        free = self._concurrency - len(self._tries)
        try:
            claimed = await self._store.claim(self.id, self._wanted, limit=free, now=self._clock())
        except Exception:
            _log.exception("Tasks could not be claimed; trying again")
            return True
        if isinstance(claimed, LeaseLost):
            return False
        for one in claimed:
            self._begin(one)
        return True

    def _begin(self, claimed: Claimed) -> None:
        lease = Lease(claimed, on_told=self._flusher.note, write=self._write, read_result=self._result_of)
        self._leases[claimed.task.id] = lease
        work = asyncio.create_task(self._try(lease))
        self._tries.add(work)
        work.add_done_callback(self._done)

    def _done(self, work: "asyncio.Task[None]") -> None:
        self._tries.discard(work)
        self._woken.set()
        if not work.cancelled() and (error := work.exception()) is not None:
            _log.error("A try could not be brought to its end", exc_info=error)

    async def _try(self, lease: Lease) -> None:
        """One try of one task, from the claim to its outcome; the slot is taken until its thread has ended too."""
        task_type = self._types[lease.task.type]
        timer = None
        if lease.task.timeout is not None:
            delay = lease.task.timeout / SECOND
            timer = asyncio.get_running_loop().call_later(delay, self._ask_to_stop, lease, StopReason.TIMEOUT)
        try:
            ended = await self._runner(lease.task, task_type).run(task_type, lease, self._place)
        finally:
            if timer is not None:
                timer.cancel()
        after = await self._settle(lease, task_type, ended.outcome)
        if self._leases.get(lease.task.id) is lease:
            del self._leases[lease.task.id]
        if after is not None and after.state.terminal:
            await asyncio.to_thread(shutil.rmtree, Path(self._place.folders, after.id), ignore_errors=True)
        await self._linger(ended)

    def _runner(self, task: Task, task_type: TaskType) -> Runner:
        """A task that has taken a worker down runs in a process of its own, so that its neighbours live."""
        alone = task.losses > 0 and task_type.source is not None
        return self._runners["process" if alone else task.runner]

    async def _settle(self, lease: Lease, task_type: TaskType, outcome: Outcome) -> Task | None:
        """Write the outcome, however often it takes: a task must not stay running under a worker that lives."""
        report = lease.take() or Report()
        while lease.stopping is not StopReason.LEASE_LOST:
            try:
                return await self._settlement.settle(lease, task_type, outcome, report)
            except Exception:
                _log.exception("The outcome of task %s could not be written; trying again", lease.task.id)
                await asyncio.sleep(POLL)
        return None

    async def _linger(self, ended: Ended) -> None:
        if ended.lingering is None:
            return
        self._stuck += 1
        if self._is_stuck:
            _log.error("Half of the slots are taken by threads that do not stop; this worker makes way for a fresh one")
            self.stop()
        await ended.lingering
        self._stuck -= 1

    def _ask_to_stop(self, lease: Lease, reason: StopReason) -> None:
        if lease.stop(reason) and reason in (StopReason.CANCEL, StopReason.TIMEOUT):
            asyncio.get_running_loop().call_later(self._force_after, lease.force)

    def _lose_lease(self) -> None:
        """Other workers may have these tasks by now: whatever still runs here counts no more."""
        _log.error("The lease of this worker is over; its tasks are given up")
        for lease in tuple(self._leases.values()):
            lease.stop(StopReason.LEASE_LOST)
            lease.force()
        self._leases.clear()

    async def _finish(self) -> None:
        """After `stop`: let running tasks come to an end or a checkpoint, then end them by force."""
        running = self._tries
        if running:
            await asyncio.wait(running, timeout=self._grace)
        for lease in tuple(self._leases.values()):
            lease.force()
        if self._leases:
            await asyncio.wait(running, timeout=self._force_after)

    async def _write(self, lease: Lease, report: Report) -> None:
        """Make a report of a running task durable. Raises Parked when its lease is lost."""
        edit = LeasedEdit(
            lease.task.id,
            lease.task.epoch,
            lambda task: lifecycle.report(task, now=self._clock(), report=report),
        )
        (outcome,) = await self._store.change_leased([edit], now=self._clock())
        if isinstance(outcome, LeaseLost):
            lease.stop(StopReason.LEASE_LOST)
            lease.force()
            raise Parked(StopReason.LEASE_LOST)

    async def _result_of(self, task: Task, id: str) -> bytes:
        if id not in task.depends_on:
            raise LookupError(f"This task does not depend on {id}.")
        body = await self._store.result(id, EVERYTHING, now=self._clock())
        if body is None:
            raise LookupError(f"Task {id} has no JSON result.")
        return body
