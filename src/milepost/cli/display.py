"""How does a task look while somebody follows it?"""

from typing import Final, Protocol, Self

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from milepost import times
from milepost.cli import wording
from milepost.cli.events import Event
from milepost.cli.records import LogEntry, Record
from milepost.cli.terminal import console, is_terminal, on_one_line, say, say_broken, say_line
from milepost.task import State


class Display(Protocol):
    """Shows what happens to one task, while entered."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, event: Event) -> None:
        """Something happened."""
        ...

    def broken(self) -> None:
        """The connection broke; it is made anew."""
        ...


def display(*, json: bool = False) -> Display:
    """What suits stdout: a bar on a terminal, else lines."""
    if json:
        return JsonLines()
    return Bar() if is_terminal() else Lines()


class Silent:
    """Shows nothing but that the connection broke."""

    def __init__(self) -> None:
        self._is_broken = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """See Display."""

    def show(self, event: Event) -> None:  # noqa: ARG002 - what Display asks for
        """See Display."""
        self._is_broken = False

    def broken(self) -> None:
        """See Display; said once for each time."""
        if not self._is_broken:
            self._is_broken = True
            say_broken()


class Lines(Silent):
    """One line for each change that can be seen, for pipes and files."""

    def __init__(self) -> None:
        super().__init__()
        self._last = ""

    def show(self, event: Event) -> None:
        """See Display."""
        super().show(event)
        news = event.news
        if isinstance(news, LogEntry):
            if news.kind != "state":  # the record behind it says so too
                say(wording.log_line(news))
        elif (line := wording.status_line(news)) != self._last:
            self._last = line
            say(f"{wording.moment(news.updated_at)}  {line}")


class JsonLines(Silent):
    """One JSON object a line, `{"task": …}` or `{"log": …}`, as the server sent them."""

    def show(self, event: Event) -> None:
        """See Display."""
        super().show(event)
        say_line(f'{{"{event.name}":{event.data}}}')


class Bar:
    """A progress bar at the bottom, with the task's log scrolling above it."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[amount]}", table_column=Column(no_wrap=True)),
            _Rate(table_column=Column(no_wrap=True)),
            _Elapsed(table_column=Column(no_wrap=True)),
            _Left(table_column=Column(no_wrap=True)),
            expand=True,
        )
        self._row = self._progress.add_task("", total=1, amount="", record=None)
        self._beneath = Text()
        self._done = 0.0
        self._live = Live(console=console(), get_renderable=self._render)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def _render(self) -> Group:
        return Group(self._progress, self._beneath) if self._beneath else Group(self._progress)

    def show(self, event: Event) -> None:
        """See Display."""
        news = event.news
        if isinstance(news, Record):
            self._show_record(news)
        elif news.kind != "state":
            self._live.console.print(Text(wording.log_line(news), style=_LEVEL_STYLES.get(news.level, "")))

    def _show_record(self, record: Record) -> None:
        done, total = _measure(record)
        if done < self._done:
            self._progress.reset(self._row)  # a new try, or run: the rate of the last one says nothing
        self._done = done
        beneath = (wording.shortfall(record), record.message or wording.waits_for(record))
        self._beneath = Text("  ".join(on_one_line(part) for part in beneath if part), "dim", no_wrap=True)
        style = _STATE_STYLES.get(record.state, "bold")
        self._progress.update(
            self._row,
            total=total,
            completed=done,
            description=f"[{style}]{escape(wording.state(record))}[/]",
            amount=wording.progress(record),
            record=record,
        )

    def broken(self) -> None:
        """See Display."""
        self._progress.update(self._row, description="[yellow]reconnecting[/]")


_LEVEL_STYLES: Final = {"debug": "dim", "warning": "yellow", "error": "red", "critical": "bold red"}
_STATE_STYLES: Final = {State.SUCCEEDED: "green", State.FAILED: "red", State.CANCELLED: "yellow"}


def _measure(record: Record) -> tuple[float, float | None]:
    """How much is done, and of what; the whole is None where that is not known."""
    if record.counts.total:
        return record.counts.done, record.counts.total
    if record.state is State.SUCCEEDED:
        return 1, 1
    if record.counts.done:
        return record.counts.done, None
    is_known = record.progress > 0 or record.state is not State.RUNNING
    return record.progress, 1 if is_known else None


class _Rate(ProgressColumn):
    """Items a second, over the last half minute."""

    def render(self, task: Task) -> Text:
        record: Record | None = task.fields["record"]
        is_known = record is not None and record.counts.done and record.state is State.RUNNING and task.speed
        return Text(f"{task.speed:,.0f}/s" if is_known else "", "dim")


class _Left(ProgressColumn):
    """Time that it will still take, at this rate."""

    def render(self, task: Task) -> Text:
        record: Record | None = task.fields["record"]
        is_known = record is not None and record.state is State.RUNNING and task.time_remaining is not None
        seconds = round(task.time_remaining or 0)
        return Text(f"{times.format_duration(seconds * times.SECOND)} left" if is_known else "", "cyan")


class _Elapsed(ProgressColumn):
    """Time since the task started, which may be long before somebody looked."""

    def render(self, task: Task) -> Text:
        record: Record | None = task.fields["record"]
        seconds = None if record is None else record.elapsed
        return Text("" if seconds is None else wording.duration(seconds), "dim")
