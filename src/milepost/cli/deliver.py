"""What does `milepost deliver` do?"""

from pathlib import Path
from stat import S_ISREG
from typing import Annotated

import msgspec
import typer

from milepost.cli.arguments import read_input, start_key
from milepost.cli.exits import CommandError, Exit
from milepost.cli.options import DEFAULT_URL, Ca, Id, Json, Key, Url, examples
from milepost.cli.records import Record
from milepost.cli.remote import Remote, schema_of, task_path
from milepost.cli.terminal import say, say_json

_ID = "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40"

EXAMPLES = examples(
    f"milepost deliver {_ID} folder=documents",
    f"milepost deliver {_ID} --file report.pdf --file scan.png",
)


def deliver(
    task: Id,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Goes over the task's own input. KEY:=JSON for values read as JSON."),
    ] = None,
    given: Annotated[
        str | None, typer.Option("--input", metavar="@FILE|-|JSON", help="The same as one JSON object; - reads stdin.")
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("--file", metavar="PATH", help="A file, which is a delivery of its own; may be repeated."),
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Delivering again with the same key starts nothing more; by default a fresh one.")
    ] = None,
    json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    ca: Ca = None,
) -> None:
    """Deliver to a standing task, and print the ids of the tasks that this starts."""
    if files and (words or given is not None):
        raise CommandError("--file: a file is delivered without an input.", Exit.USAGE)
    if files and len(files) > 1 and idempotency_key is not None:
        raise CommandError("--idempotency-key: stands for one delivery, not for several files.", Exit.USAGE)
    for file in files or ():
        _check(file)
    with Remote(url, key, ca) as remote:
        path = task_path(task, "deliveries")
        if not files:
            schema = schema_of(remote, remote.get(task_path(task), Record).type) if words else {}
            body = {"input": read_input(words or (), given, schema)}
            _say(remote.post(path, msgspec.Raw, body, _key(idempotency_key)), json=json)
        for file in files or ():
            _say(remote.post_file(path, msgspec.Raw, file, _key(idempotency_key)), json=json)


def _check(file: Path) -> None:
    """A pipe may never end, and a device has no end. Raises CommandError."""
    try:
        mode = file.stat().st_mode
    except OSError as error:
        raise CommandError(f"--file: {file} can't be read ({error.strerror}).", Exit.USAGE) from error
    if not S_ISREG(mode):
        raise CommandError(f"--file: {file} is no regular file.", Exit.USAGE)


def _key(given: str | None) -> dict[str, str]:
    return {"idempotency-key": start_key(given)}


def _say(raw: msgspec.Raw, *, json: bool) -> None:
    if json:
        say_json(raw)
    else:
        say(msgspec.json.decode(raw, type=Record).id)
