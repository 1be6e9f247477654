"""What did the functions themselves see, whatever the store says? Each try leaves a trace in a file of its task.

Trace files are only ever appended to, one write a line, and do not lie on the store's disk. Times are of
CLOCK_MONOTONIC, which is one for all processes of a machine.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from milepost import BlockingContext, Context
from milepost.engine.outcome import Parked, StopReason

Event = Literal["begun", "saving", "saved", "refused", "ended"]


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


class Trace:
    """The trace of one try."""

    def __init__(self, ctx: Context | BlockingContext) -> None:
        self._task = ctx.task
        path = Path(os.environ["CHAOS_TRACES"], f"{self._task.id}.jsonl")
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.found = int(ctx.saved["step"]) if ctx.saved else 0
        """The last checkpoint of the tries before."""
        self.note("begun", self.found)

    def note(self, event: Event, step: int) -> None:
        """Write a line."""
        mark = Mark(self._task.id, self._task.epoch, event, time.monotonic_ns(), step, self._task.run, os.getpid())
        os.write(self._file, msgspec.json.encode(mark) + b"\n")

    @contextmanager
    def saving(self, step: int) -> Iterator[None]:
        """Surrounds a checkpoint: what comes back from it tells whether it was acknowledged."""
        self.note("saving", step)
        try:
            yield
        except Parked as parked:
            self.note("refused" if parked.reason is StopReason.LEASE_LOST else "saved", step)
            raise
        self.note("saved", step)

    def end(self, step: int) -> None:
        """The function returns."""
        self.note("ended", step)
        os.close(self._file)


Traces = dict[str, list[Mark]]
"""The marks of each task, by its id, in the order of their times."""


def read(folder: Path) -> Traces:
    """All traces in a folder. A line that a kill cut off is left out."""
    found: Traces = {}
    for path in folder.glob("*.jsonl"):
        lines = path.read_bytes().splitlines(keepends=True)
        marks = [msgspec.json.decode(line, type=Mark) for line in lines if line.endswith(b"\n")]
        found[path.stem] = sorted(marks, key=lambda mark: mark.at)
    return found
