import re
from contextlib import closing
from pathlib import Path

import apsw
import pytest

import milepost.store.sqlite
from milepost.store.sqlite.migrate import migrate, migrations
from milepost.store.sqlite.rows import FIELDS
from milepost.store.sqlite.statements import SQL, expand, parse

PARTS = {
    "api_key_columns",
    "callback_columns",
    "due_callback",
    "delivered",
    "managed",
    "due",
    "of_id",
    "row_of_id",
    "unleased",
    "fit",
    "columns",
    "visible",
    "kept",
    "waited_for",
    "waits_for_a_worker",
    "webhook_secret_columns",
    "of_tenants",
    "matching",
}
WHOLE = {
    "tally": ["SCAN t"],
    "known_webhook_secrets": ["SCAN webhook_secret"],
    "any_api_key": ["SCAN api_key USING COVERING INDEX api_key_end"],
}
"""What reads a table from its beginning: all of it, or but one row."""
TABLES = (
    "t|task|log|edge|idempotency|input|result|child|delivered_file|d|api_key|k|api_key_tenant|its|callback|"
    "webhook_secret"
)
"""What may grow large, by its names in statements."""
PYTHON = "\n".join(file.read_text() for file in Path(milepost.store.sqlite.__path__[0]).glob("*.py"))


def test_statements_stand_under_a_name_and_a_purpose() -> None:
    text = "-- name: one\n-- Says 1.\nSELECT 1\n\n-- name: two\n-- Says 2,\n-- and more.\nSELECT 2,\n  3\n"
    assert parse(text) == {"one": "SELECT 1", "two": "SELECT 2,\n  3"}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "-- name: one\nSELECT 1\n",
        "-- name: one\n-- Says 1.\nSELECT 1\n-- name: one\n-- Says 1.\nSELECT 1\n",
        "-- name: one\n-- Says 1.\nSELECT 1\n-- name: two\nSELECT 2\n",
    ],
)
def test_what_has_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="name"):
        parse(text)


def test_parts_are_put_in() -> None:
    parts = {"a": "1", "b": "{a} + {a}", "c": "SELECT {b}"}
    assert expand(parts)["c"] == "SELECT 1 + 1"
    with pytest.raises(KeyError):
        expand({"a": "{absent}"})


@pytest.mark.parametrize("name", SQL)
def test_every_statement_is_used(name: str) -> None:
    texts = "\n".join(file.read_text() for file in Path(milepost.store.sqlite.__path__[0]).glob("sql/*.sql"))
    used = f'"{name}"' in PYTHON or f"{{{name}}}" in texts
    deleted = name.removeprefix("delete_")
    assert used or (name != deleted and f'"{deleted}"' in PYTHON)


def test_columns_are_the_fields_of_a_record_in_their_order() -> None:
    assert re.findall(r"\bt\.(\w+),", SQL["columns"]) == ["row", *FIELDS]
    inserted, values = SQL["insert_task"].split("VALUES")
    assert re.findall(r"\w+", inserted.split("(")[1]) == ["row", *FIELDS]
    assert values.count("?") == 1 + len(FIELDS)


def test_updates_leave_out_only_what_never_changes() -> None:
    assigned = re.findall(r"(\w+) = \?", SQL["update_task"].split("WHERE")[0])
    immutable = ["id", "tenant", "owner", "roles", "type", "created_at", "number", "parent", "origin", "callback"]
    assert assigned == [field for field in FIELDS if field not in immutable]


@pytest.fixture
def connection(path: Path) -> apsw.Connection:
    migrate(path, busy_timeout=100, scripts=migrations())
    return apsw.Connection(str(path))


@pytest.mark.parametrize("name", sorted(SQL.keys() - PARTS))
def test_every_statement_finds_its_rows_by_an_index(connection: apsw.Connection, name: str) -> None:
    statement = f"EXPLAIN QUERY PLAN {SQL[name]}"
    named = dict.fromkeys(re.findall(r":(\w+)", statement))
    with closing(connection):
        plan = [row[3] for row in connection.execute(statement, named or (None,) * _places(statement))]
    scans = [step for step in plan if re.match(rf"SCAN ({TABLES})\b", step)]
    assert scans == WHOLE.get(name, [])
    sorted_by_hand = [step for step in plan if "ORDER BY" in step]
    assert not sorted_by_hand or name in {"visible_dependents", "find_live", "find_by_number_anywhere"}


def _places(statement: str) -> int:
    return len(set(re.findall(r"\?\d", statement))) or statement.count("?")
