"""Is a version of a model deployed wholly or not at all, and does it say what changed?"""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from milepost import BlockingContext, Milepost
from milepost.access.principal import LOCAL
from milepost.task import State, Task
from tests.examples.running import DATA, example, log_lines, running, served, until, until_end, value

deploy = example("deploy")

ONE = json.loads((DATA / "vault-1.json").read_text())
TWO = json.loads((DATA / "vault-2.json").read_text())
TABLES = ["hub_customer", "hub_product", "link_purchase", "sat_customer_contact", "sat_product_price"]


def schema(path: Path) -> dict[str, list[str]]:
    """The vault's tables in a database, each with its columns."""
    with closing(sqlite3.connect(path)) as database:
        names = [name for (name,) in database.execute("select name from sqlite_schema where type = 'table'")]
        return {
            name: [column for (column,) in database.execute("select name from pragma_table_info(?)", (name,))]
            for name in sorted(names)
            if name != "vault_version"
        }


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return list(database.iterdump())


async def apply(app: Milepost, root: Path, model: dict[str, Any], **input: Any) -> tuple[Task, Any]:
    """The ended deployment of a model, and what it says."""
    (root / "model.json").write_text(json.dumps(model))
    task = await until_end(app, await app.start("deploy", {"model": "model.json", "environment": "e.db", **input}))
    return task, await value(app, task) if task.result else None


async def test_from_version_to_version(tmp_path: Path) -> None:
    root, environment = tmp_path, tmp_path / "e.db"
    async with running(served(deploy, tmp_path, root)) as app:
        first, changes = await apply(app, root, ONE)
        assert first.state is State.SUCCEEDED, first.failure
        assert (first.runner, first.counts.done) == ("process", 5)
        assert changes == {
            "model": "shop",
            "from_version": None,
            "to_version": 1,
            "created": TABLES,
            "altered": {},
            "unchanged": [],
            "kept": [],
        }
        with closing(sqlite3.connect(environment)) as database, database:
            database.execute("insert into hub_customer values ('k1', '1001', '2026-01-01', 'shop')")
            database.execute("insert into sat_customer_contact values ('k1', '2026-01-01', 'shop', 'a@b.c', 'Lyon')")

        before = dump(environment)
        _, changes = await apply(app, root, ONE)
        assert (changes["created"], changes["altered"], changes["unchanged"]) == ([], {}, TABLES)
        assert dump(environment) == before

        second, changes = await apply(app, root, TWO)
        assert (changes["from_version"], changes["to_version"]) == (1, 2)
        assert changes["created"] == ["hub_store", "link_stock", "sat_stock_level"]
        assert changes["altered"] == {"sat_customer_contact": ["phone"]}
        assert set(changes["unchanged"]) == set(TABLES) - {"sat_customer_contact"}
        (line,) = await log_lines(app, second)
        assert (line.message, line.fields) == ("From version 1 to 2", changes)
        with closing(sqlite3.connect(environment)) as database:
            rows = database.execute("select email, phone from sat_customer_contact").fetchall()
        assert rows == [("a@b.c", None)]

        before = dump(environment)
        refused, _ = await apply(app, root, ONE)
        assert (refused.state, refused.failure and refused.failure.code) == (State.FAILED, "older_version")
        assert dump(environment) == before

        _, changes = await apply(app, root, ONE, force=True)
        assert (changes["from_version"], changes["to_version"]) == (2, 1)
        assert changes["kept"] == ["hub_store", "link_stock", "sat_stock_level"]
        assert "phone" in schema(environment)["sat_customer_contact"]


async def test_a_version_has_one_content(tmp_path: Path) -> None:
    other = ONE | {"hubs": [*ONE["hubs"], {"name": "extra", "key": ["order"]}]}
    async with running(served(deploy, tmp_path, tmp_path)) as app:
        await apply(app, tmp_path, ONE)
        refused, _ = await apply(app, tmp_path, other)
        assert refused.failure is not None
        assert refused.failure.code == "version_reused"
        forced, changes = await apply(app, tmp_path, other, force=True)
        assert forced.state is State.SUCCEEDED
        assert changes["created"] == ["hub_extra"]
        again, changes = await apply(app, tmp_path, other)
        assert (again.state, changes["created"]) == (State.SUCCEEDED, [])


def changed(model: dict[str, Any], part: str, place: int, **fields: Any) -> dict[str, Any]:
    """The next version of a model, with an element changed."""
    elements = [dict(element) for element in model[part]]
    elements[place] |= fields
    return model | {"version": model["version"] + 1, part: elements}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (changed(ONE, "links", 0, hubs=["customer", "shop"]), "link_purchase: There is no hub 'shop'."),
        (
            changed(ONE, "satellites", 1, parent="prodct"),
            "sat_product_price: 'prodct' is not the name of one hub or link.",
        ),
        (
            changed(changed(TWO, "links", 0, name="store"), "satellites", 2, parent="store"),
            "sat_stock_level: 'store' is not the name of one hub or link.",
        ),
        (changed(ONE, "links", 0, hubs=["product", "product"]), "link_purchase: Two of its columns have the same name"),
        (changed(ONE, "hubs", 1, name="customer"), "hub_customer: The model has it twice."),
        (changed(ONE, "hubs", 0, key=["source"]), "hub_customer: Two of its columns have the same name"),
        (changed(ONE, "satellites", 0, attributes={"loaded_at": "date"}), "sat_customer_contact: Two of its columns"),
        (
            changed(ONE, "hubs", 0, key=["customer_number", "country"]),
            "hub_customer: country would not be what is deployed",
        ),
        (changed(ONE, "hubs", 0, key=["country"]), "hub_customer: country, customer_number would not be"),
        (changed(TWO, "hubs", 2, key=["country"]), "hub_store: store_number would not be what is deployed"),
        (changed(ONE, "satellites", 1, attributes={"price": "text"}), "sat_product_price: price would not be what is"),
        (changed(ONE, "satellites", 0, parent="product"), "sat_customer_contact: product_key would not be what is"),
        (changed(ONE, "hubs", 0, name="drop table"), "$.hubs[0].name"),
        (changed(ONE, "satellites", 0, attributes={"price": "money"}), "$.satellites[0].attributes"),
        (changed(ONE, "hubs", 0, keys=[]), "$.hubs[0]"),
        (ONE | {"version": 0}, "$.version"),
    ],
)
def test_a_broken_model_names_the_element_and_changes_nothing(
    tmp_path: Path, model: dict[str, Any], message: str
) -> None:
    environment = tmp_path / "e.db"
    with closing(sqlite3.connect(environment, isolation_level=None)) as database:
        change(database, TWO if model["version"] > 2 else ONE)
        before = dump(environment)
        with pytest.raises(deploy.TaskError) as raised:
            change(database, model)
    assert message in raised.value.message
    assert (raised.value.code, raised.value.retry) == ("broken_model", False)
    assert dump(environment) == before


def change(database: sqlite3.Connection, model: dict[str, Any]) -> None:
    """What a deployment does to the tables."""
    path = Path(database.execute("select file from pragma_database_list").fetchone()[0]).with_name("model.json")
    path.write_text(json.dumps(model))
    changes: dict[str, Any] = {"created": [], "altered": {}, "unchanged": []}
    tables = deploy.tables_of(deploy.read_model(path.name, lambda: path.open("rb")))
    with database:
        database.execute("begin immediate")
        for name, table in tables.items():
            deploy.apply(database, name, table, changes)


async def test_a_broken_model_fails_the_task_at_once(tmp_path: Path) -> None:
    async with running(served(deploy, tmp_path, tmp_path)) as app:
        await apply(app, tmp_path, ONE)
        before = dump(tmp_path / "e.db")
        # The first new table could be made, the second could not.
        broken = changed(TWO, "links", 1, hubs=["store", "product"])
        broken["satellites"] = [*TWO["satellites"], {"name": "x", "parent": "nobody", "attributes": {"a": "text"}}]
        task, _ = await apply(app, tmp_path, broken)
    assert (task.state, task.attempt) == (State.FAILED, 1)
    assert task.failure is not None
    assert task.failure.message.startswith("sat_x: ")
    assert dump(tmp_path / "e.db") == before


@pytest.mark.parametrize("content", [None, "{", '{"name": "x"}'])
async def test_a_model_that_cannot_be_read(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "model.json").write_text(content)
    with pytest.raises(deploy.TaskError, match=r"^model\.json: "):
        deploy.read_model("model.json", lambda: (tmp_path / "model.json").open("rb"))


def test_names_may_be_words_of_sql(tmp_path: Path) -> None:
    model: dict[str, Any] = {"name": "m", "version": 1, "hubs": [{"name": "order", "key": ["group", "select"]}]}
    model["satellites"] = [{"name": "table", "parent": "order", "attributes": {"values": "real"}}]
    with closing(sqlite3.connect(tmp_path / "e.db", isolation_level=None)) as database:
        change(database, model)
        model["satellites"][0]["attributes"]["default"] = "text"
        change(database, model)
    assert schema(tmp_path / "e.db") == {
        "hub_order": ["order_key", "group", "select", "loaded_at", "source"],
        "sat_table": ["order_key", "loaded_at", "source", "values", "default"],
    }


async def test_a_try_that_died_after_the_commit_is_not_done_twice(tmp_path: Path) -> None:
    """The next try says what the one before it has changed, not that everything is unchanged."""
    (tmp_path / "model.json").write_text(json.dumps(ONE))
    app = Milepost(tmp_path / "milepost.db", files_root=tmp_path)

    @app.task(retries=1, backoff=0.01)
    def dies_late(ctx: BlockingContext) -> Any:
        changes = deploy.deploy(ctx, model="model.json", environment="e.db")
        if ctx.task.attempt == 1:
            raise ConnectionResetError
        return changes

    async with running(app):
        task = await until_end(app, await app.start("dies_late"))
        assert (task.state, task.attempt) == (State.SUCCEEDED, 2)
        assert (await value(app, task))["created"] == TABLES


@pytest.mark.parametrize("request_stop", ["cancel", "pause"])
async def test_a_stop_before_the_commit_leaves_the_database_as_it_was(tmp_path: Path, request_stop: str) -> None:
    (tmp_path / "model.json").write_text(json.dumps(ONE))
    app = Milepost(tmp_path / "milepost.db", files_root=tmp_path)

    @app.task
    def waits(ctx: BlockingContext) -> Any:
        while ctx.saved is None and not ctx.stopping:
            time.sleep(0.01)
        return deploy.deploy(ctx, model="model.json", environment="e.db")

    async with running(app):
        task = await app.start("waits")
        await until(app, task, State.RUNNING)
        await getattr(app.service, request_stop)(LOCAL, task.id)
        if request_stop == "cancel":
            assert (await until_end(app, task)).state is State.CANCELLED
            assert schema(tmp_path / "e.db") == {}
        else:
            await until(app, task, State.PAUSED)
            assert schema(tmp_path / "e.db") == {}
            await app.service.resume(LOCAL, task.id)
            assert (await until_end(app, task)).state is State.SUCCEEDED
            assert [*schema(tmp_path / "e.db")] == TABLES
