"""How do concurrent writes share a commit?

One thread writes. It drains whatever calls have arrived, carries them out in one transaction, each in a savepoint of
its own so that one that fails fails alone, commits once, and then answers them all.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

import apsw

from milepost.store.protocol import StoreBusy
from milepost.store.sqlite.connection import WriteAheadLog, connect
from milepost.store.sqlite.gate import Gate
from milepost.store.sqlite.statements import SQL
from milepost.store.sqlite.transaction import Changed, Transaction

_log = logging.getLogger(__name__)

MAX_CALLS: Final = 1000
"""Calls that share a commit at most, so that the first of them need not wait too long for the last."""

T = TypeVar("T")


class Call(NamedTuple):
    """What a caller asked for, and where its outcome goes."""

    run: Callable[[Transaction], Any]
    future: asyncio.Future[Any]


class Outcome(NamedTuple):
    """What became of a call: a value, or an error to raise."""

    value: Any
    error: BaseException | None = None


class Writer:
    """Writes for one event loop, the one that it is made in.

    `on_commit` is called in the loop after a commit, with what changed, before the callers hear of it; `ring` in the
    writer's thread.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout: int,
        max_log_bytes: int,
        on_commit: Callable[[Changed], None],
        ring: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._gate = Gate(path)
        self._connection = connect(path, busy_timeout=busy_timeout)
        self._wal = WriteAheadLog(self._connection)
        self._patience = busy_timeout / 1000
        self._max_log_bytes = max_log_bytes
        self._on_commit = on_commit
        self._ring = ring
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._at_gate: tuple[float, list[Call]] | None = None
        self._at_gate_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="milepost-writer", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[Transaction], T]) -> "asyncio.Future[T]":
        """Have `run` carried out in a transaction; the future is done once it is committed."""
        future = self._loop.create_future()
        self._calls.put(Call(run, future))
        return future

    async def close(self) -> None:
        """Carry out what was submitted, then end the thread."""
        self._calls.put(None)
        await asyncio.to_thread(self._thread.join)

    def give_up(self) -> None:
        """Answer with StoreBusy those who have waited too long: another process holds the gate and does not move on."""
        with self._at_gate_lock:
            if self._at_gate is None or time.monotonic() - self._at_gate[0] < self._patience:
                return
            since, calls = self._at_gate
            self._at_gate = since, []
        while (call := self._next(wait=False)) is not None:
            calls.append(call)
        _answer(calls, [Outcome(None, _busy())] * len(calls))

    def _run(self) -> None:
        last = False
        while not last:
            calls, last = self._arrived()
            if calls:
                self._write(calls)
        with self._gate:
            self._wal.empty()
            self._connection.close()
        self._gate.close()

    def _arrived(self) -> tuple[list[Call], bool]:
        """The calls that have arrived, at least one unless the writer is to end, and whether it is."""
        first = self._calls.get()
        calls: list[Call] = []
        while first is not None:
            calls.append(first)
            if len(calls) == MAX_CALLS:
                return calls, False
            try:
                first = self._calls.get_nowait()
            except Empty:
                return calls, False
        return calls, True
