"""What does `milepost start --input-lines` do?"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from milepost.cli.arguments import named_file, stdin
from milepost.cli.exits import CommandError, Exit
from milepost.cli.faults import told
from milepost.cli.records import LineOutcome
from milepost.cli.remote import Remote
from milepost.cli.terminal import console, is_terminal, note, on_one_line, say, say_line

AT_ONCE: Final = 1000
"""Lines that are sent in one request."""


class Line(NamedTuple):
    """A line of a file: its number, from 1, its text, and the bytes up to its end."""

    number: int
    text: bytes
    read: int


class Count:
    """What became of the lines so far; shows it to a person."""

    def __init__(self, *, json: bool) -> None:
        self.started = 0
        self.refused = 0
        self._json = json

    def tell(self, number: int, outcome: LineOutcome, raw: msgspec.Raw) -> None:
        """The server says what became of a line."""
        if self._json:
            say_line(bytes(raw).decode())
        if outcome.task is None:
            self.refuse(number, "" if outcome.problem is None else told(outcome.problem))
            return
        self.started += 1
        if not (self._json or is_terminal()):
            say(outcome.task.id)

    def refuse(self, number: int, why: str) -> None:
        """A line was not started."""
        self.refused += 1
        note(f"milepost: line {number}: {on_one_line(why)}")


def start_lines(
    remote: Remote, given: str, start: Mapping[str, Any], words: Mapping[str, Any], key: str, *, json: bool
) -> None:
    """Start a task for each line of what `given` names, which is its input, with `words` laid over it.

    `start` is what else is said of each. The same `key` with the same lines gives the same tasks. Raises CommandError
    when any line was refused.
    """
    count = Count(json=json)
    with ExitStack() as stack:
        file, size = _opened(given, stack)
        progress = _progress(stack)
        bar = progress.add_task("", total=size, counts="")
        waiting: list[tuple[int, dict[str, Any]]] = []
        try:
            for line in _lines(file):
                value = _value(line, count)
                if value is not None:
                    waiting.append(
                        (line.number, {**start, "input": {**value, **words}, "idempotency_key": f"{key}:{line.number}"})
                    )
                if len(waiting) == AT_ONCE:
                    _send(remote, waiting, count)
                    waiting = []
                    progress.update(bar, completed=line.read, counts=_counts(count))
            _send(remote, waiting, count)
            progress.update(bar, completed=size, counts=_counts(count))
        except (CommandError, KeyboardInterrupt) as error:
            note(f"{_counts(count)}. The same command with --idempotency-key {key} starts the rest.")
            if isinstance(error, KeyboardInterrupt):
                raise CommandError("Interrupted.", Exit.INTERRUPTED) from error
            raise
    if count.refused:
        raise CommandError(f"Not all lines: {_counts(count)}.", Exit.FAILED)
    note(f"{_counts(count)}.")


def _send(remote: Remote, waiting: list[tuple[int, dict[str, Any]]], count: Count) -> None:
    if not waiting:
        return
    answers = remote.post_lines("/v1/tasks:batch", [body for _, body in waiting])
    for (number, _), raw in zip(waiting, answers, strict=False):
        count.tell(number, msgspec.json.decode(raw, type=LineOutcome), raw)
    if len(answers) < len(waiting):
        raise CommandError(f"The server stopped before line {waiting[len(answers)][0]}.", Exit.UNREACHABLE)


def _opened(given: str, stack: ExitStack) -> tuple[BinaryIO, int | None]:
    """The file, and how many bytes it has, if that is known."""
    if given == "-":
        return stdin(), None
    path = named_file("--input-lines", given.removeprefix("@"))
    try:
        file = stack.enter_context(path.open("rb"))
        return file, path.stat().st_size or None
    except OSError as error:
        raise CommandError(f"--input-lines: {path} can't be read ({error.strerror}).", Exit.USAGE) from error


def _lines(file: BinaryIO) -> Iterator[Line]:
    read = 0
    for number, text in enumerate(file, 1):
        read += len(text)
        if text.strip():
            yield Line(number, text, read)


def _value(line: Line, count: Count) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(line.text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        count.refuse(line.number, "not a JSON object.")
        return None


def _progress(stack: ExitStack) -> Progress:
    columns = (
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=console(), transient=True, disable=not is_terminal(), expand=True)
    return stack.enter_context(progress)


def _counts(count: Count) -> str:
    started = f"{count.started:,} {'task' if count.started == 1 else 'tasks'} started"
    return started + (f", {count.refused:,} refused" if count.refused else "")
