import pytest
from rich.console import Console

from milepost.cli import display
from milepost.cli.display import Bar, JsonLines, Lines, Silent
from milepost.cli.events import Event
from milepost.cli.records import LogEntry, Record
from tests.cli.test_wording import TIME, record


def event(news: Record | LogEntry) -> Event:
    return Event("task" if isinstance(news, Record) else "log", "{}", news)


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch) -> Bar:
    """One whose terminal is 120 columns wide."""
    monkeypatch.setattr(display, "console", lambda: Console(width=120, force_terminal=True, color_system=None))
    return Bar()


def drawn(bar: Bar) -> list[str]:
    console = Console(width=120, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(bar._render())
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize(
    ("given", "start", "beneath"),
    [
        (record("queued"), "queued", None),
        (record(), "running", None),
        (record(progress=0.5, message="half\nway [bold]"), "running", "half way [bold]"),
        (record(counts={"done": 40, "total": 100}, progress=0.4), "running", None),
        (record(counts={"done": 40}), "running", None),
        (record("blocked", blocked_reason="on hold"), "blocked", "on hold"),
        (record("succeeded"), "succeeded", None),
        (record("failed"), "failed", None),
    ],
)
def test_a_bar(bar: Bar, given: Record, start: str, beneath: str | None) -> None:
    bar.show(event(given))
    first, *rest = drawn(bar)
    assert first.startswith(start)
    assert rest == ([] if beneath is None else [beneath])


def test_a_new_try_begins_anew(bar: Bar) -> None:
    for done in (10, 500, 20):
        bar.show(event(record(counts={"done": done, "total": 1000}, progress=done / 1000, started_at=TIME)))
    [row] = bar._progress.tasks
    assert (row.completed, row.total) == (20, 1000)
    assert "2 %  20 of 1,000" in drawn(bar)[0]
    assert "/s" not in drawn(bar)[0]


def test_log_lines_are_not_markup(bar: Bar, capsys: pytest.CaptureFixture[str]) -> None:
    with bar:
        bar.show(event(LogEntry(1, TIME, "log", level="error", message="[red]as it is[/nothing]")))
        bar.show(event(LogEntry(2, TIME, "state")))
        bar.broken()
        assert "reconnecting" in drawn(bar)[0]
    assert "[red]as it is[/nothing]" in capsys.readouterr().out


def test_lines_are_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines() as lines:
        for news in (record(), record(version=4), LogEntry(1, TIME, "state"), LogEntry(2, TIME, "log", message="m")):
            lines.show(event(news))
        lines.broken()
        lines.broken()
        lines.show(event(record("queued")))
        lines.broken()
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [f"{TIME}  running", f"{TIME}  info      m", f"{TIME}  queued"]
    assert printed.err == "The connection broke; trying again.\n" * 2


def test_json_is_passed_on_as_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonLines() as lines:
        lines.show(Event("log", '{"new": "field"}', LogEntry(1, TIME, "log")))
    assert capsys.readouterr().out == '{"log":{"new": "field"}}\n'


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with Silent() as silent:
        silent.show(event(record()))
    assert capsys.readouterr().out == ""


def test_what_suits_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(display.display(json=True), JsonLines)
    assert type(display.display()) is Lines
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert isinstance(display.display(), Bar)
