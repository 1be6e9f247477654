"""Is what is not the caller's looked for by the very statements that look for what is not there?"""

from collections.abc import Iterator
from typing import Any, Final

import apsw
import pytest

from milepost import errors
from milepost.access.principal import LOCAL
from tests.service.hands import Hands
from tests.service.test_roles import ASKERS, OPERATIONS, TASKS, may

ABSENT: Final = "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40"
_OF_A_LOOP: Final = "pragma data_version"
"""What looks whether others have written, from time to time."""

Statement = tuple[str, Any]


class Trace:
    """Every statement that any connection has run, with what was bound to it."""

    def __init__(self) -> None:
        self._run: list[Statement] = []

    def __call__(self, connection: apsw.Connection) -> None:
        """Watch a connection that was just made."""
        connection.exec_trace = self._note

    def _note(self, _cursor: apsw.Cursor, statement: str, bound: Any) -> bool:
        if _OF_A_LOOP not in statement.lower():
            self._run.append((statement, bound))
        return True

    def taken(self, task_id: str) -> list[str]:
        """What was run since it was asked last, `task_id` being called the same in all."""
        run, self._run = self._run, []
        return [f"{statement} {bound!r}".replace(task_id, "TASK") for statement, bound in run]


@pytest.fixture
def trace() -> Iterator[Trace]:
    trace = Trace()
    apsw.connection_hooks.append(trace)
    yield trace
    apsw.connection_hooks.remove(trace)


@pytest.fixture
async def traced(trace: Trace, hands: Hands) -> Hands:
    """Clock and workers of a store whose connections are watched."""
    return hands


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_p6_not_yours_and_not_there_run_the_same_statements(operation: str, trace: Trace, traced: Hands) -> None:
    prepare, call = OPERATIONS[operation]
    compared = 0
    for role, who in ASKERS.items():
        for whose, fields in TASKS.items():
            if may(role, whose, operation) is not errors.NotFound:
                continue
            task = await prepare(traced, fields)
            run = []
            for task_id in (ABSENT, task.id, ABSENT):
                trace.taken("")
                with pytest.raises(errors.NotFound):
                    await call(traced.service, who, task_id)
                run.append(trace.taken(task_id))
            assert run[0], "the store was asked"
            assert run[0] == run[1] == run[2], (role, whose)
            compared += 1
            if not task.state.terminal:
                await traced.service.cancel(LOCAL, task.id)  # so that a worker takes the next one first
    assert compared > len(TASKS)
