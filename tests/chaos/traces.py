"""What did the functions themselves see, whatever the store says? Each try leaves a trace in a file of its task.

Trace files are only ever appended to, one write a line, and do not lie on the store's disk. Times are of
CLOCK_MONOTONIC, which is one for all processes of a machine.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from milepost import BlockingContext, Context
from milepost.engine.outcome import Parked, StopReason

Event = Literal["begun", "saving", "saved", "refused", "ended", "asleep", "fenced"]
"""`asleep`: the try has suspended its whole process. `fenced`: the store refused a write of its, see fence.py."""

FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line. `at` is in ns."""

    task: str
    epoch: int
    event: Event
    at: int
    step: int = 0
    """The checkpoint that is meant; with `begun` the one that was found, with `ended` the last one."""
    run: int = 1
    """Which one of a repeating task; each begins without a checkpoint."""
    pid: int = 0


def path_of(task: str, folder: Path) -> Path:
    """The file of a task."""
    return folder / f"{task}.jsonl"


def append(mark: Mark) -> None:
    """Add a line to the file of its task."""
    file = os.open(path_of(mark.task, Path(os.environ["CHAOS_TRACES"])), FLAGS, 0o644)
    try:
        os.write(file, _line(mark))
    finally:
        os.close(file)


def _line(mark: Mark) -> bytes:
    return msgspec.json.encode(mark) + b"\n"


class Trace:
    """The trace of one try."""

    def __init__(self, ctx: Context | BlockingContext) -> None:
        self._ctx = ctx
        self._task = ctx.task
        self._file = os.open(path_of(self._task.id, Path(os.environ["CHAOS_TRACES"])), FLAGS, 0o644)
        self.found = int(ctx.saved["step"]) if ctx.saved else 0
        """The last checkpoint of the tries before."""
        self.note("begun", self.found)

    def note(self, event: Event, step: int) -> None:
        """Write a line."""
        mark = Mark(self._task.id, self._task.epoch, event, time.monotonic_ns(), step, self._task.run, os.getpid())
        os.write(self._file, _line(mark))

    @contextmanager
    def saving(self, step: int) -> Iterator[None]:
        """Surrounds a checkpoint: what comes back from it tells whether it was acknowledged."""
        self.note("saving", step)
        try:
            yield
        except Parked as parked:
            # What was saved in time is saved, even if the lease was over by the time that the function heard of it.
            is_saved = parked.reason is not StopReason.LEASE_LOST or (self._ctx.saved or {}).get("step") == step
            self.note("saved" if is_saved else "refused", step)
            raise
        self.note("saved", step)

    def sleep(self) -> None:
        """Suspend the whole process until somebody wakes it.

        The signal is for this thread: no other can do anything for it meanwhile, nor hears of a lost lease before it.
        """
        self.note("asleep", self.found)
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    def end(self, step: int) -> None:
        """The function returns."""
        self.note("ended", step)
        os.close(self._file)


Traces = dict[str, list[Mark]]
"""The marks of each task, by its id, in the order of their times."""


def read(folder: Path) -> Traces:
    """All traces in a folder."""
    return {path.stem: marks(path) for path in folder.glob("*.jsonl")}


def marks(path: Path) -> list[Mark]:
    """One trace; none if there is no such file yet. A line that a kill cut off is left out."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    found = [msgspec.json.decode(line, type=Mark) for line in lines if line.endswith(b"\n")]
    return sorted(found, key=lambda mark: mark.at)
