"""How do the tests run an example?"""

import asyncio
import contextlib
import csv
import io
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

from milepost import Milepost
from milepost.access.principal import LOCAL
from milepost.engine.source import load_file
from milepost.task import Entry, State, Task
from milepost.times import SECOND

EXAMPLES = Path(__file__).parents[2] / "examples"
DATA = EXAMPLES / "data"


def example(name: str) -> ModuleType:
    """The module of an example, as `milepost serve` loads it."""
    return load_file(EXAMPLES / f"{name}.py")


@contextlib.asynccontextmanager
async def running(app: Milepost) -> AsyncIterator[Milepost]:
    """The application, open, with a worker of its own."""
    async with app.opened():
        worker = app.worker(concurrency=3, grace=10)
        work = asyncio.create_task(worker.run())
        try:
            yield app
        finally:
            worker.stop()
            await work


def served(example: ModuleType, folder: Path, files_root: Path = DATA) -> Milepost:
    """An application with the task types of an example, and its store in a folder."""
    app = Milepost(folder / "milepost.db", files_root=files_root)
    app.include(example.app)
    return app


async def until_end(app: Milepost, task: Task, timeout: int = 60) -> Task:
    """The record at its end; `timeout` in seconds."""
    ended = await app.service.wait(LOCAL, task.id, timeout=timeout * SECOND, until_end=True)
    assert ended.state.terminal, f"It is still {ended.state} after {timeout} seconds."
    return ended


async def until(app: Milepost, task: Task, state: State, timeout: int = 30) -> Task:
    """The record once it is in a state; `timeout` in seconds."""
    async with asyncio.timeout(timeout):
        async for news in app.service.follow(LOCAL, task.id):
            if news.task is not None and news.task.state is state:
                return news.task
    raise AssertionError(f"It ended without ever being {state}.")


async def until_done(app: Milepost, task: Task, count: int, timeout: int = 30) -> Task:
    """The record once `count` items are done; `timeout` in seconds."""
    async with asyncio.timeout(timeout):
        async for news in app.service.follow(LOCAL, task.id):
            if news.task is not None and news.task.counts.done >= count:
                return news.task
    raise AssertionError(f"It ended before {count} items were done.")


async def result(app: Milepost, task: Task) -> bytes:
    """The bytes of a task's result."""
    body = await app.service.result(LOCAL, task.id)
    return b"".join([piece async for piece in body.read(0, None)])


async def value(app: Milepost, task: Task) -> Any:
    """The JSON value of a task's result."""
    return json.loads(await result(app, task))


async def log_lines(app: Milepost, task: Task) -> list[Entry]:
    """What a task has logged itself."""
    page = await app.service.log(LOCAL, task.id, limit=1000)
    return [entry for entry in page.entries if entry.kind == "log"]


def exported(ledger: Path, table: str, money: str, format: str) -> bytes:
    """What an export should contain, made the plain way: all at once, each amount tried as a number."""
    with contextlib.closing(sqlite3.connect(ledger)) as database:
        cursor = database.execute(f"select * from {table} order by id")
        columns = [column[0] for column in cursor.description]
        rows = [row for row in cursor if _valid(dict(zip(columns, row, strict=True)), money)]
    if format == "json":
        lines = ["\n" + json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) for row in rows]
        return f"[{','.join(lines)}\n]\n".encode()
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows([columns, *rows])
    return text.getvalue().encode()


def _valid(row: dict[str, Any], money: str) -> bool:
    try:
        float(row[money])
    except ValueError:
        return False
    return bool(row["status"] != "voided")
