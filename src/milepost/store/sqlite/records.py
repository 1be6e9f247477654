"""How is one record read, made and changed, its cold parts and its log with it?"""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from msgspec.structs import astuple

from milepost.lifecycle import Step
from milepost.store.protocol import Scope
from milepost.store.refusals import UniqueKeyTaken
from milepost.store.sqlite import callbacks, log, rows
from milepost.store.sqlite.rows import Stored
from milepost.store.sqlite.sight import visibility
from milepost.store.sqlite.transaction import Transaction
from milepost.task import DeliveredFile, FileResult, JsonResult, Task


def find(transaction: Transaction, id: str, scope: Scope, now: int) -> Stored | None:
    """The record of an id, for who may see it."""
    row = transaction.row("get", {"id": id, "now": now, **visibility(scope)})
    return None if row is None else rows.record(row)


def find_leased(transaction: Transaction, id: str, epoch: int) -> Stored | None:
    """The record of a running task, if this is the epoch of its lease."""
    row = transaction.row("get_leased", (id, epoch))
    return None if row is None else rows.record(row)


def insert_all(transaction: Transaction, begun: Sequence[tuple[Step, bytes]]) -> list[Stored]:
    """Make the records of tasks that begin, each with its input. Their unique keys are not looked at."""
    (last,) = transaction.rows("last_row")[0]
    made: list[Stored] = []
    records: list[tuple[Any, ...]] = []
    entries: list[tuple[Any, ...]] = []
    for row, (step, _) in enumerate(begun, last + 1):
        task, told = log.tell(step.task, step.entries, transaction.log_cap)
        made.append(Stored(row, rows.inlined(task)))
        records.append((row, *rows.values(task)))
        if told is not None:
            entries.append((row, *told))
        transaction.changed[task.id] = task.version
        callbacks.note_end(transaction, None, task)
    transaction.run_all("insert_task", records)
    transaction.run_all("put_input", [(row, body) for row, (_, body) in enumerate(begun, last + 1)])
    transaction.run_all("insert_log", entries)
    return made


def insert(
    transaction: Transaction,
    step: Step,
    input: bytes,
    files: Sequence[DeliveredFile] = (),
    sealed: bytes | None = None,
) -> Stored:
    """Make the record of a task that begins; `sealed` are the secrets of its input. Raises UniqueKeyTaken."""
    _check_unique_key(transaction, None, step.task)
    (stored,) = insert_all(transaction, [(step, input)])
    if sealed is not None:
        transaction.run("seal_input", (sealed, stored.row))
    for number, file in enumerate(files):
        transaction.run("insert_file", (stored.row, number, *astuple(file)))
    _write_result(transaction, stored.row, None, step.task.result)
    return stored


def write(transaction: Transaction, stored: Stored, step: Step) -> Task:
    """Write a change of the record as it is stored, and give it as readers will get it. Raises UniqueKeyTaken."""
    row, before = stored
    _check_unique_key(transaction, before, step.task)
    task, told = log.tell(step.task, step.entries, transaction.log_cap)
    statement, values = rows.update(before, task)
    transaction.set(statement, (*values, row, before.version, before.epoch))
    _write_apart(transaction, row, told, step)
    if task.result is not before.result:
        _write_result(transaction, row, before.result, task.result)
    callbacks.note_end(transaction, before, task)
    transaction.changed[task.id] = task.version
    return rows.inlined(task)


def _write_apart(transaction: Transaction, row: int, told: tuple[Any, ...] | None, step: Step) -> None:
    if told is not None:
        transaction.run("insert_log", (row, *told))
    if step.checkpoint is None:
        transaction.run("drop_checkpoint", (row,))
    elif step.checkpoint is not UNSET:
        transaction.run("put_checkpoint", (row, step.checkpoint))
    if step.traceback is None:
        transaction.run("drop_traceback", (row,))
    elif step.traceback is not UNSET:
        transaction.run("put_traceback", (row, step.traceback))


def _write_result(
    transaction: Transaction,
    row: int,
    before: JsonResult | FileResult | None,
    after: JsonResult | FileResult | None,
) -> None:
    if isinstance(after, JsonResult):
        if after.value is None:
            raise ValueError("A new result has to come with its value.")
        transaction.run("put_result", (row, bytes(after.value)))
    elif isinstance(before, JsonResult):
        transaction.run("drop_result", (row,))


def _check_unique_key(transaction: Transaction, before: Task | None, after: Task) -> None:
    if after.unique_key is None or not _holds_key(after) or (before is not None and _holds_key(before)):
        return
    holder = transaction.row("unique_key_holder", (after.tenant, after.owner, after.type, after.unique_key))
    if holder is not None:
        raise UniqueKeyTaken(holder[0])


def _holds_key(task: Task) -> bool:
    return task.finished_at is None or task.next_run_at is not None
