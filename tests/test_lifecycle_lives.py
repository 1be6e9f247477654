"""Random lives: no promise is broken, whoever changes a task when, with clocks that disagree."""

from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from milepost import lifecycle
from milepost.lifecycle import Report, Step, as_of
from milepost.task import State, Task
from milepost.times import DAY, HOUR, MINUTE, SECOND
from milepost.trigger import Trigger
from tests.drafts import BROKEN, DAILY, HOURLY, T, draft
from tests.moves import CHANGES, attempt, legal
from tests.test_lifecycle_table import PROMISES

LENGTHS = st.integers(0, 40 * DAY) | st.sampled_from([0, SECOND, HOUR, DAY])
PASSED = st.integers(-2 * HOUR, 3 * DAY) | st.sampled_from([-1, 0, 1, MINUTE, HOUR])
TRIGGERS = st.sampled_from([None, DAILY, HOURLY, Trigger(repeat="monthly", anchor=T), Trigger(once=T)])
RANDOM_CHANGES = (
    st.sampled_from(CHANGES)
    | st.builds(lambda wait: ("fail", {"failure": BROKEN, "retry_in": wait}), LENGTHS)
    | st.builds(lambda share: ("report", {"report": Report(share)}), st.floats())
)


@st.composite
def beginnings(pick: Any) -> Step:
    fields = {
        "trigger": pick(TRIGGERS),
        "run_at": pick(st.none() | LENGTHS.map(lambda length: T + length)),
        "start_by": pick(st.none() | LENGTHS.map(lambda length: T + length)),
        "keep_result": pick(LENGTHS),
        "keep_record": pick(LENGTHS),
        "max_attempts": pick(st.integers(1, 4)),
        "blocked_by": pick(st.sampled_from([(), ("other",)])),
        "held": pick(st.booleans()),
    }
    if pick(st.booleans()):
        lease = pick(st.sampled_from([None, 60]))
        state = pick(st.sampled_from([None, *State]))
        return lifecycle.begin(draft(runner="external", lease_seconds=lease, **fields), now=T, state=state)
    return lifecycle.begin(draft(**fields), now=T)


class Life(RuleBasedStateMachine):
    """One task, changed by anybody at any time, with clocks that disagree; and a reader who always looks."""

    @initialize(first=beginnings())
    def begin(self, first: Step) -> None:
        self.task = first.task
        self.now = T
        self.log = list(first.entries)
        self.shown: dict[int, Task] = {}

    @rule(random=st.randoms(use_true_random=False), change=RANDOM_CHANGES, passed=PASSED)
    def change_as_the_table_allows(self, random: Any, change: tuple[str, dict[str, Any]], passed: int) -> None:
        if not legal(change[0], self.task):
            change = random.choice([other for other in CHANGES if legal(other[0], self.task)])
        self.change_anyhow(change, passed)

    @rule(change=RANDOM_CHANGES, passed=PASSED)
    def change_anyhow(self, change: tuple[str, dict[str, Any]], passed: int) -> None:
        self.now += passed
        if passed < 0:
            self.shown.clear()  # A clock that is behind does not know yet which results have expired.
        move = attempt(*change, self.task, self.now)
        for promise in PROMISES:
            promise([move])
        if move.after is not None:
            self.task = move.after.task
            self.log += move.after.entries
        self.p4_a_reader_sees_one_moment_under_one_version()

    def p4_a_reader_sees_one_moment_under_one_version(self) -> None:
        record = as_of(self.task, self.now)
        assert record.version >= max(self.shown, default=0)
        assert self.shown.setdefault(record.version, record) == record

    def teardown(self) -> None:
        states = [(entry.source, entry.target) for entry in getattr(self, "log", ()) if entry.kind == "state"]
        assert all(before[1] is after[0] for before, after in pairwise(states))
        assert not states or states[-1][1] is self.task.state


Life.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase
