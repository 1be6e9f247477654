from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from milepost.store.sqlite.log import LogCap, entries_of, tell
from milepost.task import Entry
from tests.store.scene import draft, line, whole

entries = st.builds(
    Entry,
    time=st.just(1),
    kind=st.sampled_from(["state", "log", "log", "log", "outcome"]),
    attempt=st.just(1),
    message=st.text("xyzü", max_size=200),
)


@given(
    flushes=st.lists(st.lists(entries, max_size=6), max_size=8),
    cap=st.builds(LogCap, st.integers(0, 2_000), st.integers(0, 30)),
)
def test_a_log_keeps_to_its_cap_and_to_its_numbers(flushes: list[list[Entry]], cap: LogCap) -> None:
    task, rows = draft(version=1), []
    for version, flush in enumerate(flushes, 2):
        task, row = tell(replace(task, version=version), flush, cap)
        if row is not None:
            first, _, written, text, eventful = row
            assert eventful is any(entry.kind != "log" for entry in flush)
            rows.append((first, written, text))
    read = entries_of(rows, after=0, limit=1_000_000)
    told = [entry for flush in flushes for entry in flush]
    assert whole(read)
    assert len(read) == task.log_seq
    # States and outcomes are all there; of the lines the first ones are, and one that says so where others are missing.
    assert [e.message for e in read if e.kind != "log"] == [e.message for e in told if e.kind != "log"]
    lines = [entry.message for entry in told if entry.kind == "log"]
    kept = [entry.message for entry in read if entry.kind == "log"]
    if task.log_dropped:
        assert "full" in kept.pop()
    assert kept == lines[: len(lines) - task.log_dropped]
    assert sum(len(message.encode()) for message in kept) <= cap.bytes
    assert not task.log_dropped or len(kept) <= cap.lines
    assert task.log_bytes == sum(len(text.encode()) for _, _, text in rows)


def test_a_change_that_tells_nothing_writes_nothing() -> None:
    task = draft(version=3)
    assert tell(task, (), LogCap(100, 10)) == (task, None)


def test_a_full_log_says_when_and_in_which_try() -> None:
    late = Entry(77, "log", 4, message="x" * 100, fields={"a": 1})
    task, row = tell(draft(version=3, log_seq=5), (line("short"), late), LogCap(150, 10))
    assert row is not None
    first, last, version, text, eventful = row
    assert (first, last, version, eventful) == (6, 7, 3, False)
    _, full = entries_of([(first, version, text)], after=0, limit=10)
    assert (full.time, full.attempt, full.level, full.fields) == (77, 4, "warning", None)
    assert task.log_dropped == 1


def test_a_log_has_so_many_lines() -> None:
    task, row = tell(draft(version=3, log_seq=8), (line("one"), line("two"), line("three")), LogCap(10_000, 9))
    assert row is not None
    read = entries_of([(row[0], row[2], row[3])], after=0, limit=10)
    assert [entry.message for entry in read] == ["one", "The log is full (9 lines): further lines are dropped."]
    assert task.log_dropped == 2
