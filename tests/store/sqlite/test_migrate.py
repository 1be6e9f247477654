import asyncio
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from milepost.store.api_keys import ApiKey
from milepost.store.refusals import SchemaTooNew
from milepost.store.sqlite import SqliteStore
from milepost.store.sqlite.migrate import APPLICATION_ID, ForeignDatabase, migrate, migrations
from milepost.task import State
from milepost.tenant import FIRST_GIVEN, own_number
from tests.store.scene import MakeStore, Scene, bounded, line

from .processes import Child, child


def bring_up(path: Path, scripts: Sequence[str] | None = None) -> None:
    migrate(path, busy_timeout=1000, scripts=migrations() if scripts is None else scripts)


def ask(path: Path, question: str) -> Any:
    with closing(apsw.Connection(str(path))) as connection:
        return connection.execute(question).get


def test_a_new_file_gets_the_newest_schema(path: Path) -> None:
    bring_up(path)
    assert ask(path, "PRAGMA user_version") == len(migrations())
    assert ask(path, "PRAGMA application_id") == APPLICATION_ID
    assert ask(path, "PRAGMA journal_mode") == "wal"


def test_nobody_else_may_read_a_new_store(path: Path) -> None:
    before = os.umask(0)
    try:
        bring_up(path)
        with closing(apsw.Connection(str(path))) as connection:
            connection.execute("CREATE TABLE extra (x)")
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert {modes[path.name], modes[f"{path.name}-wal"], modes[f"{path.name}-shm"]} == {0o600}


def test_a_store_stays_as_open_as_its_owner_has_it(path: Path) -> None:
    path.touch(mode=0o660)
    path.chmod(0o660)
    bring_up(path)
    assert path.stat().st_mode & 0o777 == 0o660


def test_an_empty_file_is_a_new_one(path: Path) -> None:
    path.touch()
    bring_up(path)
    assert ask(path, "PRAGMA user_version") == len(migrations())


def test_once_more_changes_nothing(path: Path) -> None:
    bring_up(path)
    before = ask(path, "SELECT hex(cursor_key) FROM secret")
    bring_up(path)
    assert ask(path, "SELECT hex(cursor_key) FROM secret") == before


async def test_an_older_file_is_brought_up_to_date_with_its_records(path: Path, make_store: MakeStore) -> None:
    store = await make_store()
    task = await Scene(store).start()
    await store.close()
    newer = [
        *migrations(),
        "ALTER TABLE worker ADD COLUMN colour TEXT; CREATE TABLE extra (x);",
        "INSERT INTO extra SELECT count(*) FROM task;",
    ]
    bring_up(path, newer)
    assert ask(path, "PRAGMA user_version") == len(newer)
    assert ask(path, "SELECT x FROM extra") == 1
    assert ask(path, "SELECT id FROM task") == task.id


TO_KEYS_BY_NAME = """
    DROP TRIGGER api_key_made; DROP TRIGGER api_key_ends; DROP TRIGGER api_key_gone; DROP TABLE api_key_tenant;
    DROP INDEX api_key_end; ALTER TABLE api_key DROP COLUMN ends_at; CREATE INDEX api_key_name ON api_key (name);
"""

TO_VERSION_9 = f"""
    {TO_KEYS_BY_NAME}
    DROP TABLE display_name;
    ALTER TABLE input DROP COLUMN sealed;
    ALTER TABLE task DROP COLUMN callback; DROP TABLE callback; DROP TABLE webhook_secret;
    DROP INDEX task_unfinished;
    ALTER TABLE api_key DROP COLUMN expires_at;
    ALTER TABLE api_key DROP COLUMN last_used_at;
    ALTER TABLE api_key DROP COLUMN replaced_by;
    ALTER TABLE task DROP COLUMN roles;
"""

TO_VERSION_8 = f"""
    {TO_VERSION_9}
    DROP INDEX log_eventful; ALTER TABLE log DROP COLUMN eventful;
    DROP INDEX tenant_known_as; ALTER TABLE tenant DROP COLUMN known_as;
"""

TO_VERSION_1 = """
    ALTER TABLE newer.task DROP COLUMN callback;
    ALTER TABLE newer.task DROP COLUMN apart;
    ALTER TABLE newer.task DROP COLUMN own_losses;
    ALTER TABLE newer.task DROP COLUMN roles;
    INSERT INTO task SELECT * FROM newer.task;
    INSERT INTO tenant SELECT name, number FROM newer.tenant;
    INSERT INTO input SELECT task, body FROM newer.input;
    INSERT INTO log SELECT task, first, last, version, entries FROM newer.log;
    INSERT INTO edge SELECT e.dependent, t.row, e.met, e.failed_it
        FROM newer.edge AS e JOIN newer.task AS t ON t.id = e.dependency;
    INSERT INTO worker SELECT id, info, 0, NULL FROM newer.worker;
"""


async def test_version_1_knew_edges_by_row_and_leases_by_the_clock(path: Path, make_store: MakeStore) -> None:
    scene = Scene(await make_store())
    root = await scene.run(type="export")
    task = await scene.start(depends_on=(root.id,))
    await scene.store.close()
    newer = path.rename(path.with_name("newer.db"))
    bring_up(path, migrations()[:1])
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("ATTACH ? AS newer", (str(newer),))
        connection.execute(TO_VERSION_1)
    scene.store = await make_store()
    assert await scene.read(task) == task
    assert await scene.store.workers() == []
    assert await scene.store.rescue([], now=scene.now) == [root.id]
    await scene.enlist()
    (claimed,) = await scene.claim()
    await scene.succeed(claimed.task)
    assert (await scene.read(task)).state is State.QUEUED


def test_version_4_kept_keys_of_children_among_those_of_callers(path: Path) -> None:
    bring_up(path, migrations()[:4])
    for key in ("k", "\x01parent 1 k"):
        ask(path, f"INSERT INTO idempotency VALUES ('acme', 'bob', 'export', '{key}', x'00', 'task', 1)")
    bring_up(path)
    assert ask(path, "SELECT group_concat(key || parent || fingerprint) FROM idempotency") == "k\x00"


async def test_version_6_took_every_loss_for_the_tasks_own(path: Path, make_store: MakeStore) -> None:
    scene = Scene(await make_store())
    task = await scene.run()
    await scene.store.dismiss("w1", now=scene.now)
    await scene.store.close()
    ask(path, TO_VERSION_8)
    ask(path, "ALTER TABLE task DROP COLUMN apart; ALTER TABLE task DROP COLUMN own_losses; DROP TABLE api_key")
    ask(path, "PRAGMA user_version = 6")
    scene.store = await make_store()
    found = await scene.read(task)
    assert (found.losses, found.own_losses, found.apart) == (1, 1, False)


async def test_keys_were_not_found_by_their_tenants(path: Path, make_store: MakeStore) -> None:
    store = await make_store()
    grants = ((("acme", "user"),), (("acme", "user"), ("acme", "admin"), ("beta", "user")), (("beta", "user"),))
    ends: list[dict[str, Any]] = [{}, {"expires_at": 9}, {"revoked_at": 5, "expires_at": 9}]
    keys = [
        ApiKey(f"{number}", "ada", f"Ada {number}", each, None, b"", 1, **ends[number])
        for number, each in enumerate(grants)
    ]
    await store.add_keys(keys)
    await store.close()
    before = next(n for n, script in enumerate(migrations()) if "api_key_tenant" in script)
    ask(path, TO_KEYS_BY_NAME + f"PRAGMA user_version = {before}")
    store = await make_store()
    for tenants, seen in ((["acme"], [keys[0]]), (["beta"], [keys[2]]), (["acme", "beta"], keys)):
        assert (await store.keys(tenants, limit=9)).keys == seen
    assert await store.called([("ada", "beta")], now=8) == ["Ada 1"]
    assert await store.called([("ada", "beta")], now=9) == ["Ada 1"]
    assert await store.forget_keys(until=9, limit=9) == 1


async def test_version_8_had_no_numbers_of_tenants_and_no_histories(path: Path, make_store: MakeStore) -> None:
    scene = Scene(await make_store())
    names = ("1764", "0", "acme", "01", "1999999999", "2000000000", "Ω", "1e3", "-1", "99999999999")
    for name in names:
        await scene.start(tenant=name)
    task = await scene.failed(tenant="acme")
    logged = await scene.run(tenant="acme")
    await scene.report(logged, entries=(line("x", kind="state"),))
    before = [await scene.history(each) for each in (task, logged)]
    before_numbers = next(n for n, script in enumerate(migrations()) if "known_as" in script)
    await scene.store.close()
    ask(path, TO_VERSION_8 + f"PRAGMA user_version = {before_numbers}")
    scene.store = await make_store()
    assert [await scene.history(each) for each in (task, logged)] == before
    given = await scene.store.tenant_numbers(names)
    others = sorted(name for name in names if own_number(name) is None)
    assert dict(zip(names, given, strict=True)) == dict.fromkeys(names) | {
        name: FIRST_GIVEN + index for index, name in enumerate(others)
    }
    await scene.start(tenant="newcomer")
    assert await scene.store.tenant_numbers(["newcomer"]) == [FIRST_GIVEN + len(others)]


def test_a_migration_that_fails_leaves_the_older_file(path: Path) -> None:
    bring_up(path)
    with pytest.raises(apsw.SQLError):
        bring_up(path, [*migrations(), "CREATE TABLE extra (x);", "NONSENSE;"])
    assert ask(path, "PRAGMA user_version") == len(migrations())
    assert ask(path, "SELECT count(*) FROM sqlite_schema WHERE name = 'extra'") == 0
    bring_up(path)


def test_a_migration_that_ends_the_transaction_is_no_disguise(path: Path) -> None:
    with pytest.raises(apsw.SQLError):
        bring_up(path, ["ROLLBACK; NONSENSE;"])
    assert ask(path, "PRAGMA user_version") == 0


async def test_a_newer_file_is_refused_with_advice(path: Path) -> None:
    bring_up(path, [*migrations(), "CREATE TABLE extra (x);"])
    with pytest.raises(SchemaTooNew, match=rf"{len(migrations()) + 1}.*{len(migrations())}.*Upgrade Milepost"):
        await SqliteStore(path).open()


@pytest.mark.parametrize(
    "traces", ["CREATE TABLE theirs (x)", "PRAGMA application_id = 7", "PRAGMA user_version = 1"], ids=str.split
)
async def test_another_programs_database_is_left_alone(path: Path, tmp_path: Path, traces: str) -> None:
    ask(path, traces)
    before = path.read_bytes()
    with pytest.raises(ForeignDatabase, match="another program's database"):
        await SqliteStore(path).open()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


async def test_a_file_that_is_no_database_is_left_alone(path: Path, tmp_path: Path) -> None:
    path.write_text("Dear diary, " * 1000)
    with pytest.raises(ForeignDatabase, match="not a SQLite database"):
        await SqliteStore(path).open()
    assert list(tmp_path.iterdir()) == [path]


async def test_many_can_open_a_new_file_at_once(path: Path) -> None:
    stores = [SqliteStore(path) for _ in range(5)]
    async with child("start", path) as other:
        await bounded(asyncio.gather(*(store.open() for store in stores)))
        assert len(await other.heard()) == 36
    tasks = [await Scene(store).start() for store in stores]
    for store in stores:
        assert {task.id for task in tasks} <= set(await Scene(store).find())
        await store.close()


async def stopped_before(process: Child, statement: str) -> None:
    """Let a process that migrates go on until it is about to run a statement."""
    while not (heard := await process.heard()).startswith(statement):
        assert heard, "it ended"
        process.tell("")


async def freed(process: Child) -> str:
    """Let it go on to its end; which versions it says there were before and after."""
    process.tell("")
    while not (heard := await process.heard()).startswith("from "):
        assert heard, "it failed"
        process.tell("")
    await process.end()
    return heard


NEWEST = len(migrations())


async def test_a_store_that_is_made_between_two_looks_at_it_is_not_somebody_else_s(path: Path) -> None:
    async with child("migrate_stepwise", path) as maker:
        await stopped_before(maker, "BEGIN IMMEDIATE")
        async with child("migrate_stepwise", path) as looker:
            await stopped_before(looker, 'pragma "user_version"')  # it has found no application_id
            assert await freed(maker) == f"from 0 to {NEWEST}"
            assert await freed(looker) == f"from {NEWEST} to {NEWEST}"


async def test_who_finds_a_store_half_made_waits_until_it_is_whole(path: Path) -> None:
    async with child("migrate_stepwise", path) as maker:
        await stopped_before(maker, "COMMIT")
        async with child("migrate_stepwise", path) as other:
            await stopped_before(other, "ROLLBACK")  # it has found nothing, and comes to the gate next
            other.tell("")
            assert await freed(maker) == f"from 0 to {NEWEST}"
            assert await freed(other) == f"from {NEWEST} to {NEWEST}"


async def test_two_who_found_the_same_old_version_bring_it_up_to_date_once(path: Path) -> None:
    bring_up(path, migrations()[:1])
    async with child("migrate_stepwise", path) as first, child("migrate_stepwise", path) as second:
        for process in (first, second):
            await stopped_before(process, "ROLLBACK")
        assert await freed(first) == f"from 1 to {NEWEST}"
        key = ask(path, "SELECT hex(cursor_key) FROM secret")
        assert await freed(second) == f"from {NEWEST} to {NEWEST}"
    assert ask(path, "SELECT hex(cursor_key) FROM secret") == key


async def test_an_open_that_fails_leaves_nothing_behind(path: Path) -> None:
    path.with_name(f"{path.name}-bells").write_text("in the way")
    store = SqliteStore(path)
    with pytest.raises(FileExistsError):
        await store.open()
    await store.close()
    path.with_name(f"{path.name}-bells").unlink()
    await store.open()
    with pytest.raises(RuntimeError, match="open already"):
        await store.open()
    await store.close()
