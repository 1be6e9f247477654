import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import Fault, Invalid
from milepost.start import (
    DEFAULT_RETENTION,
    MAX_ATTEMPTS,
    MAX_DEPENDENCIES,
    MAX_FAULTS,
    MAX_METADATA,
    MAX_NAME,
    MAX_TEXT,
    Start,
    draft,
)
from milepost.store.protocol import TypeInfo
from milepost.task import State, Task
from milepost.times import DAY, HOUR
from milepost.trigger import Trigger

NOW = 1_767_225_600_000_000
EXPORT = TypeInfo(
    "export",
    "loop",
    {
        "type": "object",
        "properties": {
            "index": {"type": "string"},
            "a/b": {"type": "object", "properties": {"~x": {"type": "integer"}}},
        },
        "required": ["index"],
        "additionalProperties": False,
    },
    max_attempts=4,
    timeout=HOUR,
    priority=3,
    keep_result=HOUR,
)


def drafted(start: Start, info: TypeInfo | None = EXPORT) -> Task:
    return draft(start, info, DEFAULT_RETENTION, now=NOW, id="i", tenant="t", owner="o", origin="native")


def faults(start: Start, info: TypeInfo | None = EXPORT) -> dict[str | None, str]:
    with pytest.raises(Invalid) as refused:
        drafted(start, info)
    return {fault.pointer: fault.detail for fault in refused.value.faults}


def test_the_type_fills_in_what_the_caller_left_open() -> None:
    task = drafted(Start(type="export", input={"index": "users"}))
    assert (task.runner, task.max_attempts, task.timeout, task.priority) == ("loop", 4, HOUR, 3)
    assert (task.keep_result, task.keep_record) == (HOUR, 30 * DAY)


def test_what_the_caller_says_counts_more() -> None:
    said = Start(
        type="export", input={"index": "u"}, priority=0, max_attempts=1, timeout=5, runner="process", keep_result=1
    )
    task = drafted(said)
    assert (task.runner, task.max_attempts, task.timeout, task.priority, task.keep_result) == ("process", 1, 5, 0, 1)


def test_every_fault_of_the_input_is_named_by_its_place() -> None:
    found = faults(Start(type="export", input={"a/b": {"~x": "one"}, "more": 1}))
    assert found.keys() == {"/input/a~1b/~0x", "/input/index", "/input/more"}
    assert found["/input/index"] == "This is required."


def test_of_a_large_input_the_first_fault_is_told() -> None:
    found = faults(Start(type="export", input={"index": "u", "a/b": {"x": [1] * 50_000}, "more": 1}))
    assert len(found) == 1
    assert all(len(detail) < 400 for detail in found.values()), "and the value is not sent back"


def test_of_many_unknown_arguments_some_are_named() -> None:
    found = faults(Start(type="export", input={"index": "u"} | {f"k{n}": 1 for n in range(800)}))
    assert len(found) == MAX_FAULTS


def test_an_unknown_type_is_refused_unless_its_client_runs_it() -> None:
    assert faults(Start(type="nope"), None) == {"/type": "There is no task type 'nope' here."}
    assert faults(Start(type="Not a name", runner="external"), None).keys() == {"/type"}
    assert drafted(Start(type="nope", runner="external"), None).runner == "external"


def test_a_runner_that_the_type_does_not_have_is_refused() -> None:
    assert faults(Start(type="export", input={"index": "u"}, runner="thread")).keys() == {"/runner"}


def test_of_a_task_that_takes_deliveries_arguments_may_lack_and_none_may_be_wrong() -> None:
    task = drafted(Start(type="export", runner="external", state=State.RUNNING))
    assert (task.runner, task.max_attempts, task.timeout, task.priority) == ("external", 4, HOUR, 3)
    wrong = Start(type="export", runner="external", input={"index": 1, "more": 1})
    assert faults(wrong).keys() == {"/input/index", "/input/more"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "x" * (MAX_TEXT + 1)),
        ("tenant", ""),
        ("owner", ""),
        ("tenant", "x" * (MAX_NAME + 1)),
        ("owner", "x" * (MAX_NAME + 1)),
        ("title", "a\0b"),
        ("metadata", {"x": "x" * MAX_METADATA}),
        ("owner", "\0"),
        ("creator", "\0"),
        ("unique_key", ""),
        ("priority", 2**40),
        ("timeout", 0),
        ("start_by", NOW),
        ("max_attempts", 0),
        ("max_attempts", MAX_ATTEMPTS + 1),
        ("lease_seconds", 5),
        ("state", State.RUNNING),
        ("parent", "x"),
        ("run_at", 2**62),
        ("timeout", 2**62),
        ("keep_record", 2**62),
    ],
)
def test_a_field_out_of_its_bounds_is_named(field: str, value: object) -> None:
    start = msgspec.structs.replace(Start(type="export", input={"index": "u"}), **{field: value})
    assert faults(start).keys() == {f"/{field}"}


def test_dependencies_are_ids_in_any_form_named_once() -> None:
    dashed = "01890a5d-ac96-774b-bcce-b302099a8057"
    task = drafted(Start(type="export", input={"index": "u"}, depends_on=(dashed.replace("-", "").upper(), dashed)))
    assert task.depends_on == (dashed,)
    assert faults(Start(type="export", input={"index": "u"}, depends_on=(dashed, "x"))).keys() == {"/depends_on/1"}


def test_a_trigger_says_when_it_runs_first() -> None:
    task = drafted(Start(type="export", input={"index": "u"}, trigger=Trigger(every=HOUR), run_at=NOW + 5))
    assert task.run_at == NOW + 5
    assert task.trigger is not None
    assert task.trigger.anchor == NOW + 5


def test_a_repetition_starts_where_the_calendar_can_go_on() -> None:
    start = Start(type="export", input={"index": "u"}, trigger=Trigger(every=HOUR), run_at=-(10**15))
    assert faults(start) == {"/run_at": "A repetition must start in the years 1970 to 2999."}


def test_p9_a_fingerprint_is_the_one_that_stores_hold() -> None:
    start = Start(type="export", input={"n": 1, "m": [None]}, title="T", trigger=Trigger(every=HOUR), priority=3)
    # Whoever changes this has starts that were acknowledged before refused when they are repeated.
    assert start.fingerprint().hex() == "d82406dc738616fa51adc091888b871799de407d2903a4333389adb24a21b159"


@given(st.permutations(["index", "a", "b"]))
def test_p9_a_fingerprint_does_not_depend_on_the_order_of_fields(names: list[str]) -> None:
    def start(order: list[str]) -> Start:
        return Start(type="export", input=dict.fromkeys(order, 1), metadata={name: {"x": 1} for name in order})

    assert start(names).fingerprint() == start(["index", "a", "b"]).fingerprint()
    assert start(names).fingerprint() != Start(type="export", input=dict.fromkeys(names, 2)).fingerprint()


def test_only_of_what_begins_blocked_it_is_said_what_blocks_it() -> None:
    ids = ("0" * 32, "0" * 32)
    agent = Start(type="agent", runner="external", blocked_by=ids, state=State.BLOCKED)
    assert drafted(agent, None).blocked_by == ("00000000-0000-0000-0000-000000000000",)
    held = Start(type="export", input={"index": "u"}, blocked_by=ids, held=True)
    assert drafted(held).blocked_by == ("00000000-0000-0000-0000-000000000000",)
    assert faults(Start(type="export", input={"index": "u"}, blocked_by=ids)).keys() == {"/blocked_by"}
    assert faults(Start(type="export", input={"index": "u"}, blocked_by=("x",), held=True)) == {
        "/blocked_by/0": "Not a task id."
    }


def test_so_many_faults_are_told_and_no_more() -> None:
    with pytest.raises(Invalid) as refusal:
        drafted(Start(type="export", depends_on=("?",) * 5_000))
    assert len(refusal.value.faults) == MAX_FAULTS
    assert refusal.value.faults[1] == Fault(f"At most {MAX_DEPENDENCIES} tasks.", "/depends_on")
