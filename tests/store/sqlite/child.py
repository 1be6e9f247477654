"""What other processes do in these tests: ``python -m tests.store.sqlite.child <what> <path> …``."""

import asyncio
import mmap
import sys
from contextlib import closing
from pathlib import Path

import apsw

from milepost import lifecycle
from milepost.store.sqlite import SqliteStore
from milepost.store.sqlite.doorbell import Doorbell
from milepost.store.sqlite.gate import Gate
from milepost.store.sqlite.migrate import migrate, migrations
from tests.store.scene import Scene


def say(what: str) -> None:
    print(what, flush=True)  # noqa: T201 - it is how the test hears of it


def hold(path: Path) -> None:
    """Take the gate, and keep it until told."""
    with closing(Gate(path)) as gate, gate:
        say("held")
        sys.stdin.readline()


def insist(path: Path, turns: Path) -> None:
    """Take the gate, keep it until told, and take it again at once, counting the turns, until killed."""
    with closing(Gate(path)) as gate, turns.open("r+b") as file, mmap.mmap(file.fileno(), 8) as counted:
        while True:
            with gate:
                counted[:] = (int.from_bytes(counted[:]) + 1).to_bytes(8)
                say("held")
                sys.stdin.readline()


def ring(path: Path) -> None:
    """Ring all bells when told, with a bell of one's own until then."""
    with closing(Doorbell(path)) as bell:
        say("bound")
        sys.stdin.readline()
        bell.ring()


def migrate_stepwise(path: Path) -> None:
    """Bring the store up to date; tell of each statement before it runs, and run it when told to."""

    def tell(_: object, statement: str, __: object) -> bool:
        say(" ".join(statement.split()))
        sys.stdin.readline()
        return True

    apsw.connection_hooks.append(lambda connection: connection.set_exec_trace(tell))
    before, after = migrate(path, busy_timeout=30_000, scripts=migrations())
    say(f"from {before} to {after}")


async def start(path: Path) -> None:
    """Start tasks, ten at a time, until killed; tell of each that was acknowledged."""
    store = SqliteStore(path)
    await store.open()
    scene = Scene(store)

    async def go_on() -> None:
        while True:
            say((await scene.start()).id)

    await asyncio.gather(*(go_on() for _ in range(10)))


async def change(path: Path) -> None:
    """Cancel the task that is named."""
    store = SqliteStore(path)
    await store.open()
    say("open")
    task_id = await asyncio.to_thread(sys.stdin.readline)
    scene = Scene(store)
    await scene.change(await scene.read(task_id.strip()), lifecycle.cancel)
    await store.close()
    say("closed")


if __name__ == "__main__":
    what, *paths = sys.argv[1:]
    outcome = globals()[what](*map(Path, paths))
    if outcome is not None:
        asyncio.run(outcome)
