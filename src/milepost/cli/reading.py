"""What do `milepost get`, `list`, `logs` and `types` do?"""

from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec
import typer

from milepost.cli import wording
from milepost.cli.events import follow
from milepost.cli.exits import CommandError, Exit
from milepost.cli.options import DEFAULT_URL, Ca, Id, Json, Key, Url, examples
from milepost.cli.records import LogEntry, Record, TypeList
from milepost.cli.remote import Remote, task_path
from milepost.cli.tables import TASK_HEADS, TYPE_HEADS, say_fields, say_table, task_row, type_row
from milepost.cli.terminal import note, on_one_line, say, say_json, say_line
from milepost.task import State

PAGE: Final = 200
"""Tasks, or log entries, that are asked for at once."""

GET_EXAMPLES = examples(
    "milepost get 0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40",
    "milepost get 0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40 --json | jq -r .state",
)


def get(task_id: Id, json: Json = False, url: Url = DEFAULT_URL, key: Key = None, ca: Ca = None) -> None:
    """Show a task as it stands."""
    with Remote(url, key, ca) as remote:
        raw = remote.get(task_path(task_id), msgspec.Raw)
    if json:
        say_json(raw)
    else:
        say_fields(_fields(msgspec.json.decode(raw, type=Record)))


def _fields(record: Record) -> dict[str, str]:
    moments = {
        name: wording.moment(value) if value else ""
        for name, value in (
            ("created", record.created_at),
            ("started", record.started_at),
            ("finished", record.finished_at),
            ("next run", record.next_run_at),
        )
    }
    shown = {
        "id": record.id,
        "type": record.type,
        "title": record.title,
        "tenant": record.tenant,
        "owner": record.owner,
        "state": wording.state(record),
        "waits": wording.waits_for(record),
        "progress": wording.progress(record),
        "of these": wording.shortfall(record),
        "message": record.message,
        "attempt": f"{record.attempt} of {record.max_attempts}" if record.attempt else "",
        "run": str(record.run) if record.run > 1 or record.next_run_at else "",
        **moments,
        "took": "" if record.elapsed is None else wording.duration(record.elapsed),
        "failure": "" if record.failure is None else f"{record.failure.message} ({record.failure.code})",
        "result": wording.result(record),
    }
    return {name: on_one_line(value or "") for name, value in shown.items()}


def _states(text: str) -> str:
    """States with commas between them. Raises BadParameter for what is none."""
    for name in text.split(","):
        if name not in set(State):
            raise typer.BadParameter(f"{name!r} is no state; there are {', '.join(State)}.")
    return text


LIST_EXAMPLES = examples(
    "milepost list",
    "milepost list --state running,queued",
    "milepost list --type export --state failed --limit 100 --json",
    "milepost list --state failed --all | cut -f1 | xargs -r milepost retry",
)


def list_tasks(
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="STATE", parser=_states, help="In this state, or one of STATE,STATE; may be repeated."),
    ] = None,
    type_name: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Of this type.")] = None,
    owner: Annotated[str | None, typer.Option(metavar="OWNER", help="Started by, or for, this owner.")] = None,
    tenant: Annotated[
        str | None, typer.Option(envvar="MILEPOST_TENANT", metavar="TENANT", help="Of this tenant.")
    ] = None,
    list_id: Annotated[str | None, typer.Option("--list", metavar="LIST", help="On this list.")] = None,
    parent: Annotated[str | None, typer.Option(metavar="ID", help="Children of this task.")] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="So many at most.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="All there are, whatever --limit says.")] = False,
    json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    ca: Ca = None,
) -> None:
    """List tasks, newest first."""
    query = {
        "state": ",".join(state) if state else None,
        "type": type_name,
        "owner": owner,
        "tenant": tenant,
        "list": list_id,
        "parent": parent,
    }
    with Remote(url, key, ca) as remote:
        found, following = _find(remote, query, None if everything else limit)
    if json:
        say_json({"tasks": found, "next": following})
        return
    say_table(TASK_HEADS, (task_row(msgspec.json.decode(raw, type=Record)) for raw in found))
    if following is not None:
        note(f"These are the newest {limit}; --limit or --all shows more.")


class _TaskPage(msgspec.Struct):
    tasks: list[msgspec.Raw]
    next: str | None


def _find(remote: Remote, query: dict[str, Any], limit: int | None) -> tuple[list[msgspec.Raw], str | None]:
    """Up to `limit` tasks, and the cursor to what follows them."""
    found: list[msgspec.Raw] = []
    following: str | None = None
    while limit is None or len(found) < limit:
        size = PAGE if limit is None else min(PAGE, limit - len(found))
        page = remote.get("/v1/tasks", _TaskPage, **query, after=following, limit=size)
        found += page.tasks
        following = page.next
        if following is None:
            break
    return found, following


LOGS_EXAMPLES = examples(
    "milepost logs 0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40",
    "milepost logs 0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40 -f --level warning",
    "milepost logs 0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40 --after 1200 --json",
)

LEVELS: Final = ("debug", "info", "warning", "error", "critical")


def logs(
    task_id: Id,
    keep_on: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the task has ended.")] = False,
    after: Annotated[int, typer.Option(min=0, metavar="N", help="Only what comes after the N-th entry.")] = 0,
    level: Annotated[
        str, typer.Option(metavar="|".join(LEVELS), help="Only entries that are at least that serious.")
    ] = "debug",
    json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    ca: Ca = None,
) -> None:
    """Show what a task has logged."""
    if level not in LEVELS:
        raise CommandError(f"--level: choose one of {', '.join(LEVELS)}.", Exit.USAGE)
    wanted = LEVELS[LEVELS.index(level) :]
    try:
        with Remote(url, key, ca) as remote:
            for data in _entries(remote, task_id, after, keep_on=keep_on):
                entry = msgspec.json.decode(data, type=LogEntry)
                if entry.level in wanted:
                    if json:
                        say_line(bytes(data).decode())
                    else:
                        say(wording.log_line(entry))
    except KeyboardInterrupt as interrupt:
        raise CommandError(
            f"Not following any more; the task goes on. See its log with `milepost logs {task_id}`.", Exit.INTERRUPTED
        ) from interrupt


class _LogPage(msgspec.Struct):
    entries: list[msgspec.Raw]
    next: int


def _entries(remote: Remote, task_id: str, after: int, *, keep_on: bool) -> Iterator[msgspec.Raw]:
    """Entries as the server sends them: those that there are, then (`keep_on`) those that come."""
    # Read before the log: whatever the log does not have yet has a later version.
    version = remote.get(task_path(task_id), Record).version
    while (page := remote.get(task_path(task_id, "logs"), _LogPage, after=after, limit=PAGE)).entries:
        yield from page.entries
        after = page.next
    if keep_on:
        for event in follow(remote, task_id, since_version=version, since_seq=after):
            if isinstance(event.news, LogEntry):
                yield msgspec.Raw(event.data.encode())


TYPES_EXAMPLES = examples(
    "milepost types", "milepost types --json | jq '.types[] | select(.name == \"export\").schema'"
)


def types(json: Json = False, url: Url = DEFAULT_URL, key: Key = None, ca: Ca = None) -> None:
    """List the task types that can be started, and what they take."""
    with Remote(url, key, ca) as remote:
        raw = remote.get("/v1/types", msgspec.Raw)
    if json:
        say_json(raw)
    else:
        say_table(TYPE_HEADS, map(type_row, msgspec.json.decode(raw, type=TypeList).types))
