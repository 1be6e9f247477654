"""Deploys a version of a data-vault model to an environment database, and says what that changed.

    milepost serve examples/deploy.py --files-root examples/data
    milepost start deploy model=vault-1.json environment=test.db --wait
    milepost start deploy model=vault-2.json environment=test.db --wait

A model is a JSON file with hubs (business keys), links (between hubs) and satellites (attributes of a hub or a link,
with their history). The environment is a SQLite database beneath the files root, made on first use. A version is
deployed in one transaction: wholly, or not at all. A vault keeps its history, so nothing is ever dropped from it.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePath
from typing import IO, Annotated, Any, Literal, NamedTuple

import msgspec

from milepost import BlockingContext, Milepost, NamedPath, TaskError

app = Milepost()

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
Kind = Literal["text", "integer", "real", "date", "timestamp"]


class Hub(msgspec.Struct, forbid_unknown_fields=True):
    """A thing that the business knows by a key."""

    name: Name
    key: Annotated[list[Name], msgspec.Meta(min_length=1)]


class Link(msgspec.Struct, forbid_unknown_fields=True):
    """Hubs that have to do with each other."""

    name: Name
    hubs: Annotated[list[Name], msgspec.Meta(min_length=2)]


class Satellite(msgspec.Struct, forbid_unknown_fields=True):
    """What is known of a hub or a link, and since when."""

    name: Name
    parent: Name
    attributes: Annotated[dict[Name, Kind], msgspec.Meta(min_length=1)]


class Model(msgspec.Struct, forbid_unknown_fields=True):
    """A version of a data vault."""

    name: Name
    version: Annotated[int, msgspec.Meta(ge=1)]
    hubs: list[Hub] = []
    links: list[Link] = []
    satellites: list[Satellite] = []


class Table(NamedTuple):
    """What an element becomes: columns that never change, attributes that later versions may add to, constraints."""

    columns: dict[str, str]
    attributes: dict[str, Kind]
    constraints: list[str]


LOADED = {"loaded_at": "timestamp", "source": "text"}  # of every row: when it came, and from where
VERSIONS = """create table if not exists vault_version (
    model text, version integer, content text, deployed_at text, task text unique, changes text)"""


@app.task(runner="process", retries=2, timeout="10m")
def deploy(ctx: BlockingContext, *, model: NamedPath, environment: NamedPath, force: bool = False) -> dict[str, Any]:
    """Deploy a version of a data-vault model to an environment database.

    `force` deploys an older version than the one that is there, or another content under the same number.
    """
    wanted = read_model(PurePath(model).name, partial(ctx.open, model, "rb"))
    tables = tables_of(wanted)
    # SQLite takes nothing but a path: whoever else can write beneath the files root could put another file there.
    with closing(sqlite3.connect(ctx.resolve(environment), isolation_level=None)) as database, database:
        database.execute("begin immediate")  # the `with` commits at its end and rolls back on any error
        database.execute(VERSIONS)
        # What changed is written in the same transaction: if this process dies between the commit and the end of the
        # task, the next try must not find everything unchanged.
        this_run = f"{ctx.id}/{ctx.task.run}"
        told = database.execute("select changes from vault_version where task = ?", (this_run,)).fetchone()
        if told is not None:
            return dict(json.loads(told[0]))
        before, old = deployed(database, wanted.name)
        new = msgspec.json.encode(wanted, order="sorted").decode()
        if not force:
            refuse_reversal(before, old, wanted.version, new)
        changes: dict[str, Any] = {"model": wanted.name, "from_version": before, "to_version": wanted.version}
        changes |= {"created": [], "altered": {}, "unchanged": [], "kept": []}
        for number, (name, table) in enumerate(tables.items(), 1):
            apply(database, name, table, changes)
            ctx.progress(number, len(tables), message=name)
        there = [name for (name,) in database.execute("select name from sqlite_schema where type = 'table' order by 1")]
        changes["kept"] = [name for name in there if name.startswith(("hub_", "link_", "sat_")) and name not in tables]
        if (before, old) != (wanted.version, new):
            row = (wanted.name, wanted.version, new, datetime.now(UTC).isoformat(), this_run, json.dumps(changes))
            database.execute("insert into vault_version values (?, ?, ?, ?, ?, ?)", row)
        ctx.log(f"From version {before} to {wanted.version}", **changes)
        ctx.checkpoint(changes)  # the last moment for a cancel or a pause: both leave the database as it was
    return changes


def broken(element: str, why: str) -> TaskError:
    return TaskError(f"{element}: {why}", code="broken_model", retry=False)


def read_model(name: str, open_file: Callable[[], IO[bytes]]) -> Model:
    """The model in a file. Raises TaskError, which says where the file is wrong."""
    try:
        with open_file() as file:
            return msgspec.json.decode(file.read(), type=Model)
    except (OSError, msgspec.DecodeError) as error:
        raise broken(name, str(error)) from error


def tables_of(model: Model) -> dict[str, Table]:
    """The tables of a model, in an order in which they can be made. Raises TaskError naming a wrong element."""
    tables: dict[str, Table] = {}
    for hub in model.hubs:
        constraints = [f"primary key ({hub.name}_key)", f"unique ({quoted(hub.key)})"]
        add(tables, f"hub_{hub.name}", [f"{hub.name}_key", *hub.key], {}, constraints)
    for link in model.links:
        for name in link.hubs:
            if f"hub_{name}" not in tables:
                raise broken(f"link_{link.name}", f"There is no hub {name!r}.")
        constraints = [f"primary key ({link.name}_key)", *(reference("hub", name) for name in link.hubs)]
        add(tables, f"link_{link.name}", [f"{link.name}_key", *(f"{name}_key" for name in link.hubs)], {}, constraints)
    for satellite in model.satellites:
        kinds = [kind for kind in ("hub", "link") if f"{kind}_{satellite.parent}" in tables]
        if len(kinds) != 1:
            raise broken(f"sat_{satellite.name}", f"{satellite.parent!r} is not the name of one hub or link.")
        key = f"{satellite.parent}_key"
        constraints = [f"primary key ({key}, loaded_at)", reference(kinds[0], satellite.parent)]
        add(tables, f"sat_{satellite.name}", [key], satellite.attributes, constraints)
    return tables


def add(
    tables: dict[str, Table], name: str, keys: list[str], attributes: dict[str, Kind], constraints: list[str]
) -> None:
    columns = [*keys, *LOADED, *attributes]
    if name in tables:
        raise broken(name, "The model has it twice.")
    if len(set(columns)) < len(columns):
        raise broken(name, f"Two of its columns have the same name: {', '.join(columns)}.")
    tables[name] = Table(dict.fromkeys(keys, "text") | LOADED, attributes, constraints)


def quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)  # some names are words of SQL


def reference(kind: str, name: str) -> str:
    return f"foreign key ({name}_key) references {kind}_{name}"


def deployed(database: sqlite3.Connection, model: str) -> tuple[int | None, str | None]:
    """The version of a model that the environment has, and its content."""
    query = "select version, content from vault_version where model = ? order by rowid desc limit 1"
    return database.execute(query, (model,)).fetchone() or (None, None)


def refuse_reversal(before: int | None, old: str | None, version: int, new: str) -> None:
    """Versions only go up, and each has one content. Raises TaskError."""
    if before is not None and before > version:
        raise TaskError(f"The environment has version {before}, which is newer.", code="older_version", retry=False)
    if before == version and old != new:
        raise TaskError(f"Version {version} was deployed with another content.", code="version_reused", retry=False)


def apply(database: sqlite3.Connection, name: str, table: Table, changes: dict[str, Any]) -> None:
    """Make a table, or add to it what it lacks. Raises TaskError where its identity would change."""
    there = dict(database.execute("select name, lower(type) from pragma_table_info(?)", (name,)).fetchall())
    wanted = table.columns | table.attributes
    if not there:
        columns = [f'"{column}" {kind}' for column, kind in wanted.items()]
        database.execute(f"create table {name} ({', '.join(columns + table.constraints)})")
        changes["created"].append(name)
        return
    changed = [column for column, kind in wanted.items() if there.get(column, table.attributes.get(column)) != kind]
    if not table.attributes:
        changed += there.keys() - wanted.keys()
    if changed:
        raise broken(name, f"{', '.join(changed)} would not be what is deployed; an element that changes is a new one.")
    missing = [column for column in wanted if column not in there]
    for column in missing:
        database.execute(f'alter table {name} add column "{column}" {wanted[column]}')
    if missing:
        changes["altered"][name] = missing
    else:
        changes["unchanged"].append(name)
