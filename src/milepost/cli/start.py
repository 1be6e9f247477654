"""What does `milepost start` do?"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
import typer

from milepost import times
from milepost.cli.arguments import read_input, start_key
from milepost.cli.display import Silent, display
from milepost.cli.exits import CommandError, Exit
from milepost.cli.many import start_lines
from milepost.cli.options import DEFAULT_URL, Ca, Json, Key, Url, examples
from milepost.cli.records import Record
from milepost.cli.remote import Remote, schema_of, task_path
from milepost.cli.result import Output
from milepost.cli.terminal import is_terminal, note, say, say_json
from milepost.cli.watch import end, to_end

EXAMPLES = examples(
    "milepost start export export_index=wallet-ledger",
    "milepost start export export_index=users export_format=json --watch -o users.json",
    "milepost start export --input-lines @exports.ndjson --title 'Nightly'",
    "milepost start pipeline --input @pipeline.json --title 'Nightly scan'",
    "milepost start backup folder=documents name=docs --cron '0 3 * * *' --timezone Europe/Brussels",
    "milepost start export export_index=users --depends-on 0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40 --wait",
)

Text = str | None


def start(
    type_name: Annotated[str, typer.Argument(metavar="TYPE", help="The task type; `milepost types` lists them.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="The input. KEY:=JSON where the value is to be read as JSON."),
    ] = None,
    given: Annotated[
        Text, typer.Option("--input", metavar="@FILE|-|JSON", help="The input as one JSON object; - reads stdin.")
    ] = None,
    input_lines: Annotated[
        Text,
        typer.Option(metavar="@FILE|-", help="Start a task for each line, which is its input as one JSON object."),
    ] = None,
    title: Annotated[Text, typer.Option(metavar="TEXT", help="What people call this task.")] = None,
    description: Annotated[Text, typer.Option(metavar="TEXT", help="What it is for.")] = None,
    list_id: Annotated[Text, typer.Option(metavar="LIST", help="The list that it goes into.")] = None,
    assignee: Annotated[Text, typer.Option(metavar="NAME", help="Who is to look after it.")] = None,
    metadata: Annotated[Text, typer.Option(metavar="JSON", help="Anything to keep with it, as a JSON object.")] = None,
    tenant: Annotated[
        Text, typer.Option(envvar="MILEPOST_TENANT", metavar="TENANT", help="Whose task it is; your own by default.")
    ] = None,
    priority: Annotated[int | None, typer.Option(metavar="N", help="Higher goes first.")] = None,
    run_at: Annotated[
        Text, typer.Option(metavar="TIME", help="Not before, such as 2026-05-01T09:00; local unless it says an offset.")
    ] = None,
    start_by: Annotated[Text, typer.Option(metavar="TIME", help="It fails if it has not begun by then.")] = None,
    every: Annotated[Text, typer.Option(metavar="DURATION", help="Repeat it, such as 15m or 1h30m apart.")] = None,
    cron: Annotated[Text, typer.Option(metavar="EXPRESSION", help="Repeat it as crontab says.")] = None,
    repeat: Annotated[Text, typer.Option(metavar="daily|weekly|monthly", help="Repeat it at the same time.")] = None,
    timezone: Annotated[Text, typer.Option(metavar="ZONE", help="What --cron and --repeat are meant in.")] = None,
    timeout: Annotated[Text, typer.Option(metavar="DURATION", help="For each try, such as 30m.")] = None,
    max_attempts: Annotated[int | None, typer.Option(metavar="N", help="Tries in all.")] = None,
    depends_on: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="A task that must succeed first; may be repeated.")
    ] = None,
    on_dependency_failure: Annotated[
        Text,
        typer.Option(
            metavar="fail|run|stay", help="What it does where one of these does not succeed; fail by default."
        ),
    ] = None,
    unique_key: Annotated[
        Text, typer.Option(metavar="KEY", help="Refuse while an unfinished task has this key.")
    ] = None,
    standing: Annotated[
        bool, typer.Option("--standing", help="It runs nothing itself, and takes what `deliver` brings.")
    ] = False,
    callback: Annotated[
        Text, typer.Option(metavar="URL", help="What is told of its end, by a signed POST of the record.")
    ] = None,
    idempotency_key: Annotated[
        Text,
        typer.Option(
            metavar="KEY", help="Starting again with the same key gives the same task; by default a fresh one."
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Wait for its end, and show how far it is.")] = False,
    output: Output = None,
    json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    ca: Ca = None,
) -> None:
    """Start a task, and print its id.

    With --input-lines, start very many: what else is said holds for each, and KEY=VALUE is laid over each line. A line
    that is refused is named, and the exit code is then 1; the same --idempotency-key starts none of them twice.

    With --wait or --watch the exit code is 1 when the task failed or was cancelled. Ctrl-C stops waiting, not the task.
    """
    if output is not None and not (wait or watch):
        raise CommandError("-o: the result can be saved only after --wait or --watch.", Exit.USAGE)
    if input_lines is not None and (given is not None or wait or watch):
        raise CommandError("--input-lines: goes neither with --input nor with --wait or --watch.", Exit.USAGE)
    once = start_key(idempotency_key)
    trigger = _trigger({"every": every, "cron": cron, "repeat": repeat}, timezone)
    with Remote(url, key, ca) as remote:
        values = read_input(words or (), given, schema_of(remote, type_name) if words else {})
        said = {
            "type": type_name,
            "title": title,
            "description": description,
            "list_id": list_id,
            "assignee": assignee,
            "metadata": None if metadata is None else _object("--metadata", metadata),
            "tenant": tenant,
            "priority": priority,
            "run_at": None if run_at is None else _time("--run-at", run_at),
            "start_by": None if start_by is None else _time("--start-by", start_by),
            "trigger": trigger,
            "timeout": timeout,
            "max_attempts": max_attempts,
            "depends_on": depends_on or None,
            "on_dependency_failure": on_dependency_failure,
            "unique_key": unique_key,
            "callback": callback,
            "runner": "external" if standing else None,
            "state": "running" if standing else None,
        }
        body = {name: value for name, value in said.items() if value is not None}
        if input_lines is not None:
            start_lines(remote, input_lines, body, values, once, json=json)
            return
        try:
            raw = remote.post("/v1/tasks", msgspec.Raw, {**body, "input": values}, {"idempotency-key": once})
        except KeyboardInterrupt as interrupt:
            told = "Interrupted; it may have been started. The same command with --idempotency-key"
            raise CommandError(f"{told} {once} starts no second one.", Exit.INTERRUPTED) from interrupt
        record = msgspec.json.decode(raw, type=Record)
        if not (json and (wait or watch)):
            _say_started(record, raw, json=json)
        if wait or watch:
            ended = to_end(remote, record.id, display(json=json) if watch else Silent(), since_version=0)
            if json and not watch:
                say_json(remote.get(task_path(record.id), msgspec.Raw))
            end(remote, ended, output)


def _time(option: str, text: str) -> str:
    try:
        return times.to_rfc3339(times.from_datetime(datetime.fromisoformat(text).astimezone()))
    except (ValueError, OverflowError) as error:
        raise CommandError(f"{option}: not a time like 2026-05-01T09:00: {text!r}.", Exit.USAGE) from error


def _object(option: str, text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise CommandError(f"{option}: not a JSON object ({error}).", Exit.USAGE) from error


def _trigger(ways: Mapping[str, Text], timezone: Text) -> dict[str, str] | None:
    chosen = {name: value for name, value in ways.items() if value is not None}
    if len(chosen) > 1:
        raise CommandError(f"--{' and --'.join(chosen)}: choose one.", Exit.USAGE)
    if timezone is not None and not chosen.keys() & {"cron", "repeat"}:
        raise CommandError("--timezone: says what --cron or --repeat is meant in; give one of them.", Exit.USAGE)
    if not chosen:
        return None
    return chosen if timezone is None else {**chosen, "timezone": timezone}


def _say_started(record: Record, raw: msgspec.Raw, *, json: bool) -> None:
    if json:
        say_json(raw)
        return
    say(record.id)
    if is_terminal():
        note(f"{record.type} is {record.state}. Follow it with `milepost watch {record.id}`.")
