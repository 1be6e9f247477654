"""How does a run go? Clients work while faults happen; the faults stop; everything ends; all is read once more."""

import asyncio
import contextlib
import random
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.chaos import traces
from tests.chaos.caller import UNREACHABLE, Caller
from tests.chaos.checker import counts, unfinished, violations
from tests.chaos.clients import Client, Pool
from tests.chaos.cluster import Cluster
from tests.chaos.evidence import LAST, Evidence, Violation, is_over
from tests.chaos.history import History
from tests.chaos.nemesis import Nemesis, schedule
from tests.chaos.sleeper import Sleeper

CLIENTS: Final = 5
END_WITHIN: Final = 60.0
"""Seconds after the faults in which every task has to have ended."""
LONGEST: Final = 85.0
"""Seconds beyond the time of the faults after which a run is broken off: everybody is killed then, and it is judged."""
READ_WITHIN: Final = 20.0
"""Seconds in which all that is left is read; and a tenth of the time of the faults, as a long one leaves more."""
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
    cut_short = []
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(history.close)
        await stack.enter_async_context(cluster)
        stack.push_async_callback(sleeper.close)
        clients = _clients(settings, cluster, history)
        for client in clients:
            stack.push_async_callback(client.finish, within=0)
        if not await within(settings.seconds + LONGEST, _live(cluster, history, clients, nemesis)):
            cut_short.append(f"it was broken off {LONGEST:.0f} s after the time of its faults")
        await cluster.kill()
        if not await within(READ_WITHIN + settings.seconds / 10, _read_all(cluster, history)):
            cut_short.append("not all could be read at its end, what is missing below may be there")
    evidence = Evidence(
        history.operations, traces.read(cluster.traces), ends=cluster.ends, orphans=sorted(set(cluster.orphans))
    )
    broken = [Violation("run", f"{why}; not ended: {unfinished(evidence)}") for why in cut_short]
    broken += violations(evidence)
    happened: dict[str, int | str] = {f"faults ({kind})": number for kind, number in nemesis.counts.items()}
    return Report(settings, broken, counts(evidence, broken) | happened, [str(fault) for fault in faults])


async def within(seconds: float, work: Coroutine[Any, Any, None]) -> bool:
    """Whether something came to its end in time; it is cancelled if not."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            await work
    except TimeoutError:
        if not limit.expired():
            raise
        return False
    return True


def _clients(settings: Settings, cluster: Cluster, history: History) -> list[Client]:
    pool = Pool()
    found = []
    for number in range(1, CLIENTS + 1):
        chance = random.Random(f"client {number} {settings.seed}")
        found.append(Client(Caller(f"client-{number}", cluster.servers, history, chance), pool, chance))
    return found


async def _live(cluster: Cluster, history: History, clients: Sequence[Client], nemesis: Nemesis) -> None:
    """Things go wrong, and then everything comes to its end."""
    await _work(clients, nemesis)
    await asyncio.gather(_end(cluster, history), *(client.finish(within=END_WITHIN) for client in clients))


async def _work(clients: Sequence[Client], nemesis: Nemesis) -> None:
    """Clients work for as long as things go wrong."""
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.run(stopping))
        await nemesis.run()
        stopping.set()


async def _end(cluster: Cluster, history: History) -> None:
    """Nothing goes wrong any more: let everything come to its end. What does not in time is seen at the end."""
    caller = Caller("closing", cluster.servers, history, random.Random(0))
    try:
        await within(END_WITHIN, _wait_for_all(caller))
    finally:
        await caller.close()


async def _wait_for_all(caller: Caller) -> None:
    """Look at all tasks, wait for one of those that have not ended, and look again."""
    pending = await _all(caller)
    while pending := [task for task in pending if not await _ended(caller, task)]:
        await caller.ask("wait", f"/v1/tasks/{pending[0]}?wait=1", task=pending[0])


async def _ended(caller: Caller, task: str) -> bool:
    """Whether a task has ended, or is gone; a paused one is resumed, one that would begin again and again cancelled."""
    read = await caller.ask("read", f"/v1/tasks/{task}", task=task)
    if read.record is None:
        await asyncio.sleep(UNREACHABLE)
        return read.status == 404
    if is_over(read.record):
        return True
    action = {"paused": "resume"}.get(read.record["state"], "cancel" if read.record["trigger"] else None)
    if action is not None:
        await caller.ask(action, f"/v1/tasks/{task}/{action}", method="POST", task=task)
    return False


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
