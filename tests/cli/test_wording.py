from typing import Any

import msgspec
import pytest

from milepost.cli import wording
from milepost.cli.records import LogEntry, Record
from milepost.task import Counts, State

TIME = "2026-04-17T14:30:02.331384Z"


def record(state: str = "running", **fields: Any) -> Record:
    raw: dict[str, Any] = {
        "id": "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40",
        "tenant": "default",
        "owner": "local",
        "type": "export",
        "state": state,
        "version": 3,
        "created_at": TIME,
        "updated_at": TIME,
    }
    return msgspec.json.decode(msgspec.json.encode(raw | fields), type=Record)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (record("queued"), "queued"),
        (record(), "running"),
        (record(progress=0.29), "running  29 %"),
        (record(progress=0.999), "running  99 %"),
        (record(counts={"done": 3, "total": 0}), "running  3 of 0"),
        (record(counts={"done": 0, "total": 1000}), "running  0 %  0 of 1,000"),
        (record(counts={"done": 1200}), "running  1,200"),
        (
            record(progress=0.5, counts={"done": 5, "total": 10, "failed": 1, "skipped": 2}, message="Reading\n\x1b"),
            r"running  50 %  5 of 10  1 failed, 2 skipped  Reading \x1b",
        ),
        (record(cancel_requested=True, pause_requested=True), "running, cancel requested"),
        (record(pause_requested=True), "running, pause requested"),
        (record("blocked", blocked_by=["a", "b"]), "blocked  waits for a, b"),
        (record("blocked", blocked_reason="on hold"), "blocked  on hold"),
        (record("scheduled", run_at=TIME), f"scheduled  due at {TIME}"),
        (record("scheduled"), "scheduled"),
    ],
)
def test_a_record_in_a_line(given: Record, line: str) -> None:
    assert wording.status_line(given) == line


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            LogEntry(1, TIME, "log", message="page read", fields={"n": 5, "of": "a\nb"}),
            "info      page read  n=5  of=a b",
        ),
        (LogEntry(1, TIME, "log", level="warning", message="two\nlines"), "warning   two\n    lines"),
        (LogEntry(1, TIME, "state", target=State.QUEUED), "info      queued"),
        (
            LogEntry(1, TIME, "state", 2, source=State.QUEUED, target=State.RUNNING),
            "info      queued -> running  attempt 2",
        ),
        (LogEntry(1, TIME, "outcome", level="error", message="no\x1b"), r"error     no\x1b"),
    ],
)
def test_a_log_entry_in_a_line(given: LogEntry, line: str) -> None:
    assert wording.log_line(given) == f"{TIME}  {line}"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, ""),
        ({"result": {"a": [1]}}, '{"a":[1]}'),
        ({"result": "x"}, '"x"'),
        (
            {"result": {"name": "a.csv", "media_type": "text/csv", "size": 12345, "url": "/"}, "result_is_link": True},
            "a.csv, 12,345 bytes",
        ),
        (
            {"result": {"name": None, "media_type": "application/json", "size": 99999}, "result_is_link": True},
            "application/json, 99,999 bytes",
        ),
    ],
)
def test_a_result_in_words(fields: dict[str, Any], text: str) -> None:
    assert wording.result(record("succeeded", **fields)) == text


def test_durations() -> None:
    assert [wording.duration(seconds) for seconds in (0, 1.26, 9.99, 10, 59.7, 3725)] == [
        "0.0s",
        "1.3s",
        "10.0s",
        "10s",
        "1m",
        "1h2m5s",
    ]


def test_a_terminal_shows_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert wording.moment("2001-04-17T14:30:02.331384Z").startswith("2001-04-1")
    assert len(wording.moment(record().created_at)) in (8, 19)


def test_time_that_a_task_took() -> None:
    assert record("queued").elapsed is None
    assert record("succeeded", started_at=TIME, finished_at="2026-04-17T14:31:02.331384Z").elapsed == 60
    assert (record(started_at=TIME).elapsed or 0) > 0
    assert record("succeeded").is_over
    assert not record("succeeded", next_run_at=TIME).is_over
    assert record(counts={"done": 1}).counts == Counts(1)
