"""What does `milepost watch` do, and `start` with `--wait` or `--watch`?"""

from collections.abc import Iterator
from pathlib import Path

from milepost.cli import wording
from milepost.cli.display import Display, display
from milepost.cli.events import follow
from milepost.cli.exits import CommandError, Exit
from milepost.cli.options import DEFAULT_URL, Ca, Id, Json, Key, Url, examples
from milepost.cli.records import Record
from milepost.cli.remote import Remote, task_path
from milepost.cli.result import Download, Output, save
from milepost.cli.terminal import note, on_one_line
from milepost.task import State

EXAMPLES = examples(
    "milepost watch 0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40",
    "milepost watch 0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40 -o ledger.csv",
    "milepost watch 0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40 --json | jq .task.progress",
)


def watch(
    task_id: Id, output: Output = None, json: Json = False, url: Url = DEFAULT_URL, key: Key = None, ca: Ca = None
) -> None:
    """Follow a task to its end: how far it is, and what it logs from now on.

    Ctrl-C stops watching, not the task. The exit code is 1 when the task failed or was cancelled.
    """
    with Remote(url, key, ca) as remote:
        record = remote.get(task_path(task_id), Record)
        end(remote, to_end(remote, task_id, display(json=json), since_version=record.version - 1), output)


def to_end(remote: Remote, task_id: str, view: Display, *, since_version: int) -> Record:
    """Show what happens to a task after a version, until it has ended; its record of then. Raises CommandError."""
    try:
        with view:
            return next(record for record in _records(remote, task_id, view, since_version) if record.state.terminal)
    except KeyboardInterrupt as interrupt:
        raise CommandError(
            f"Not watching any more; the task goes on. Watch it again with `milepost watch {task_id}`.",
            Exit.INTERRUPTED,
        ) from interrupt


def _records(remote: Remote, task_id: str, view: Display, since_version: int) -> Iterator[Record]:
    for event in follow(remote, task_id, since_version=since_version, on_broken=view.broken):
        view.show(event)
        if isinstance(event.news, Record):
            yield event.news


def end(remote: Remote, record: Record, output: Path | None) -> None:
    """Say how a task ended, and save its result where that is wanted. Raises CommandError unless it succeeded."""
    if record.state is State.FAILED:
        why = "" if record.failure is None else f": {record.failure.message} ({record.failure.code})"
        raise CommandError(f"The task failed{on_one_line(why)}", Exit.FAILED)
    if record.state is State.CANCELLED:
        raise CommandError("The task was cancelled.", Exit.FAILED)
    took = "" if record.elapsed is None else f" after {wording.duration(record.elapsed)}"
    again = "" if record.next_run_at is None else f" Its next run is due at {wording.moment(record.next_run_at)}."
    note(f"Succeeded{took}.{again}")
    if output is not None:
        note(f"Saved {save(Download(remote, record.id), output)}")
    elif result := wording.result(record):
        fetch = f" (fetch it with `milepost result {record.id} -o .`)" if record.result_is_link else ""
        note(f"Its result is {on_one_line(result)}{fetch}.")
