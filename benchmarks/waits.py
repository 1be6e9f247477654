"""How soon does each of thousands who wait hear of its task's change, and what does it cost to keep them waiting?

10,000 requests wait for as many tasks on one server, 500 tasks change a second, in one round by PATCH and in another by
another process; who was told asks again at once. Printed is what 99 of 100 changes take at most, from before the change
is asked for until the answer is there. What the server needs in memory meanwhile stands beside uvicorn with an
application that does nothing but wait. Everything runs on this machine, on the loopback interface, in folders that are
removed.
"""

import asyncio
import contextlib
import itertools
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec
import uvloop
from callers import request
from command import parser, run, tell
from figures import Figure
from processes import PATIENCE, idle_serving, neighbour, processor_seconds, resident, serving

from milepost import Milepost
from milepost.access.principal import LOCAL
from milepost.errors import ServiceError
from milepost.service import MANY, Wish
from milepost.start import Start

EXAMPLES = """
examples:
  python benchmarks/waits.py                          all of it, in some minutes
  python benchmarks/waits.py --only patch --rounds 1
  python benchmarks/waits.py --check                  exit code 1 where it takes more than is wanted
  python benchmarks/waits.py --scale 0.01             100 that wait
"""

WAITS: Final = 10_000
RATE: Final = 500
"""Changes a second."""
CHANGES: Final = 5_000
"""In a round."""
TOLD_WITHIN: Final = 200.0
"""Milliseconds until 99 of 100 are told."""
MEMORY: Final = 1.5
"""Times the memory of the server that does nothing else."""
PATCHERS: Final = 8
MERGE_PATCH: Final = "application/merge-patch+json"
CONNECTING: Final = 100
"""Connections that are made at once."""
SPREAD: Final = 7919
"""A prime: tasks that change one after the other are not those that asked one after the other."""


class Change(NamedTuple):
    """A change of a task: the version that it made, and when it was asked for and durable (s)."""

    version: int
    began: float
    durable: float


class Waiter(asyncio.Protocol):
    """A connection that asks for a task's next version, again and again, and notes when it was told each."""

    def __init__(self, task_id: str, version: int) -> None:
        self.told: dict[int, float] = {}
        self.failure: str | None = None
        self._id = task_id
        self._version = version
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's has no such base
        self._ask()

    def _ask(self) -> None:
        self._transport.write(request("GET", f"/v1/tasks/{self._id}?wait=60&version={self._version}"))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self._received += data
        head, _, body = self._received.partition(b"\r\n\r\n")
        try:
            version = msgspec.json.decode(body)["version"]
        except (msgspec.DecodeError, KeyError):
            self.failure = f"it was answered {head!r}" if not head.startswith(b"HTTP/1.1 200") else None
            return
        self._received = b""
        if version > self._version:
            self.told[version] = now
            self._version = version
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        self.failure = f"the server hung up: {error}"


@contextlib.asynccontextmanager
async def waiting(port: int, ids: Sequence[str], pid: int) -> AsyncIterator[dict[str, Waiter]]:
    """As many that wait, each for a task; once the server has nothing to do but to let them."""
    loop = asyncio.get_running_loop()
    waiters = {task_id: Waiter(task_id, 1) for task_id in ids}
    connected: list[tuple[Any, Any]] = []
    for first in range(0, len(ids), CONNECTING):
        connected += await asyncio.gather(
            *(
                loop.create_connection(partial(waiters.__getitem__, one), "127.0.0.1", port)
                for one in ids[first : first + CONNECTING]
            )
        )
    used = processor_seconds([pid])
    while True:
        await asyncio.sleep(1)
        used, before = processor_seconds([pid]), used
        if used - before < 0.2:
            break
    try:
        yield waiters
    finally:
        for transport, _ in connected:
            transport.abort()


async def started(store: Path, count: int) -> list[str]:
    """The ids of so many external tasks of a new store."""
    async with Milepost(store, files_root=store.parent).opened() as service:
        ids: list[str] = []
        for first in range(0, count, MANY):
            wishes = [Wish(Start(type="watched", runner="external"))] * min(MANY, count - first)
            for outcome in await service.start_many(LOCAL, wishes, origin="python"):
                if isinstance(outcome, ServiceError):
                    raise outcome
                ids.append(outcome.task.id)
    return ids


class Round(NamedTuple):
    """A round of changes that somebody waits for."""

    told: float
    """The 99th percentile of what passed from before a change was asked for until who waits was told (ms)."""
    after: float
    """The same from when the change was durable, as far as who made it knows: less than 0 where that was later (ms)."""


async def by_patch(port: int, ids: Sequence[str]) -> dict[str, Change]:
    """Change each of these tasks over HTTP, so many a second."""
    changes: dict[str, Change] = {}
    first = time.monotonic()
    turns = iter(enumerate(ids))

    async def patch() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number, task_id in turns:
            await asyncio.sleep(first + number / RATE - time.monotonic())
            body = msgspec.json.encode({"title": str(number)})
            began = time.monotonic()
            writer.write(request("PATCH", f"/v1/tasks/{task_id}", body, media_type=MERGE_PATCH))
            head = await reader.readuntil(b"\r\n\r\n")
            changed = await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
            changes[task_id] = Change(msgspec.json.decode(changed)["version"], began, time.monotonic())
        writer.close()

    await asyncio.gather(*(patch() for _ in range(PATCHERS)))
    return changes


async def by_process(store: Path, ids: Sequence[str]) -> dict[str, Change]:
    """Change each of these tasks in another process, so many a second."""
    file = store.with_name("ids")
    file.write_text("\n".join(ids))
    async with neighbour("change", store, file, RATE, folder=store.parent) as changing:
        changing.begin()
        await changing.done()
    return {task_id: Change(*change) for task_id, change in msgspec.json.decode(file.read_bytes()).items()}


async def all_told(changes: Mapping[str, Change], waiters: Mapping[str, Waiter]) -> Round:
    """What the changes took to be told, once all were; nobody else was told anything."""
    deadline = time.monotonic() + PATIENCE
    while any(change.version not in waiters[one].told for one, change in changes.items()):
        if time.monotonic() > deadline:
            raise RuntimeError("Somebody was not told.")
        await asyncio.sleep(0.01)
    for waiter in waiters.values():
        if waiter.failure:
            raise RuntimeError(f"Of somebody who waits: {waiter.failure}.")
    if (told := sum(len(waiter.told) for waiter in waiters.values())) != len(changes):
        raise RuntimeError(f"{len(changes)} changes were told {told} times.")
    when = {one: waiters[one].told.pop(change.version) for one, change in changes.items()}
    return Round(
        _slowest([when[one] - change.began for one, change in changes.items()]),
        _slowest([when[one] - change.durable for one, change in changes.items()]),
    )


def _slowest(seconds: Sequence[float]) -> float:
    """The 99th percentile, in ms."""
    return sorted(seconds)[len(seconds) * 99 // 100] * 1e3


async def measure(folder: Path, rounds: int, scale: float, only: Sequence[str]) -> list[Figure]:
    """All that is wanted."""
    count = max(20, round(WAITS * scale))
    store = folder / "tasks.db"
    ids = await started(store, count)
    rounded: dict[str, list[Round]] = {"patch": [], "process": []}
    async with idle_serving(folder) as (bare, port), waiting(port, ids, bare.pid):
        least = resident(bare.pid)
    async with serving(store) as (server, port), waiting(port, ids, server.pid) as waiters:
        needed = [resident(server.pid)]
        changed = itertools.count()
        for _ in range(rounds):
            for name, made in rounded.items():
                if only and name not in only:
                    continue
                some = [ids[next(changed) * SPREAD % count] for _ in range(min(count, round(CHANGES * scale)))]
                changing = by_patch(port, some) if name == "patch" else by_process(store, some)
                made.append(await all_told(await changing, waiters))
                needed.append(resident(server.pid))
                _show(".")
    return [figure for name, made in rounded.items() if made for figure in _told(name, made)] + [
        Figure("memory", f"needed while {count} wait, at most", "MB", [max(needed)], [least]),
        Figure("times", "that of a server that does nothing else", "times", [max(needed) / least], at_most=MEMORY),
    ]


def _told(name: str, rounds: Sequence[Round]) -> list[Figure]:
    how = "by PATCH" if name == "patch" else "by another process"
    after = f"{name}-after"
    return [
        Figure(name, f"99 of 100 told of a change {how}", "ms", [made.told for made in rounds], at_most=TOLD_WITHIN),
        Figure(after, "the same, after it was durable", "ms", [made.after for made in rounds]),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; the exit code."""
    wanted = parser(__doc__, EXAMPLES, ["patch", "process"]).parse_args(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with (
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        tempfile.TemporaryDirectory(prefix="milepost-", dir=wanted.folder, ignore_cleanup_errors=True) as folder,
    ):
        figures = runner.run(measure(Path(folder), wanted.rounds, wanted.scale, wanted.only or ()))
    _show("\n")
    return tell(figures, wanted)


def _show(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(main)
