"""What does a record tell a caller of other tasks? Only of those that the caller sees too.

A task can wait for others, or come of one, that not everybody sees who sees the task itself: an assignee sees what it
is to do, and not what that waits for. Such a task is left out of what is shown, and its id out of the texts that name
it, be it there or gone. The record in the store keeps them all.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from milepost import dependency
from milepost.store.protocol import Created, LogPage, Scope
from milepost.task import Entry, Task

NOT_SHOWN: Final = "(not shown)"
"""What a text has in place of the id of a task that the caller does not see."""

Rows = Callable[[str, Any], Sequence[tuple[Any, ...]]]
"""Gives the rows of the statement of a name."""


@lru_cache(maxsize=1024)
def visibility(scope: Scope) -> dict[str, Any]:
    """The parameters of the statement part `visible`."""
    return {
        "everything": scope.whole is None,
        "whole": msgspec.json.encode(scope.whole or ()).decode(),
        "own": msgspec.json.encode(scope.own).decode(),
        "assigned": scope.assigned,
        "name": scope.name,
    }


def of_owner(task: Task) -> Scope:
    """What the owner of a task sees in its tenant, with the roles that it was started with.

    Any but `user` shows all of it (milepost.access.principal).
    """
    if set(task.roles) <= {"user"}:
        return Scope(task.owner, own=(task.tenant,))
    return Scope(task.owner, whole=(task.tenant,))


def shown(rows: Rows, task: Task, scope: Scope, now: int) -> Task:
    """The record as a caller gets it who sees the task."""
    return _without(task, hidden(rows, task, scope, now))


def made(rows: Rows, created: Created, scope: Scope, now: int) -> Created:
    """The same of a task that was started."""
    return replace(created, task=shown(rows, created.task, scope, now))


def page(rows: Rows, task: Task, entries: Sequence[Entry], scope: Scope, now: int) -> LogPage:
    """The same of a record and of entries of its log."""
    unseen = hidden(rows, task, scope, now)
    told = [replace(entry, message=_said(entry.message, unseen)) for entry in entries] if unseen else list(entries)
    return LogPage(_without(task, unseen), told)


def hidden(rows: Rows, task: Task, scope: Scope, now: int) -> frozenset[str]:
    """The ids in a record that are of no task that the caller sees. Of one in a tenant that it sees whole: none."""
    named = {*task.depends_on, *task.blocked_by, *((task.parent,) if task.parent else ())}
    if not named or scope.whole is None or task.tenant in scope.whole:
        return frozenset()
    asked = {"ids": msgspec.json.encode(sorted(named)).decode(), "now": now, **visibility(scope)}
    return frozenset(named.difference(task_id for (task_id,) in rows("seen_among", asked)))


def _without(task: Task, unseen: frozenset[str]) -> Task:
    if not unseen:
        return task
    failure = task.failure
    blocked_by = tuple(task_id for task_id in task.blocked_by if task_id not in unseen)
    reason = task.blocked_reason and dependency.retold(task.blocked_reason, blocked_by or (NOT_SHOWN,))
    return replace(
        task,
        parent=None if task.parent in unseen else task.parent,
        depends_on=tuple(task_id for task_id in task.depends_on if task_id not in unseen),
        blocked_by=blocked_by,
        blocked_reason=reason and _said(reason, unseen),
        failure=None if failure is None else replace(failure, message=_said(failure.message, unseen)),
    )


def _said(text: str, unseen: frozenset[str]) -> str:
    for task_id in unseen:
        text = text.replace(task_id, NOT_SHOWN)
    return text
