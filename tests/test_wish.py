import json
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from milepost import Context, Milepost, times, trigger
from milepost.access.principal import LOCAL
from milepost.errors import Invalid
from milepost.start import MAX_TEXT
from milepost.task import State, Task

NOBODY = "0198c0de-7a5b-7e11-8a3c-2f6d5b1c9e40"


async def test_values_of_python_are_kept_as_json_has_them(tmp_path: Path) -> None:
    app = Milepost(tmp_path / "tasks.db")

    @app.task
    async def work(ctx: Context, *, when: datetime, sizes: dict[int, float]) -> None: ...

    async with app.opened() as service:
        parent = await app.start("work", {"when": datetime(2026, 1, 1, tzinfo=UTC), "sizes": {3: 1.5}})
        cold = await service.cold(LOCAL, parent.id)
        assert json.loads(cold.input or b"") == {"when": "2026-01-01T00:00:00Z", "sizes": {"3": 1.5}}
        again = {"when": "2026-01-01T00:00:00Z", "sizes": {"3": 1.5}}
        child = await app.start(
            "work", MappingProxyType(again), parent=parent.id.replace("-", ""), trigger={"every": times.HOUR}
        )
        assert (child.parent, child.trigger) == (parent.id, trigger.Trigger(every=times.HOUR, anchor=child.run_at))
        with pytest.raises(Invalid, match="/parent: No such task"):
            await app.start("work", again, parent=parent.id, tenant="elsewhere")


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"metadata": ["x"]}, "/metadata"),
        ({"on_dependency_failure": "ignore"}, "/on_dependency_failure"),
        ({"priority": 1.5}, "/priority"),
        ({"run_at": 1.5}, "/run_at"),
        ({"description": ["a"]}, "/description"),
        ({"trigger": "daily"}, "/trigger"),
        ({"keep_record": -5}, "/keep_record"),
        ({"keep_result": "7d"}, "/keep_result"),
        ({"parent": 7}, "/parent"),
        ({"parent": "x"}, "/parent"),
        ({"parent": NOBODY}, "/parent"),
        ({"state": "nowhere"}, "/state"),
        ({"state": "running"}, "/state"),
        ({"state": State.SUCCEEDED}, "/state"),
        ({"run_at": datetime(2026, 1, 1)}, "/run_at"),
        ({"run_at": 2**62}, "/run_at"),
        ({"run_at": -(2**70)}, "/run_at"),
        ({"start_by": 2**63}, "/start_by"),
        ({"keep_record": 2**62}, "/keep_record"),
        ({"keep_result": 2**70}, "/keep_result"),
        ({"runner": "external", "lease_seconds": 2**70}, "/lease_seconds"),
        ({"title": "\ud800"}, "/title"),
        ({"creator": "x" * (MAX_TEXT + 1)}, "/creator"),
        ({"metadata": {"a": object()}}, "/metadata"),
        ({"input": []}, "/input"),
        ({"input": ""}, "/input"),
        ({"input": {"n": {(1, 2): 3}}}, "/input"),
        ({"input": {"n": "\ud800"}}, "/input"),
        ({"input": {1: 2}}, "/input/1"),
        ({"trigger": {"every": 5}}, "/trigger"),
        ({"blocked_reason": "tea"}, "/blocked_reason"),
        ({"idempotency_key": 5}, "/idempotency_key"),
        ({"idempotency_key": ""}, "/idempotency_key"),
        ({"idempotency_key": "\x01"}, "/idempotency_key"),
        ({"idempotency_key": "x" * 256}, "/idempotency_key"),
    ],
)
async def test_a_start_from_python_is_refused_by_name_for_what_no_record_can_keep(
    tmp_path: Path, given: dict[str, Any], pointer: str
) -> None:
    app = Milepost(tmp_path / "tasks.db")

    @app.task
    async def work(ctx: Context, *, n: Any = None) -> None: ...

    async with app.opened():
        with pytest.raises(Invalid) as refused:
            await app.start("work", **given)
        assert pointer in [fault.pointer for fault in refused.value.faults]
        outcomes = await app.start_many([{"type": "work", **given}, {"type": "work"}])
        assert isinstance(outcomes[0], Invalid)
        assert outcomes[0].faults == refused.value.faults
        assert isinstance(outcomes[1], Task)
        task = await app.start("work", trigger=trigger.Trigger(every=times.HOUR), metadata={"a": [1]})
        assert task.metadata == {"a": [1]}


async def test_a_start_from_python_may_say_in_text_what_the_record_has_a_type_for(tmp_path: Path) -> None:
    app = Milepost(tmp_path / "tasks.db")

    @app.task
    async def work(ctx: Context, *, n: int) -> None: ...

    async with app.opened():
        first = await app.start("work", runner="external", state="running")
        task = await app.start("work", {"n": 1}, depends_on=[first.id])
    assert (first.state, first.attempt, first.started_at) == (State.RUNNING, 1, first.created_at)
    assert task.depends_on == (first.id,)
