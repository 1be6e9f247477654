"""What do processes do that share a store, while `between_processes.py` watches them?

    python benchmarks/neighbours.py work STORE COUNT [--no-gate]
    python benchmarks/neighbours.py start STORE [--no-gate]
    python benchmarks/neighbours.py hear STORE ID COUNT
    python benchmarks/neighbours.py poll STORE ID COUNT SECONDS
    python benchmarks/neighbours.py change STORE FILE RATE

Each prints `ready`, begins when it reads a line, and prints as JSON what came of it. `work` runs COUNT queued tasks:
how long that took, and how long each of its commits kept others out. `start` starts one task after the other until its
input ends: how long each took. `hear` waits for COUNT changes of a task, as a waiting request does: when it knew each
version; so does `poll`, which looks every so many seconds whether anybody has committed. `change` changes the tasks
whose ids are the lines of FILE, RATE a second, and writes there instead, as JSON, which version each has then, when it
was asked for, and when it was durable: there is much of it.

All times are seconds, of the clock that the processes of a machine share.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec
import uvloop

from milepost import Milepost
from milepost.access.principal import LOCAL
from milepost.store.sqlite import heart, writer
from milepost.store.sqlite.connection import connect
from milepost.store.sqlite.gate import Gate
from milepost.times import HOUR
from milepost.update import Update

TOGETHER: Final = 100
"""Tasks that the worker runs at once."""


class Worked(msgspec.Struct):
    """What `work` says."""

    seconds: float
    held: list[float]


class TimedGate(Gate):
    """A gate that knows how long it was held, each time."""

    held: Final[list[float]] = []

    def __enter__(self) -> None:
        super().__enter__()
        self._since = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.held.append(time.monotonic() - self._since)
        super().__exit__(kind, error, traceback)


class NoGate(Gate):
    """What there is without one: SQLite's own lock, which is asked for again after pauses (`busy_timeout`)."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


async def work(store: Path, count: int) -> Worked:
    """Run so many tasks that are queued."""
    app = Milepost(store, files_root=store.parent)
    left = count

    @app.task
    async def add_one(number: int) -> int:
        nonlocal left
        left -= 1
        if left == 0:
            worker.stop()
        return number + 1

    async with app.opened():
        worker = app.worker(concurrency=TOGETHER)
        await told_to_begin()
        TimedGate.held.clear()
        began = time.monotonic()
        await worker.run()
        return Worked(time.monotonic() - began, TimedGate.held)


async def start(store: Path) -> list[float]:
    """Start one task after the other until the input ends."""
    app = Milepost(store, files_root=store.parent)

    @app.task
    async def add_one(number: int) -> int:
        return number + 1

    took: list[float] = []
    async with app.opened():
        await told_to_begin()
        ended = asyncio.create_task(_line())
        while not (took and ended.done()):
            began = time.monotonic()
            await app.start("add_one", {"number": 1})
            took.append(time.monotonic() - began)
    return took


async def heard(store: Path, task_id: str) -> AsyncGenerator[int, None]:
    """The versions of a task, from the present one on, as the doorbell leads to them."""
    async with Milepost(store, files_root=store.parent).opened() as service:
        task = await service.get(LOCAL, task_id)
        while True:
            yield task.version
            task = await service.wait(LOCAL, task_id, version=task.version, timeout=HOUR)


async def polled(store: Path, task_id: str, pause: float) -> AsyncGenerator[int, None]:
    """The same, as somebody finds them who looks every `pause` seconds whether there was a commit."""
    connection = connect(store, busy_timeout=1000)
    seen = None
    while True:
        ((commits,),) = connection.execute("PRAGMA data_version").fetchall()
        if commits != seen:
            seen = commits
            row: Any = connection.execute("SELECT version FROM task WHERE id = ?", (task_id,)).fetchone()
            yield row[0]
        await asyncio.sleep(pause)


async def change(store: Path, file: Path, rate: float) -> int:
    """Change the tasks of a file, so many a second, however long each takes. Gives how many there were."""
    ids = file.read_text().split()
    changes: dict[str, tuple[int, float, float]] = {}
    async with Milepost(store, files_root=store.parent).opened() as service:

        async def one(task_id: str) -> None:
            began = time.monotonic()
            changed = await service.update(LOCAL, task_id, Update(title=str(began)))
            changes[task_id] = changed.version, began, time.monotonic()

        await told_to_begin()
        first = time.monotonic()
        async with asyncio.TaskGroup() as together:
            for number, task_id in enumerate(ids):
                await asyncio.sleep(first + number / rate - time.monotonic())
                together.create_task(one(task_id))
    file.write_bytes(msgspec.json.encode(changes))
    return len(changes)


async def known(versions: AsyncGenerator[int, None], changes: int) -> dict[int, float]:
    """When each version was known, until there were so many changes."""
    times: dict[int, float] = {}
    async with aclosing(versions):
        first = await anext(versions)
        await told_to_begin()
        async for version in versions:
            times[version] = time.monotonic()
            if version >= first + changes:
                break
    return times


async def told_to_begin() -> None:
    """Say that all is ready, and wait for the word."""
    print("ready", flush=True)
    await _line()


async def _line() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


def main() -> None:
    """Do what the arguments say, and print what came of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["work", "start", "hear", "poll", "change"])
    parser.add_argument("store", type=Path)
    parser.add_argument("more", nargs="*")
    parser.add_argument("--no-gate", action="store_true")
    asked = parser.parse_args()
    for module in (writer, heart):
        vars(module)["Gate"] = NoGate if asked.no_gate else TimedGate
    doing: Coroutine[Any, Any, Worked | list[float] | dict[int, float] | int]
    match asked.what, *asked.more:
        case "work", count:
            doing = work(asked.store, int(count))
        case ["start"]:
            doing = start(asked.store)
        case "hear", task_id, count:
            doing = known(heard(asked.store, task_id), int(count))
        case "poll", task_id, count, pause:
            doing = known(polled(asked.store, task_id, float(pause)), int(count))
        case "change", file, rate:
            doing = change(asked.store, Path(file), float(rate))
        case _:
            parser.error("That is too little, or too much.")
    print(msgspec.json.encode(uvloop.run(doing)).decode())


if __name__ == "__main__":
    main()
