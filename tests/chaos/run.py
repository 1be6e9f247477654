"""How does a run go? Clients work while faults happen; the faults stop; everything ends; all is read once more."""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.chaos import traces
from tests.chaos.caller import UNREACHABLE, Caller
from tests.chaos.checker import counts, violations
from tests.chaos.clients import Client, Pool
from tests.chaos.cluster import Cluster
from tests.chaos.evidence import LAST, Evidence, Record, Violation
from tests.chaos.history import TERMINAL, History
from tests.chaos.nemesis import Nemesis, schedule
from tests.chaos.sleeper import Sleeper

CLIENTS: Final = 5
END_WITHIN: Final = 90.0
"""Seconds after the faults in which every task has to have ended."""
LONGEST: Final = 300.0
"""Seconds beyond the faults after which a run is broken off."""
PAGE: Final = 100


class Settings(NamedTuple):
    """What a run depends on. `seconds`: how long things go wrong."""

    seed: int
    seconds: float
    folder: Path


class Report(NamedTuple):
    """What a run showed."""

    settings: Settings
    violations: list[Violation]
    counts: dict[str, int | str]
    faults: list[str]

    def __str__(self) -> str:
        figures = "\n".join(f"  {name}: {value}" for name, value in self.counts.items())
        wrong = "".join(f"\n  {violation}" for violation in self.violations[:100])
        faults = "".join(f"\n  {fault}" for fault in self.faults) if self.violations else ""
        return (
            f"chaos --seed {self.settings.seed}, {self.settings.seconds:.0f} s of faults\n{figures}\n"
            f"  broken promises: {len(self.violations)}{wrong}"
            + (f"\nFaults:{faults}\nAll files: {self.settings.folder}" if self.violations else "")
        )


async def run(settings: Settings) -> Report:
    """One run, from the first process to the verdict."""
    faults = schedule(settings.seed, settings.seconds)
    cluster = Cluster(settings.folder, megabytes=96 + round(settings.seconds / 4))
    history = History(cluster.clock, settings.folder / "history.jsonl")
    sleeper = Sleeper(cluster, Caller("sleeper", cluster.servers, history, random.Random(settings.seed)))
    nemesis = Nemesis(cluster, sleeper, faults)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(settings.seconds + LONGEST))
        stack.callback(history.close)
        await stack.enter_async_context(cluster)
        stack.push_async_callback(sleeper.close)
        clients = _clients(settings, cluster, history)
        for client in clients:
            stack.push_async_callback(client.finish, within=0)
        await _work(clients, nemesis)
        await asyncio.gather(_end(cluster, history), *(client.finish(within=END_WITHIN) for client in clients))
        await cluster.kill()
        await _read_all(cluster, history)
    evidence = Evidence(
        history.operations, traces.read(cluster.traces), ends=cluster.ends, orphans=sorted(set(cluster.orphans))
    )
    broken = violations(evidence)
    happened: dict[str, int | str] = {f"faults ({kind})": number for kind, number in nemesis.counts.items()}
    return Report(settings, broken, counts(evidence, broken) | happened, [str(fault) for fault in faults])


def _clients(settings: Settings, cluster: Cluster, history: History) -> list[Client]:
    pool = Pool()
    found = []
    for number in range(1, CLIENTS + 1):
        chance = random.Random(f"client {number} {settings.seed}")
        found.append(Client(Caller(f"client-{number}", cluster.servers, history, chance), pool, chance))
    return found


async def _work(clients: Sequence[Client], nemesis: Nemesis) -> None:
    """Clients work for as long as things go wrong."""
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.run(stopping))
        await nemesis.run()
        stopping.set()


async def _end(cluster: Cluster, history: History) -> None:
    """Nothing goes wrong any more: let everything come to its end."""
    caller = Caller("closing", cluster.servers, history, random.Random(0))
    deadline = time.monotonic() + END_WITHIN
    try:
        pending = await _all(caller)
        while pending and time.monotonic() < deadline:
            pending = [task for task in pending if not await _ended(caller, task)]
    finally:
        await caller.close()


async def _ended(caller: Caller, task: str) -> bool:
    """Whether a task has ended, or is gone; a paused one is resumed, one that would begin again and again cancelled."""
    read = await caller.ask("wait", f"/v1/tasks/{task}?wait=1", task=task)
    if read.record is None:
        await asyncio.sleep(UNREACHABLE)
        return read.status == 404
    action = {"paused": "resume"}.get(read.record["state"], "cancel" if read.record["trigger"] else None)
    if action is not None and not _is_over(read.record):
        await caller.ask(action, f"/v1/tasks/{task}/{action}", method="POST", task=task)
    return _is_over(read.record)


def _is_over(record: Record) -> bool:
    return record["state"] in TERMINAL and record["next_run_at"] is None


async def _all(caller: Caller) -> list[str]:
    """The ids of all tasks that there are."""
    found: list[str] = []
    after = ""
    while True:
        page = await caller.ask("list", f"/v1/tasks?limit={PAGE}{after}")
        if page.outcome != "ok":
            await asyncio.sleep(UNREACHABLE)
            continue
        found += page.ids
        if page.body is None:
            return found
        after = f"&after={page.body}"


async def _read_all(cluster: Cluster, history: History) -> None:
    """Everybody was killed. Read all that is left: records, logs and results."""
    server = await cluster.last_server()
    caller = Caller(LAST, [server], history, random.Random(0))
    try:
        for task in await _all(caller):
            await caller.ask("read", f"/v1/tasks/{task}", task=task)
            after: int | None = 0
            while (
                log := await caller.ask("logs", f"/v1/tasks/{task}/logs?after={after}", task=task, after=after)
            ).entries:
                after = log.entries[-1]["seq"]
            await caller.ask("result", f"/v1/tasks/{task}/result", task=task)
    finally:
        await caller.close()
