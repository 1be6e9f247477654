"""What do `milepost cancel`, `pause`, `resume`, `retry` and `rm` do?"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import msgspec
import typer

from milepost.cli import wording
from milepost.cli.exits import CommandError, Exit
from milepost.cli.options import DEFAULT_URL, Ca, Ids, Key, Url, examples
from milepost.cli.records import Record, TypeRecord
from milepost.cli.remote import Remote, task_path
from milepost.cli.terminal import note, say

_ID = "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40"

CANCEL_EXAMPLES = examples(
    f"milepost cancel {_ID}", "milepost list --state queued --all | cut -f1 | xargs -r milepost cancel"
)
PAUSE_EXAMPLES = examples(
    f"milepost pause {_ID}",
    "milepost list --type backup --state running | cut -f1 | xargs -r milepost pause",
    "milepost pause --type backup",
)
RESUME_EXAMPLES = examples(
    f"milepost resume {_ID}",
    "milepost list --state paused --all | cut -f1 | xargs -r milepost resume",
    "milepost resume --type backup",
)
RETRY_EXAMPLES = examples(
    f"milepost retry {_ID}",
    f"milepost retry --alone {_ID}",
    "milepost list --state failed --all | cut -f1 | xargs -r milepost retry",
)
RM_EXAMPLES = examples(f"milepost rm {_ID}", f"milepost rm -y --cascade {_ID}")

SomeIds = Annotated[list[str] | None, typer.Argument(metavar="ID", help="The tasks.")]
Types = Annotated[
    list[str] | None, typer.Option("--type", metavar="TYPE", help="A whole type instead; may be repeated.")
]


def cancel(ids: Ids, url: Url = DEFAULT_URL, key: Key = None, ca: Ca = None) -> None:
    """Stop tasks for good: a running one at its next checkpoint, any other at once."""
    _act("cancel", ids, url, key, ca)


def pause(ids: SomeIds = None, types: Types = None, url: Url = DEFAULT_URL, key: Key = None, ca: Ca = None) -> None:
    """Hold tasks: a running one at its next checkpoint; one that waits does not start.

    With --type, no task of that type starts any more, whoever starts it; those that run go on.
    """
    _act_on_either("pause", ids, types, url, key, ca)


def resume(ids: SomeIds = None, types: Types = None, url: Url = DEFAULT_URL, key: Key = None, ca: Ca = None) -> None:
    """Let paused tasks go on where they stopped. With --type, let tasks of that type start again."""
    _act_on_either("resume", ids, types, url, key, ca)


def _act_on_either(
    verb: str, ids: list[str] | None, types: list[str] | None, url: str, key: str | None, ca: Path | None
) -> None:
    if bool(ids) is bool(types):
        raise CommandError(f"Name the tasks to {verb} by their ids, or types by --type.", Exit.USAGE)
    if ids:
        _act(verb, ids, url, key, ca)
        return
    with Remote(url, key, ca) as remote:

        def act(name: str) -> None:
            found = remote.post(f"/v1/types/{quote(name, safe='')}/{verb}", TypeRecord)
            say(f"{found.name}\t{'paused' if found.paused else 'resumed'}")

        _each(types or [], act, "types")


def retry(
    ids: Ids,
    alone: Annotated[bool, typer.Option("--alone", help="Leave the tasks as they are that failed because of them.")] = (
        False
    ),
    url: Url = DEFAULT_URL,
    key: Key = None,
    ca: Ca = None,
) -> None:
    """Let failed or cancelled tasks begin again with what they saved, and what failed because of them too."""
    _act("retry", ids, url, key, ca, {"revive": "false"} if alone else None)


def _act(
    verb: str,
    ids: list[str],
    url: str,
    key: str | None,
    ca: Path | None,
    query: Mapping[str, str] | None = None,
) -> None:
    with Remote(url, key, ca) as remote:

        def act(task_id: str) -> None:
            record = remote.post(task_path(task_id, verb), Record, query=query)
            say(f"{record.id}\t{wording.state(record)}")

        _each(ids, act)


def rm(
    ids: Ids,
    cascade: Annotated[bool, typer.Option("--cascade", help="Delete what depends on them too.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Don't ask.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    ca: Ca = None,
) -> None:
    """Delete finished tasks, with their logs and results."""
    if not yes:
        _confirm(len(ids), cascade=cascade)
    with Remote(url, key, ca) as remote:

        def delete(task_id: str) -> None:
            query = {"cascade": "true" if cascade else None}
            answer = remote.request("DELETE", task_path(task_id), query=query)
            for deleted in msgspec.json.decode(answer.content, type=_Deleted).deleted:
                say(f"{deleted}\tdeleted")

        _each(ids, delete)


class _Deleted(msgspec.Struct):
    deleted: list[str]


def _confirm(number: int, *, cascade: bool) -> None:
    if not sys.stdin.isatty():
        raise CommandError("Deleting is for good; say -y to do it without being asked.", Exit.USAGE)
    what = "this task" if number == 1 else f"these {number} tasks"
    more = ", and what depends on it" if cascade else ""
    if not typer.confirm(f"Delete {what}{more}, with log and result?", err=True):
        raise CommandError("Nothing was deleted.", Exit.FAILED)


def _each(ids: list[str], act: Callable[[str], None], what: str = "tasks") -> None:
    """Do it to every one, whatever happens to the others. Raises the last CommandError, once all had their turn."""
    failed: list[CommandError] = []
    for task_id in ids:
        try:
            act(task_id)
        except CommandError as error:
            if error.code is Exit.UNREACHABLE or len(ids) == 1:
                raise
            note(f"milepost: {task_id}: {error}")
            failed.append(error)
    if failed:
        raise CommandError(f"Not done for {len(failed)} of the {len(ids)} {what}.", failed[-1].code)
