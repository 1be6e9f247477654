"""What do a store and its workers tell each other?"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from milepost.task import DeliveredFile, Task
from milepost.times import SECOND


class WorkerInfo(msgspec.Struct, frozen=True):
    """A worker that asks for a lease. `pid` and `host` are for operators."""

    id: str
    host: str
    pid: int
    concurrency: int
    types: tuple[str, ...]
    lease: int = 6 * SECOND
    """How long it may be silent before its tasks are taken from it, in µs."""


class Wanted(msgspec.Struct, frozen=True):
    """A type that a worker takes tasks of; `concurrency` limits how many run at once in the whole store."""

    type: str
    concurrency: int | None = None
    can_run_apart: bool = True
    """Whether another process can find its function."""


class Claimed(msgspec.Struct, frozen=True):
    """A task under a fresh lease (see its `epoch`), with the cold parts that running it needs."""

    task: Task
    input: bytes
    checkpoint: bytes | None
    files: tuple[DeliveredFile, ...] = ()
    sealed: bytes | None = None
    """The secrets of the input, for who has the key."""


class Unopened:
    """The tasks that a worker leaves to others, because it has no key for their secrets.

    `opens` says whether it has one, by what is sealed and the task's id. In `known` a store keeps what it has found so,
    in words of its own, as it need not look again.
    """

    def __init__(self, opens: Callable[[bytes, str], bool]) -> None:
        self.opens = opens
        self.known: set[tuple[int, int]] = set()


class Request(msgspec.Struct, frozen=True):
    """A cancel or pause that waits for a running task's worker."""

    id: str
    epoch: int
    cancel: bool
    pause: bool


class Pulse(msgspec.Struct, frozen=True):
    """A worker whose lease nobody has ended, and how often its heart has beaten.

    Whether it still does, whoever watches sees for itself: no two clocks have to agree on that.
    """

    worker: WorkerInfo
    beats: int


class Heart(Protocol):
    """Keeps one worker's lease alive. Used from a thread of its own, with a connection of its own."""

    def beat(self, worker: str) -> bool:
        """Count one more beat; False when the lease is over already, and nothing can bring it back."""
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...
