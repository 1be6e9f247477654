import typing
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from milepost.store.sqlite import rows
from milepost.store.sqlite.migrate import migrate, migrations
from milepost.store.sqlite.statements import SQL
from milepost.task import Counts, FileResult, JsonResult, State, Task
from milepost.times import HOUR
from milepost.trigger import Trigger
from tests.store.scene import draft

INTEGERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
IDS = st.lists(TEXTS, max_size=3).map(tuple)
RESULTS = (
    st.none()
    | st.binary(min_size=1, max_size=50).map(lambda body: JsonResult(len(body), msgspec.Raw(body)))
    | st.builds(FileResult, TEXTS, TEXTS, TEXTS, INTEGERS, TEXTS)
)
STRUCTURED = {
    "metadata": st.none() | st.dictionaries(TEXTS, JSON, max_size=3),
    "counts": st.builds(Counts, INTEGERS, st.none() | INTEGERS, INTEGERS, INTEGERS),
    "trigger": st.sampled_from([None, Trigger(every=HOUR, anchor=5), Trigger(cron="0 4 * * *", timezone="Asia/Tokyo")]),
    "progress": st.floats(0, 1),
    "depends_on": IDS,
    "blocked_by": IDS,
    "roles": st.just(("user",)) | IDS,
    "result": RESULTS,
}


def strategy(name: str, hint: Any) -> st.SearchStrategy[Any]:
    if name in STRUCTURED:
        return STRUCTURED[name]
    if isinstance(hint, type) and issubclass(hint, int) and hint is not bool:
        return INTEGERS
    choices = typing.get_args(hint)
    if choices and type(None) in choices:
        return st.none() | strategy(name, choices[0])
    return TEXTS if hint is str else st.from_type(hint)


tasks = st.builds(Task, **{name: strategy(name, hint) for name, hint in typing.get_type_hints(Task).items()})


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("rows") / "milepost.db"
    migrate(path, busy_timeout=100, scripts=migrations())
    with closing(apsw.Connection(str(path))) as connection:
        yield connection


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(task=tasks, other=tasks)
def test_a_record_comes_back_as_it_went(connection: apsw.Connection, task: Task, other: Task) -> None:
    with connection:
        connection.execute("DELETE FROM task; DELETE FROM result")
        task = settled(task)
        connection.execute(SQL["insert_task"], (None, *rows.values(task)))
        number = connection.last_insert_rowid()
        keep_result(connection, number, task)
        assert read(connection, number) == (number, task)
        kept = ("id", "tenant", "owner", "type", "created_at", "number", "parent", "origin", "roles", "callback")
        changed = settled(replace(other, **{name: getattr(task, name) for name in kept}))
        statement, values = rows.update(task, changed)
        connection.execute(statement, (*values, number, task.version, task.epoch))
        keep_result(connection, number, changed)
        assert read(connection, number) == (number, changed)


def settled(task: Task) -> Task:
    """The record with an end where its state has one, which the table insists on."""
    return replace(task, finished_at=5 if task.state.terminal else None)


def keep_result(connection: apsw.Connection, number: int, task: Task) -> None:
    connection.execute(SQL["drop_result"], (number,))
    if isinstance(task.result, JsonResult):
        connection.execute(SQL["put_result"], (number, bytes(task.result.value or b"")))


def read(connection: apsw.Connection, number: int) -> tuple[int, Task]:
    row = connection.execute(SQL["get_row"], (number,)).fetchall()[0]
    stored = rows.record(row)
    return stored.row, stored.task


def test_a_report_touches_no_index() -> None:
    task = draft(state=State.RUNNING)
    said = replace(task, progress=0.5, message="half", counts=Counts(1), version=2, log_seq=9)
    assert rows.update(task, said)[0] == SQL["update_report"]
    assert rows.update(task, replace(said, cancel_requested=True))[0] == SQL["update_task"]


def test_a_record_without_an_end_can_not_be_finished(connection: apsw.Connection) -> None:
    with pytest.raises(apsw.ConstraintError):
        connection.execute(SQL["insert_task"], (None, *rows.values(draft(state=State.FAILED))))


def test_rows_of_the_most_frequent_kind_are_small(connection: apsw.Connection, tmp_path: Path) -> None:
    cells = dict(zip(rows.FIELDS, rows.values(draft()), strict=True))
    assert [cells[name] for name in ("counts", "depends_on", "blocked_by", "metadata", "roles")] == [None] * 5


def test_a_record_that_is_nested_without_end_is_left_out() -> None:
    left_out: list[Any] = []
    row: list[Any] = [7, *(None for _ in rows.FIELDS), None]
    row[1 + rows.FIELDS.index("state")] = "running"
    row[1 + rows.FIELDS.index("metadata")] = '{"a":' * 20_000
    assert rows.readable([row], lambda each, _: left_out.append(each)) == []
    assert left_out == [row]
